package codec_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// maker makes types and values by chance.
type maker struct{ *rand.Rand }

func newMaker(seed uint64) maker { return maker{rand.New(rand.NewPCG(seed, 1))} }

var basicTypes = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](), reflect.TypeFor[uintptr](),
	reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[complex64](), reflect.TypeFor[complex128](), reflect.TypeFor[string](),
	reflect.TypeFor[Celsius](), reflect.TypeFor[Level](), reflect.TypeFor[Label](), reflect.TypeFor[time.Duration](),
}

var namedTypes = []reflect.Type{
	reflect.TypeFor[[]byte](), reflect.TypeFor[Raw](), reflect.TypeFor[Labels](), reflect.TypeFor[Table](), reflect.TypeFor[Nested](), reflect.TypeFor[Linked](),
	reflect.TypeFor[Empty](), reflect.TypeFor[Point](), reflect.TypeFor[AllBasic](), reflect.TypeFor[Zeros](), reflect.TypeFor[Small](), reflect.TypeFor[Outer](),
	reflect.TypeFor[Tree](), reflect.TypeFor[time.Time](), reflect.TypeFor[UUID](), reflect.TypeFor[Even](), reflect.TypeFor[big.Int](), reflect.TypeFor[Stack](),
	reflect.TypeFor[Attributes](), reflect.TypeFor[mixed](), reflect.TypeFor[byteEven](), reflect.TypeFor[Stamp](), reflect.TypeFor[OnlyMap](), reflect.TypeFor[Keeper](),
	reflect.TypeFor[map[string]string](), reflect.TypeFor[map[string]int](), reflect.TypeFor[Weights](), reflect.TypeFor[Flags](), reflect.TypeFor[ByNumber](),
	reflect.TypeFor[Squares](), reflect.TypeFor[Sizes](),
}

func (m maker) typ(depth int) reflect.Type {
	if depth <= 0 || m.IntN(4) == 0 {
		if m.IntN(3) == 0 {
			return namedTypes[m.IntN(len(namedTypes))]
		}
		return basicTypes[m.IntN(len(basicTypes))]
	}
	switch m.IntN(7) {
	case 0, 1:
		return reflect.SliceOf(m.typ(depth - 1))
	case 2:
		return reflect.ArrayOf(m.IntN(4), m.typ(depth-1))
	case 3:
		if key := m.typ(depth - 1); key.Comparable() {
			return reflect.MapOf(key, m.typ(depth-1))
		}
		return reflect.MapOf(reflect.TypeFor[string](), m.typ(depth-1))
	case 4:
		return reflect.PointerTo(m.typ(depth - 1))
	}
	var fields []reflect.StructField
	for i := range m.IntN(6) {
		f := reflect.StructField{Name: fmt.Sprint("F", i), Type: m.typ(depth - 1)}
		if m.IntN(8) == 0 {
			f.Name, f.PkgPath = fmt.Sprint("f", i), "p"
		}
		fields = append(fields, f)
	}
	return reflect.StructOf(fields)
}

// fill sets v to a value by chance.
func (m maker) fill(v reflect.Value, depth int) {
	if !v.CanSet() || m.IntN(6) == 0 {
		return // zero
	}
	bits := m.Uint64() >> m.IntN(64)
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(bits) * int64(1-2*m.IntN(2)))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(bits)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(m.float())
	case reflect.Complex64, reflect.Complex128:
		v.SetComplex(complex(m.float(), m.float()))
	case reflect.String:
		v.SetString(strings.Repeat("s", m.length()))
	case reflect.Slice:
		n := m.length()
		if depth <= 0 {
			n = 0
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			m.fill(v.Index(i), depth-1)
		}
	case reflect.Array:
		for i := range v.Len() {
			m.fill(v.Index(i), depth-1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := 0; depth > 0 && i < m.length(); i++ {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			m.fill(key, depth-1)
			m.fill(elem, depth-1)
			v.SetMapIndex(key, elem)
		}
	case reflect.Pointer:
		if depth > -3 && m.IntN(20) > 0 { // few are nil, which they may not be as elements
			v.Set(reflect.New(v.Type().Elem()))
			m.fill(v.Elem(), depth-1)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(moments()[m.IntN(3)].Add(time.Duration(bits >> 1))))
			return
		}
		for i := range v.NumField() {
			m.fill(v.Field(i), depth-1)
		}
	}
}

func (m maker) length() int { return []int{0, 1, 2, 3, 5, 130}[min(m.IntN(6), m.IntN(7))] }

func (m maker) float() float64 {
	switch m.IntN(6) {
	case 0:
		return math.Copysign(0, -1)
	case 1:
		return math.NaN()
	case 2:
		return math.Inf(1)
	}
	return float64(m.IntN(2000)-1000) / 8
}

// spoil changes a payload by chance.
func (m maker) spoil(data []byte) []byte {
	data = bytes.Clone(data)
	for range 1 + m.IntN(3) {
		i := m.IntN(len(data) + 1)
		switch m.IntN(6) {
		case 0:
			data = data[:i]
		case 1:
			data = bytes.Join([][]byte{data[:i], {byte(m.IntN(256))}, data[i:]}, nil)
		case 2: // a number in more bytes than it needs
			if i < len(data) && data[i] < 128 {
				data = bytes.Join([][]byte{data[:i], {0xfc, 0, 0, 0, data[i]}, data[i+1:]}, nil)
			}
		case 3:
			long := binary.BigEndian.AppendUint64([]byte{0xf8}, m.Uint64()>>m.IntN(64))
			data = bytes.Join([][]byte{data[:i], long, data[i:]}, nil)
		default:
			if i < len(data) {
				data[i] = []byte{0, 1, 2, 3, byte(m.IntN(256)), 0x7f, 0xff}[m.IntN(7)]
			}
		}
	}
	return data
}

// compare makes a type of the seed, and compares the engine of it with gob.
func compare(t testing.TB, seed uint64, values int, payload []byte) (hasEngine, sound bool) {
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	m := newMaker(seed)
	typ := m.typ(4)
	a := newAgainst()
	hasEngine = a.fast.HasEngine(reflect.New(typ).Interface())
	for range values {
		v := reflect.New(typ)
		m.fill(v.Elem(), 4)
		p := a.encodes(t, v.Interface())
		if typ.Kind() != reflect.Pointer {
			a.encodes(t, v.Elem().Interface())
		}
		if p == nil || p.Encoding != codec.GobValue {
			continue
		}
		sound = true
		if payload != nil {
			_ = a.decodes(t, codec.Payload{Encoding: codec.GobValue, Defs: p.Defs, Data: payload}, typ)
		}
		for range 5 {
			if len(p.Data) < 10000 {
				_ = a.decodes(t, codec.Payload{Encoding: codec.GobValue, Defs: p.Defs, Data: m.spoil(p.Data)}, typ)
			}
		}
	}
	return hasEngine, sound
}

// chanceTime is how long TestEnginesByChance looks at more types than it always does, which are
// others each time. gob and reflect keep every type for ever.
var chanceTime = flag.Duration("codec.random", 0, "how long to compare engines with gob on types by chance")

// Types, values and faults by chance. TestEnginesByChance has a part of them, FuzzEngines any.
func TestEnginesByChance(t *testing.T) {
	n, engines, sounds := 500, 0, 0
	if testing.Short() || raceEnabled {
		n = 300
	}
	for seed := range uint64(n) {
		hasEngine, sound := compare(t, seed, 4, nil)
		if hasEngine && sound {
			engines++
		}
		if sound {
			sounds++
		}
	}
	t.Logf("of %d types %d can be sent, and %d have an engine", n, sounds, engines)
	require.Greater(t, sounds, n/3)
	require.Greater(t, engines, sounds/2)
	more := 0
	for begun := time.Now(); time.Since(begun) < *chanceTime; more++ {
		compare(t, rand.Uint64(), 4, nil)
	}
	t.Logf("and %d more types", more)
}

func FuzzEngines(f *testing.F) {
	a := newAgainst()
	for i, v := range append(values(), samples()...) {
		if p, err := a.gob.Encode(v); err == nil && len(p.Data) < 1000 {
			f.Add(uint64(i), p.Data)
		}
	}
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		compare(t, seed%4096, 1, data) // gob and reflect keep every type for ever
		all := append(values(), samples()...)
		v := all[seed%uint64(len(all))]
		if p := a.encodes(t, v); p.Encoding == codec.GobValue {
			_ = a.decodes(t, codec.Payload{Encoding: codec.GobValue, Defs: p.Defs, Data: data}, reflect.TypeOf(v))
		}
	})
}
