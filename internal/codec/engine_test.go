package codec_test

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// These tests hold the engines against gob itself: what an engine writes are gob's bytes, and it
// makes of any bytes what gob makes of them, or refuses them where gob and the check before it do.

// UUID is an array with methods.
type UUID [16]byte

func (u UUID) MarshalBinary() ([]byte, error) { return u[:], nil }
func (u *UUID) UnmarshalBinary(b []byte) error {
	if len(b) != len(u) {
		return errOdd
	}
	copy(u[:], b)
	return nil
}

// Stack and Attributes are a slice and a map with methods.
type (
	Stack      []string
	Attributes map[string]string
)

func (s Stack) GobEncode() ([]byte, error)      { return []byte(strings.Join(s, ",")), nil }
func (s *Stack) GobDecode(b []byte) error       { *s = strings.Split(string(b), ","); return nil }
func (a Attributes) GobEncode() ([]byte, error) { return fmt.Append(nil, len(a)), nil }
func (a Attributes) GobDecode([]byte) error     { return nil }

type (
	Keeper struct{ kept []byte } // keeps what it decodes

	mixed struct {
		Small
		*Inner
		hidden  func()
		Ints    []int
		Ptr     *int
		PtrPtr  **string
		When    time.Time
		Ended   *time.Time
		ID      UUID
		IDPtr   *UUID
		Big     big.Int
		BigPtr  *big.Int
		Even    Even
		Stack   Stack
		Attrs   Attributes
		Arrays  [2][0][]int
		Bytes   [4]byte
		_       int
		Strings map[string]string
	}
	ptrPtrMethod struct{ T **time.Time }
	byteEven     uint8
	Bools        []bool
	Weights      map[string]float64
	Flags        map[string]bool
	ByNumber     map[int]string
	Squares      map[int]int
	Sizes        map[string]int64
	Levels       map[Level]Labels
	OnlyPointer  struct{ P *int }
	OnlyMap      struct{ M [1]map[string]int }
)

// Chained has fields of all kinds at the end of a long chain.
type Chained struct {
	Next  *Chained
	Value int
	Pairs map[string]int
	List  []int
	Text  string
	Map   map[Level]bool
	None  [0]int
}

func (k *Keeper) MarshalBinary() (b []byte, _ error) {
	if k != nil { // gob calls it for a nil element too
		b = k.kept
	}
	return b, nil
}

func (k *Keeper) UnmarshalBinary(b []byte) error { k.kept = b; return nil }
func (b byteEven) GobEncode() ([]byte, error)    { return []byte{byte(b)}, nil }
func (b *byteEven) GobDecode(d []byte) error     { *b = byteEven(len(d)); return nil }

func samples() []any {
	one, text := 1, "text"
	ptr := &text
	now, zero := moments()[1], time.Time{}
	id := UUID{1, 15: 2}
	m := mixed{
		hidden:  func() {},
		Small:   Small{A: 1},
		Inner:   &Inner{X: math.Copysign(0, -1), Tags: []string{"t"}},
		Ints:    []int{0, -1},
		Ptr:     new(int),
		PtrPtr:  &ptr,
		When:    now,
		Ended:   &zero,
		ID:      id,
		IDPtr:   &UUID{},
		Big:     *big.NewInt(5),
		BigPtr:  big.NewInt(-6),
		Even:    Even{2},
		Stack:   Stack{"a", "b"},
		Attrs:   Attributes{"a": "b"},
		Bytes:   [4]byte{1, 0, 255},
		Strings: map[string]string{"k": "v"},
	}
	return []any{m, mixed{}, []mixed{{}, m}, mixed{Ptr: &one, Ended: &now, Strings: map[string]string{}, Ints: []int{}},
		UUID{}, id, []UUID{{}, id}, [2]UUID{id}, map[UUID]UUID{id: {}}, struct{ ID UUID }{}, []time.Time{{}, now}, [1]time.Time{}, zero,
		map[string]time.Time{
			"x": now,
		}, struct{ T *time.Time }{}, struct{ T time.Time }{}, struct{ T time.Time }{zero.In(time.FixedZone("", 60))}, map[Label]*Small{"x": {A: 2}},
		Stack{}, Stack{"x"}, []Stack{nil, {"x"}}, Attributes{"x": "y"}, struct{ A Attributes }{}, struct{ A Attributes }{Attributes{}},
		[]byteEven{1, 2}, [2]byteEven{1, 2}, struct{ B byteEven }{}, struct{ K Keeper }{Keeper{[]byte("abc")}},
		Bools{
			true,
			false,
		}, Weights{"x": 0.1}, Flags{"t": true}, ByNumber{-1: "x"}, Squares{3: 9}, Sizes{"x": math.MinInt64}, Levels{-128: {"x", ""}},
		OnlyPointer{}, OnlyPointer{&one}, OnlyMap{[1]map[string]int{{"a": 1}}}, OnlyMap{}, map[string]string(nil), map[string]string{},
		[]map[string]int{
			nil,
			{},
			{"a": 1},
		}, [][]byte{nil, {}, {1}}, []float32{float32(math.NaN()), float32(math.Inf(1))},
		[]float64{
			math.NaN(),
			math.Copysign(0, -1),
			math.MaxFloat64,
		}, struct{ F float64 }{math.Copysign(0, -1)}, struct{ F float64 }{math.NaN()},
		[]complex64{
			1,
			2i,
		}, []complex128{complex(math.Inf(-1), 0)}, struct{ C complex64 }{2i}, [3]uint8{1, 2, 200}, []int8{-128, 127},
		[]uint16{
			0,
			65535,
		}, []uint64{math.MaxUint64, 1 << 63, 127, 128, 255, 256}, []int64{math.MinInt64, math.MaxInt64, 63, 64, -64, -65},
		make(
			[]string,
			1000,
		), [300]bool{299: true}, strings.Repeat("x", 300), Raw(make([]byte, 70000)), map[[2]string]struct{ A, B []int }{{"a"}: {B: []int{1}}},
		map[*Small]int{
			{A: 1}: 2,
		}, []**Small{ptrTo(&Small{A: 1})}, map[bool]map[bool]bool{true: {false: true}}, struct{ A, B, C struct{} }{},
	}
}

func TestWhatHasAnEngine(t *testing.T) {
	var c codec.Codec
	for _, v := range append(samples(), Small{}, AllBasic{}, Outer{}, Tree{}, Nested{}, Linked{}, time.Time{}, url.URL{}, big.Int{}, []big.Int{},
		Box{}, []any{}, Node{}, map[any]Shouter{}) {
		require.True(t, c.HasEngine(v), "%T", v)
		require.False(t, codec.GobOnly().HasEngine(v), "%T", v)
	}
	for _, v := range []any{[]*time.Time{}, map[string]*UUID{}, [1]*big.Int{}, map[UUID]*big.Int{}, []*url.URL{}} {
		require.True(t, c.HasEngine(v), "%T", v)
	}
	for _, v := range []any{ptrPtrMethod{}, map[string]big.Int{},
		map[string][1]struct{ B big.Int }{}} { // gob needs the address of a big.Int
		require.False(t, c.HasEngine(v), "%T", v)
	}
}

// against compares what two Codecs make of values and payloads.
type against struct{ gob, fast *codec.Codec }

func newAgainst() against { return against{codec.GobOnly(), new(codec.Codec)} }

// encodes encodes v with both, and returns the payload of the engine. It is nil if neither encodes
// v.
func (a against) encodes(t testing.TB, v any) *codec.Payload {
	want, wantErr := a.gob.Encode(v)
	got, err := a.fast.Encode(v)
	require.Equal(t, wantErr == nil, err == nil, "%T: %v is not %v", v, err, wantErr)
	prefix := []byte("prefix")
	buf, appended, appendErr := a.fast.AppendEncode(prefix[:len(prefix):len(prefix)], v)
	require.Equal(t, err == nil, appendErr == nil)
	if err != nil {
		require.Equal(t, prefix, buf)
		return nil
	}
	require.Equal(t, "prefix"+string(appended.Data), string(buf))
	if want.Encoding == codec.Gob && a.fast.HasEngine(v) { // what interfaces hold has a form of its own
		for _, p := range []codec.Payload{got, appended, want} {
			require.NoError(t, loosely(a.decoded(t, a.gob, want, v), a.decoded(t, a.fast, p, v)))
		}
		require.NoError(t, kept(reflect.ValueOf(v), a.decoded(t, a.fast, got, v)), "%T", v)
		return &want
	}
	require.Equal(t, want.Encoding, got.Encoding)
	require.Equal(t, want.Defs, got.Defs)
	require.Equal(t, got.Encoding, appended.Encoding)
	require.Equal(t, got.Defs, appended.Defs)
	hasEngine := a.fast.HasEngine(v)
	more := hasEngine && gobLoses(reflect.ValueOf(v)) // which an engine sends
	for _, p := range []codec.Payload{got, appended} {
		switch {
		case more:
			require.Greater(t, len(p.Data), len(want.Data), "%T", v)
		case hasMap(reflect.TypeOf(v), map[reflect.Type]bool{}): // gob writes maps in any order
			require.Len(t, p.Data, len(want.Data), "%T", v)
		default:
			require.Equal(t, string(want.Data), string(p.Data), "%T", v)
		}
		require.NoError(t, a.decodes(t, p, reflect.TypeOf(v)))
		require.NoError(t, loosely(a.decoded(t, a.gob, want, v), a.decoded(t, a.gob, p, v)))
		if hasEngine {
			require.NoError(t, kept(reflect.ValueOf(v), a.decoded(t, a.fast, p, v)), "%T", v)
		}
	}
	require.NoError(t, a.decodes(t, want, reflect.TypeOf(v)), "%T", v)
	return &got
}

func (a against) decoded(t testing.TB, c *codec.Codec, p codec.Payload, v any) reflect.Value {
	got := reflect.New(reflect.TypeOf(v))
	require.NoError(t, c.Decode(p, got.Interface()))
	return got.Elem()
}

// decodes decodes a payload into a type with both, which must come to the same. It returns the
// error of the engine.
func (a against) decodes(t testing.TB, p codec.Payload, typ reflect.Type) error {
	want, got := reflect.New(typ), reflect.New(typ)
	wantErr := a.gob.Decode(p, want.Interface())
	data := bytes.Clone(p.Data)
	before := heapAllocated()
	err := a.fast.Decode(codec.Payload{Encoding: p.Encoding, Defs: p.Defs, Data: data}, got.Interface())
	require.Less(t, heapAllocated()-before, most(len(data)))
	clear(data) // the value shares no memory with them
	if strconv.IntSize == 32 && wantErr == nil && err != nil && strings.Contains(err.Error(), "out of range") {
		return err // a uint in a slice, which gob does not check
	}
	require.Equal(t, wantErr == nil, err == nil, "%v: %v, and by gob %v: % x", typ, err, wantErr, p.Data)
	require.NoError(t, equal(want.Elem(), got.Elem()), "%v: % x", typ, p.Data)
	if err != nil {
		require.True(t, got.Elem().IsZero())
		if !strings.Contains(typ.String(), "Secret") { // which panics by itself
			require.NotContains(t, err.Error(), "runtime error")
		}
	}
	return err
}

func hasMap(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Map:
		return true
	case reflect.Slice, reflect.Array, reflect.Pointer:
		return hasMap(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if hasMap(f.Type, seen) {
				return true
			}
		}
	}
	return false
}

// equal is like reflect.DeepEqual of what gob and an engine have decoded: it compares floats by
// their bits, and takes an empty slice for nil.
func equal(a, b reflect.Value) error {
	differ := func() error { return fmt.Errorf("%v: %v is not %v", a.Type(), b, a) }
	all := func(n int, each func(i int) error) error {
		for i := range n {
			if err := each(i); err != nil {
				return err
			}
		}
		return nil
	}
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		if math.Float64bits(a.Float()) != math.Float64bits(b.Float()) {
			return differ()
		}
	case reflect.Complex64, reflect.Complex128:
		if fmt.Sprintf("%b", a.Complex()) != fmt.Sprintf("%b", b.Complex()) {
			return differ()
		}
	case reflect.Slice:
		if a.Len() != b.Len() {
			return differ()
		}
		return all(a.Len(), func(i int) error { return equal(a.Index(i), b.Index(i)) })
	case reflect.Array:
		return all(a.Len(), func(i int) error { return equal(a.Index(i), b.Index(i)) })
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			if a.IsNil() != b.IsNil() {
				return differ()
			}
			return nil
		}
		return equal(a.Elem(), b.Elem())
	case reflect.Struct:
		return all(a.NumField(), func(i int) error { return equal(a.Field(i), b.Field(i)) })
	case reflect.Map:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return differ()
		}
		var unpaired []reflect.Value // NaN and pointers are no keys to look up
		for it := a.MapRange(); it.Next(); {
			if v := b.MapIndex(it.Key()); !v.IsValid() {
				unpaired = append(unpaired, it.Key(), it.Value())
			} else if err := equal(it.Value(), v); err != nil {
				return err
			}
		}
		for it := b.MapRange(); len(unpaired) > 0 && it.Next(); {
			for i := 0; i < len(unpaired); i += 2 {
				if equal(unpaired[i], it.Key()) == nil && equal(unpaired[i+1], it.Value()) == nil {
					unpaired = append(unpaired[:i], unpaired[i+2:]...)
					break
				}
			}
		}
		if len(unpaired) > 0 {
			return differ()
		}
	case reflect.Interface:
		if a.IsNil() || b.IsNil() || a.Elem().Type() != b.Elem().Type() {
			if !a.IsNil() || !b.IsNil() {
				return differ()
			}
			return nil
		}
		return equal(a.Elem(), b.Elem())
	case reflect.Func:
	default:
		if !a.Equal(b) {
			return differ()
		}
	}
	return nil
}

// Every value that the tests have, and every payload that differs from a good one in a byte or is
// cut.
func TestEnginesAreLikeGob(t *testing.T) {
	for _, v := range append(values(), samples()...) {
		t.Run(fmt.Sprintf("%T", v), func(t *testing.T) {
			a := newAgainst()
			for range 2 {
				p := a.encodes(t, v)
				require.NotNil(t, p)
				ptr := reflect.New(reflect.TypeOf(v))
				ptr.Elem().Set(reflect.ValueOf(v))
				require.NotNil(t, a.encodes(t, ptr.Interface()))
				typ := reflect.TypeOf(v)
				if typ.Kind() != reflect.Pointer {
					_ = a.decodes(t, *p, reflect.PointerTo(reflect.PointerTo(typ)))
				}
				if len(p.Data) > 600 || p.Encoding != codec.GobValue {
					continue
				}
				for i := range p.Data {
					for _, b := range []byte{0, 1, 2, p.Data[i] ^ 1, p.Data[i] ^ 0x80, p.Data[i] + 1, 0x7f, 0xf8, 0xff} {
						data := bytes.Clone(p.Data)
						data[i] = b
						_ = a.decodes(t, codec.Payload{Encoding: codec.GobValue, Defs: p.Defs, Data: data}, typ)
					}
					_ = a.decodes(t, codec.Payload{Encoding: codec.GobValue, Defs: p.Defs, Data: p.Data[:i]}, typ)
					more := bytes.Join([][]byte{p.Data[:i], {p.Data[i]}, p.Data[i:]}, nil)
					_ = a.decodes(t, codec.Payload{Encoding: codec.GobValue, Defs: p.Defs, Data: more}, typ)
				}
			}
		})
	}
}

func TestEnginesRefuseWhatGobRefuses(t *testing.T) {
	a := newAgainst()
	for _, v := range []any{[]*int{nil}, map[string]*Small{"a": nil}, [1]*Even{}, map[*int]int{nil: 1}, []**Small{ptrTo[*Small](nil)},
		struct{ P []*Small }{[]*Small{nil}}, Even{1}, []Even{{1}}, []*byteEven{nil}, map[*byteEven]int{nil: 1}, struct{ E *Even }{&Even{1}}, map[string]big.Int{"a": {}},
		time.Time{}.In(time.FixedZone("", 1<<25)), Tree{Named: map[string]Tree{"x": {Left: chain(10002)}}}} {
		require.Nil(t, a.encodes(t, v), "%T", v)
	}
	for n := 9998; n < 10003; n++ { // at the limit
		a.encodes(t, chain(n))
		nested, linked := Nested{}, Linked{}
		for range n {
			nested, linked = Nested{nested}, Linked{"": linked}
		}
		a.encodes(t, []Nested{nested})
		a.encodes(t, linked)
		for _, v := range []any{nested, chain(1), linked} { // payloads that are deeper than any that is sent
			p := a.encodes(t, reflect.New(reflect.TypeOf(v)).Interface())
			deep := map[reflect.Kind][]byte{reflect.Slice: bytes.Repeat([]byte{1}, n+1), reflect.Pointer: bytes.Repeat([]byte{2}, n+1),
				reflect.Map: bytes.Repeat([]byte{1, 0}, n+1)}[reflect.TypeOf(v).Kind()]
			typ := reflect.TypeOf(v)
			if typ.Kind() == reflect.Pointer {
				p, typ = a.encodes(t, v), typ.Elem()
				deep = append(deep, make([]byte, n+1)...)
			} else {
				deep = append(append([]byte{0}, deep...), 0)
			}
			_ = a.decodes(t, codec.Payload{Encoding: codec.GobValue, Defs: p.Defs, Data: deep}, typ)
		}
		p := a.encodes(t, Chained{})
		for _, last := range [][]byte{nil, {2, 2}, {3, 0}, {3, 1, 1, 'a', 2}, {4, 0}, {4, 1, 2}, {5, 1, 'x'}, {6, 0}, {6, 1, 0, 1}, {7, 0}} {
			data := bytes.Join([][]byte{bytes.Repeat([]byte{1}, n), last, make([]byte, n+1)}, nil)
			_ = a.decodes(
				t,
				codec.Payload{Encoding: codec.GobValue, Defs: p.Defs, Data: data},
				reflect.TypeFor[Chained](),
			)
		}
	}
}

func TestEngineConversions(t *testing.T) {
	a := newAgainst()
	numbers := []any{
		int(300),
		int8(-5),
		int16(1),
		int32(-70000),
		int64(math.MaxInt64),
		uint(300),
		uint8(255),
		uint16(1),
		uint32(1 << 20),
		uint64(
			math.MaxUint64,
		),
		uintptr(9),
		float32(1.5),
		math.MaxFloat64,
		math.NaN(),
		float64(math.MaxFloat32) * 1.0000001,
		math.Inf(-1),
		complex64(1i),
		complex(1e300, 2),
		complex(2, -1e300),
		true,
		"text",
	}
	for _, v := range numbers {
		p := a.encodes(t, v)
		for _, into := range numbers {
			_ = a.decodes(t, *p, reflect.TypeOf(into))
		}
	}
	var small struct{ Size int8 }
	large := a.encodes(t, struct{ Size int8 }{1})
	large.Data = []byte{1, 0xfe, 2, 0, 0}
	require.EqualError(t, a.fast.Decode(*large, &small), `value for "Size" out of range`)
	require.EqualError(t, a.gob.Decode(*large, &small), `value for "Size" out of range`)
}

// A count within an element cannot claim the bytes of elements that are still to come: all levels
// of this value would claim all.
func TestClaimsDoNotAddUp(t *testing.T) {
	var c codec.Codec
	p, err := c.Encode(Nested{})
	require.NoError(t, err)
	p.Data = []byte{0}
	for n := 4<<20 - 100; len(p.Data) < 100*4; n -= 5 {
		p.Data = append(p.Data, gobUint(uint64(n))...)
	}
	p.Data = append(p.Data, make([]byte, 4<<20-len(p.Data))...)
	before := heapAllocated()
	require.ErrorContains(t, c.Decode(p, new(Nested)), "not a gob value")
	require.Less(t, heapAllocated()-before, uint64(256<<20))
}

// Slices of large elements grow as these come, and gob has a limit for their size.
func TestLargeElements(t *testing.T) {
	type wide struct {
		Numbers [2048]int64
		Small   []int
	}
	type huge struct {
		Numbers [1 << 17]int64
		Text    string
	}
	a := newAgainst()
	p := a.encodes(t, []wide{})
	p.Data = append(append([]byte{0}, gobUint(1500)...), bytes.Repeat([]byte{2, 1, 2, 0}, 1500)...)
	want, got := a.decoded(t, a.gob, *p, []wide{}), a.decoded(t, a.fast, *p, []wide{})
	require.Equal(t, 1500, got.Len())
	require.NoError(t, equal(want, got))
	p.Data[len(p.Data)-1] = 1
	require.ErrorContains(t, a.fast.Decode(*p, new([]wide)), "not a gob value")

	p = a.encodes(t, []huge{})
	for n, ok := range map[int]bool{20: true, 1<<13 + 1: false} { // of a MiB, where 8 GiB are the limit
		p.Data = append(append([]byte{0}, gobUint(uint64(n))...), make([]byte, n)...)
		for _, c := range []*codec.Codec{a.gob, a.fast} {
			if err := c.Decode(*p, new([]huge)); ok {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "too big")
			}
		}
	}
}

func TestAppendEncode(t *testing.T) {
	var c codec.Codec
	for _, v := range []any{nil, struct{}{}, []byte("bytes"), "text", ptrTo([]byte("bytes")), ptrTo("text"), Small{"a", 1, 2}, Box{Any: 1}, &Node{Value: 1}} {
		want, err := c.Encode(v)
		require.NoError(t, err)
		room := make([]byte, 3, 1000)
		buf, got, err := c.AppendEncode(room, v)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, append([]byte{0, 0, 0}, want.Data...), buf)
		require.Same(t, &room[0], &buf[0], "it fits")
		require.Equal(t, len(got.Data), cap(got.Data), "what is appended to the data is not in the buffer")
	}
	dst := []byte("dst")
	for _, v := range []any{make(chan int), []*int{nil}, []Even{{2}, {1}}} {
		buf, p, err := c.AppendEncode(dst, v)
		require.Error(t, err)
		require.Equal(t, dst, buf)
		require.Zero(t, p)
	}
}

func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("pools drop what they hold")
	}
	var c codec.Codec
	buf := make([]byte, 0, 1<<16)
	for _, v := range []any{Seven{ID: "x", Tags: []string{"a"}}, &Seven{}, map[string]int{"a": 1}, map[Label]Level{"a": 1}, []int{1, 2}, Timed{At: moments()[1]},
		OnlyPointer{new(int)}, *chain(20), [][]byte{{1}}, 1000, Celsius(1)} {
		require.Zero(t, testing.AllocsPerRun(100, func() { _, _, _ = c.AppendEncode(buf, v) }), "%T", v)
		require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _ = c.Encode(v) }), 1.0, "%T", v)
	}
	var into Timed
	p, err := c.Encode(Timed{Name: "name", At: moments()[1]})
	require.NoError(t, err)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _ = c.Decode(p, &into) }), 1.0)
}
