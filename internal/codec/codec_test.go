package codec_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
)

type Small struct {
	Name string
	A, B int
}

type Inner struct {
	X, Y float64
	Tags []string
}

type Outer struct {
	Inner
	Named   Inner
	Pointer *Inner
	List    []Inner
	ByName  map[string]*Inner
	Matrix  [2][3]int32
	Raw     []byte
	hidden  int
}

type Tree struct {
	Value       int
	Left, Right *Tree
	Children    []Tree
	Named       map[string]Tree
}

type (
	Celsius  float64
	Level    int8
	Label    string
	Raw      []byte
	Labels   []Label
	Table    map[Label]Level
	Nested   []Nested
	Linked   map[string]Linked
	Empty    struct{}
	Point    [2]int
	Complex  struct{ C complex128 }
	AllBasic struct {
		Bool bool
		I8   int8
		I16  int16
		I32  int32
		I64  int64
		I    int
		U8   uint8
		U16  uint16
		U32  uint32
		U64  uint64
		U    uint
		Ptr  uintptr
		F32  float32
		F64  float64
		C64  complex64
		C128 complex128
		S    string
	}
	Zeros struct {
		A []int
		M map[string]int
		P *int
		N [0]int
		E Empty
	}
	Generic[T any] struct{ V T }
)

// Even encodes even numbers only, by a method of its own with a value receiver.
type Even struct{ n int }

var errOdd = errors.New("odd numbers do not encode")

func (e Even) GobEncode() ([]byte, error) {
	if e.n%2 != 0 {
		return nil, errOdd
	}
	return []byte{byte(e.n)}, nil
}

func (e *Even) GobDecode(b []byte) error {
	switch {
	case len(b) != 1 || b[0]%2 != 0:
		return errOdd
	case b[0] == 254:
		panic("254 is not for decoding")
	}
	e.n = int(b[0])
	return nil
}

// Secret encodes by methods with pointer receivers.
type Secret struct{ s string }

func (s *Secret) MarshalBinary() ([]byte, error)     { return []byte("<" + s.s + ">"), nil }
func (s *Secret) UnmarshalBinary(b []byte) (_ error) { s.s = string(b[1 : len(b)-1]); return }

// Shouter is an interface with one registered type behind it and one that is not.
type Shouter interface{ Shout() string }

type Registered struct{ Word string }

func (r Registered) Shout() string { return strings.ToUpper(r.Word) }

type Unregistered struct{ Word string }

func (u Unregistered) Shout() string { return u.Word }

type Box struct {
	Any     any
	Shouter Shouter
	Pair    [2]any
	List    []any
	Map     map[string]any
}

type registeredHidden struct{ a int }

// Node is recursive and holds an interface.
type Node struct {
	Value any
	Next  *Node
	Named map[Label][]Node
}

type Late struct{ Deep any } // registered, and first met inside another interface

func TestMain(m *testing.M) {
	gob.Register(Registered{})
	gob.Register(Box{})
	gob.Register(Late{})
	gob.Register(registeredHidden{})
	gob.Register(registeredEmbeds{})
	gob.Register(registeredFunc{})
	gob.Register(Tree{})
	gob.Register(map[string]any{})
	gob.Register([]any{})
	gob.Register(map[Empty]Empty{})
	os.Exit(m.Run())
}

// send does what internal/link does with a payload: the definitions go ahead of it, once, under
// their id.
func send(t testing.TB, from, to *codec.Codec, p codec.Payload) {
	t.Helper()
	if p.Encoding != codec.GobValue {
		return
	}
	blob := from.Definitions(p.Defs)
	require.NotNil(t, blob, "the definitions of a payload are known to who encoded it")
	id, err := to.Define(blob)
	require.NoError(t, err)
	require.Equal(t, p.Defs, id)
}

// encode encodes v and sends the definitions.
func encode(t testing.TB, from, to *codec.Codec, v any) codec.Payload {
	t.Helper()
	p, err := from.Encode(v)
	require.NoError(t, err)
	send(t, from, to, p)
	return p
}

func moments() []time.Time {
	return []time.Time{{}, time.Unix(1e9, 5).UTC(), time.Date(2024, 2, 29, 1, 2, 3, 4, time.FixedZone("", 3600))}
}

// values are what crosses between processes, and arrives as it was.
func values() []any {
	one := 1
	return []any{
		Small{"a", 1, -1}, Small{}, Small{Name: strings.Repeat("long", 10000), A: math.MinInt, B: math.MaxInt},
		Inner{1.5, math.Inf(-1), []string{"a", ""}},
		Outer{Inner: Inner{X: 1}, Named: Inner{Tags: []string{"t"}}, Pointer: &Inner{Y: 2}, List: []Inner{{X: 3}, {}},
			ByName: map[string]*Inner{"a": {X: 4}, "": {}}, Matrix: [2][3]int32{{1, 2, 3}, {-4}}, Raw: []byte{0, 255}},
		Tree{1, &Tree{Value: 2, Left: &Tree{}}, nil, []Tree{{Value: 3}, {}}, map[string]Tree{"x": {Value: 4}}},
		Generic[int]{1}, Generic[[]Small]{[]Small{{A: 1}}}, Generic[Generic[string]]{Generic[string]{"x"}},
		struct {
			A int
			B Small
		}{1, Small{B: 2}},
		map[string]int{
			"a": 1,
			"b": -1,
		}, map[string]int{}, map[Small][]Small{{A: 1}: {{B: 2}}}, map[int]map[int]string{1: {2: "x"}},
		map[Empty]Empty{{}: {}}, map[[2]bool]string{{true, false}: "x"},
		[]int{
			1,
			2,
			3,
		}, []string{"", "x"}, [][]int{{1}, {2, 3}}, []*int{&one}, []Empty{{}, {}}, []bool{true, false}, []float32{1.5},
		[3]string{"a", "", "c"}, [0]int{}, [2]Small{{A: 1}}, Point{1, 2},
		Celsius(36.6), Level(-128), Label("x"), Label(""), Raw{1, 2}, Labels{"a", "b"}, Table{"a": 1},
		Linked{"a": {"b": {}}}, Empty{}, Complex{complex(1, -2)},
		AllBasic{
			true,
			math.MinInt8,
			math.MinInt16,
			math.MinInt32,
			math.MinInt64,
			-1,
			255,
			math.MaxUint16,
			math.MaxUint32,
			math.MaxUint64,
			1,
			2,
			math.MaxFloat32,
			math.SmallestNonzeroFloat64,
			complex(1, 2),
			complex(3, 4),
			"s",
		},
		AllBasic{}, Zeros{M: map[string]int{}},
		true, 1, -1, int8(1), int16(1), int32(1), int64(math.MinInt64), uint(1), uint8(255), uint16(1), uint32(1),
		uint64(
			math.MaxUint64,
		), uintptr(1), float32(1.5), 2.5, complex64(1), complex(0, 1), "", "text", []byte{}, []byte("bytes"),
		time.Second, moments()[1], moments(), map[string]time.Time{"x": moments()[2]},
		*big.NewInt(1), big.NewInt(-1 << 62), *new(big.Int).Lsh(big.NewInt(1), 1000), []*big.Int{big.NewInt(7)}, struct{ N big.Int }{*big.NewInt(9)},
		url.URL{
			Scheme: "https",
			Host:   "a.b",
		}, netip.MustParseAddr("::1"), Even{4}, []Even{{2}, {0}}, map[string]Even{"x": {6}},
		Secret{
			"x",
		}, []Secret{{"a"}, {"b"}}, struct{ S, T Secret }{Secret{"s"}, Secret{"t"}}, map[string]*Secret{"p": {"q"}},
		Box{}, Box{Any: 1, Shouter: Registered{"a"}, Pair: [2]any{"x", 2.5}, List: []any{nil, true, []byte("x"), []string{"y"}}},
		Box{
			Any:     Late{Deep: Registered{"deep"}},
			Shouter: Registered{"again"},
			Pair:    [2]any{Late{Deep: Box{Any: Late{}}}, Tree{Value: 1}},
			Map:     map[string]any{"a": map[string]any{"b": []any{Late{}, Small{}.A, Registered{"c"}}}},
		},
		[]any{
			1,
			"x",
			Late{Deep: []any{Late{Deep: Tree{Left: &Tree{}}}}},
			Registered{"z"},
		}, []Shouter{Registered{"s"}}, map[string]Shouter{},
		[2]any{Late{1}, nil}, Node{1, &Node{Value: Registered{"r"}}, map[Label][]Node{"x": {{}, {Value: "v"}}}},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, want := range values() {
		t.Run(fmt.Sprintf("%T", want), func(t *testing.T) {
			var from, to codec.Codec
			ptr := reflect.New(reflect.TypeOf(want)) // a value, a pointer, and a pointer to that, in turn
			ptr.Elem().Set(reflect.ValueOf(want))
			ptr2 := reflect.New(ptr.Type())
			ptr2.Elem().Set(ptr)
			for _, v := range []any{want, ptr.Interface(), ptr2.Interface(), want} {
				p := encode(t, &from, &to, v)
				got := reflect.New(reflect.TypeOf(want))
				require.NoError(t, to.Decode(p, got.Interface()))
				requireAlike(t, want, got.Elem().Interface())

				var gotPtr = reflect.New(ptr2.Type())
				require.NoError(t, to.Decode(p, gotPtr.Interface()), "into a pointer to a pointer")
				requireAlike(t, want, gotPtr.Elem().Elem().Elem().Interface())
			}
		})
	}
}

func requireAlike(t *testing.T, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case time.Time:
		require.True(t, w.Equal(got.(time.Time)), "%v is not %v", got, w)
	case big.Int:
		g := got.(big.Int)
		require.Zero(t, w.Cmp(&g), "%v is not %v", &g, &w)
	default:
		require.Equal(t, want, got)
	}
}

// What gob alone makes of a value is what the Codec makes of it, but for what gob loses and an
// engine keeps.
func TestLikeGob(t *testing.T) {
	more := []any{[]int{}, Raw{}, Nested{{}, {{}, {}}}, map[string][]int{"a": {}, "b": nil}, []Raw{nil, {}, {1}},
		Zeros{A: []int{}}, Zeros{P: new(int)}, []Zeros{{}}, Outer{hidden: 1, List: []Inner{}}, Box{List: []any{}},
		struct {
			N []*big.Int
			A any
		}{[]*big.Int{nil, big.NewInt(1)}, 1}, // a nil *big.Int encodes itself
		struct{ N **big.Int }{ptrTo(big.NewInt(5))}, struct{ N []**Small }{[]**Small{ptrTo(&Small{A: 1})}}}
	for _, v := range append(values(), more...) {
		t.Run(fmt.Sprintf("%T", v), func(t *testing.T) {
			var from, to codec.Codec
			in := reflect.ValueOf(v)
			if in.Kind() != reflect.Pointer { // gob panics at a pointer to a pointer to a type that encodes itself
				in = reflect.New(in.Type())
				in.Elem().Set(reflect.ValueOf(v))
			}
			var buf bytes.Buffer
			require.NoError(t, gob.NewEncoder(&buf).EncodeValue(in))
			want := reflect.New(in.Type().Elem())
			require.NoError(t, gob.NewDecoder(&buf).DecodeValue(want))
			if v, ok := v.([]byte); ok && len(v) == 0 {
				want.Elem().SetBytes(v) // which gob makes nil
			}
			got := reflect.New(in.Type().Elem())
			require.NoError(t, to.Decode(encode(t, &from, &to, v), got.Interface()))
			if to.HasEngine(v) && gobLoses(reflect.ValueOf(v)) {
				require.NoError(t, loosely(want.Elem(), got.Elem()))
				require.NoError(t, kept(reflect.ValueOf(v), got.Elem()))
				return
			}
			require.Equal(t, want.Interface(), got.Interface())
		})
	}
}

func TestTimesKeepTheirZone(t *testing.T) {
	var from, to codec.Codec
	for _, want := range moments() {
		var got time.Time
		require.NoError(t, to.Decode(encode(t, &from, &to, want), &got))
		require.True(t, want.Equal(got))
		require.Equal(t, want.Format(time.RFC3339Nano), got.Format(time.RFC3339Nano))
	}
}

func TestNothing(t *testing.T) {
	var c codec.Codec
	for _, v := range []any{nil, struct{}{}} {
		p, err := c.Encode(v)
		require.NoError(t, err)
		require.Equal(t, codec.Payload{}, p)
	}
	targets := map[string]struct {
		v  any
		ok bool
	}{
		"any": {
			new(any),
			true,
		}, "struct{}": {&struct{}{}, true}, "Empty": {&Empty{}, true}, "*Small": {ptrTo(&Small{A: 1}), true},
		"Shouter": {ptrTo[Shouter](Registered{}), true}, "error": {ptrTo(errOdd), true},
		"Small": {
			&Small{A: 1},
			false,
		}, "int": {new(int), false}, "string": {ptrTo("x"), false}, "[]byte": {&[]byte{1}, false},
	}
	for name, tt := range targets {
		t.Run(name, func(t *testing.T) {
			err := c.Decode(codec.Payload{}, tt.v)
			if tt.ok {
				require.NoError(t, err)
				require.True(t, reflect.ValueOf(tt.v).Elem().IsZero(), "the target was set to zero")
				return
			}
			var mismatch *codec.MismatchError
			require.ErrorAs(t, err, &mismatch)
			require.Equal(t, "no body", mismatch.Sent)
			require.False(t, reflect.ValueOf(tt.v).Elem().IsZero() && name != "int", "the target was left alone")
		})
	}
}

func ptrTo[T any](v T) *T { return &v }

func TestBytesAndStrings(t *testing.T) {
	var c codec.Codec
	b, err := c.Encode([]byte("abc"))
	require.NoError(t, err)
	require.Equal(t, codec.Payload{Encoding: codec.Bytes, Data: []byte("abc")}, b)
	s, err := c.Encode("abc")
	require.NoError(t, err)
	require.Equal(t, codec.Payload{Encoding: codec.String, Data: []byte("abc")}, s)

	var v any
	require.NoError(t, c.Decode(b, &v))
	require.Equal(t, []byte("abc"), v)
	require.NoError(t, c.Decode(s, &v))
	require.Equal(t, "abc", v)

	var pb *[]byte
	require.NoError(t, c.Decode(b, &pb))
	require.Equal(t, []byte("abc"), *pb)
	var pps **string
	require.NoError(t, c.Decode(s, &pps))
	require.Equal(t, "abc", **pps)

	nilBytes, err := c.Encode([]byte(nil))
	require.NoError(t, err)
	got := []byte("old")
	require.NoError(t, c.Decode(nilBytes, &got))
	require.Equal(t, []byte{}, got)

	tests := []struct {
		p          codec.Payload
		v          any
		sent, want string
	}{
		{
			b,
			new(string),
			"[]byte",
			"string",
		}, {b, new(Raw), "[]byte", pkg + "Raw"}, {b, new(Shouter), "[]byte", pkg + "Shouter"},
		{b, new(*string), "[]byte", "string"}, {b, new(Small), "[]byte", pkg + "Small"},
		{
			s,
			new([]byte),
			"string",
			"[]byte",
		}, {s, new(Label), "string", pkg + "Label"}, {s, new(error), "string", "error"}, {s, new(*int), "string", "int"},
	}
	for _, tt := range tests {
		require.Equal(t, &codec.MismatchError{Sent: tt.sent, Want: tt.want}, c.Decode(tt.p, tt.v))
	}
}

const pkg = "github.com/multiprolab/multiprolab/internal/codec_test."

// Definitions are part of no payload, be it the first of its type.
func TestPayloadIsSmall(t *testing.T) {
	var from codec.Codec
	for i := range 3 {
		p, err := from.Encode(Small{"name", 1, 2})
		require.NoError(t, err)
		require.Equal(t, uint8(codec.GobValue), p.Encoding)
		require.Len(t, p.Data, len("name")+7, "value %d", i)
		require.NotZero(t, p.Defs)
	}
}

// The id depends on the type alone, not on what its process has sent before.
func TestDefinitionsDependOnTheTypeAlone(t *testing.T) {
	var a, b codec.Codec
	for _, v := range values() { // gob numbers types, and names some, in the order in which it meets them
		_, err := b.Encode(v)
		require.NoError(t, err)
	}
	seen := map[uint64]string{}
	for _, v := range values() {
		pa, err := a.Encode(v)
		require.NoError(t, err)
		pb, err := b.Encode(ptrTo(v)) // what is behind the interface counts
		require.NoError(t, err)
		require.Equal(t, pa.Defs, pb.Defs)
		if pa.Encoding != codec.GobValue {
			continue
		}
		require.Equal(t, a.Definitions(pa.Defs), b.Definitions(pb.Defs))
		name := fmt.Sprintf("%T", v)
		if other, ok := seen[pa.Defs]; ok {
			require.Equal(t, strings.TrimLeft(other, "*"), strings.TrimLeft(name, "*"))
		}
		seen[pa.Defs] = name
	}
}

func TestMissingDefinitions(t *testing.T) {
	var from, to codec.Codec
	p, err := from.Encode(Small{A: 1})
	require.NoError(t, err)
	var other Inner
	err = to.Decode(p, &other)
	require.ErrorContains(t, err, "never came")
	require.ErrorContains(t, err, pkg+"Inner")
	require.ErrorContains(t, err, fmt.Sprintf("%#x", p.Defs))
	require.Nil(t, to.Definitions(p.Defs))

	var same Small // an end that has the type needs nothing from the other
	require.NoError(t, to.Decode(p, &same))
	require.Equal(t, Small{A: 1}, same)
}

func TestNilPointers(t *testing.T) {
	var c codec.Codec
	var p *Small
	for _, v := range []any{p, &p, (*int)(nil), (*[]byte)(nil), (*big.Int)(nil), (*Box)(nil), (*any)(nil), new(any), (**Small)(nil), (*Even)(nil)} {
		got, err := c.Encode(v)
		require.NoError(t, err)
		require.Equal(t, codec.Payload{}, got, "no body")
	}
	for _, v := range []any{[]*int{nil}, map[string]*Small{"a": nil}, Box{Any: p},
		[1]*Even{}, []*time.Time{new(time.Time), nil}, map[string]*time.Time{"a": nil}, struct{ T []*time.Time }{[]*time.Time{nil}},
		Box{List: []any{[]*Even{nil}}}} {
		_, err := c.Encode(v)
		require.Error(t, err, "%T", v)
	}
	_, err := c.Encode(Outer{}) // a nil pointer in a field is no value
	require.NoError(t, err)
}

type (
	withFunc     struct{ F func() }
	withChan     struct{ C chan int }
	withDeepFunc struct {
		L []map[string]struct{ Hook *func() }
	}
	withEmbedded struct{ withFuncField }
	WithFunc     struct{ F func(int) error }
	withExported struct{ WithFunc }
	withKey      struct{ M map[chan int]string }
	onlyHidden   struct{ a, b int }
	withHidden   struct {
		A int
		B struct{ H onlyHidden }
	}
	loop *loop

	base         struct{ ID, Rev int }
	embedsStruct struct {
		base
		Text string
	}
	embedsPointer struct {
		*base
		Text string
	}
	middle     struct{ *base }
	embedsDeep struct {
		middle
		Text string
	}
	lower       struct{ Small }
	embedsUpper struct {
		lower
		Text string
	}
	alias       = Small
	embedsAlias struct {
		alias
		Text string
	}
	generic[T any] struct{ V T }
	embedsGeneric  struct {
		generic[int]
		Text string
	}
	circular struct {
		*circular //lint:ignore U1000 gob looks at it
		A         int
	}
	embedsItself struct {
		circular
		Text string
	}
	embedsOnly       struct{ base }
	registeredEmbeds struct {
		base
		Text string
	}
	registeredFunc struct {
		F func()
		N int
	}

	number  int
	numbers []int
	face    interface{ Shout() string }
	private struct{ a, b int }
	//lint:ignore U1000 gob looks at it
	round        struct{ *round }
	Exported     = base
	EmbedsOthers struct { // nothing of them is a field of it, for other packages or encoding/json
		number
		numbers
		face
		private
		//lint:ignore U1000 gob looks at it
		round
		Exported
		Text string
	}

	withEvent     struct{ E Event }
	withFuncField struct{ F func() }
	encodeOnly    struct{ E encoderOnly }
	decodeOnly    struct{ D decoderOnly }
	withMarshaler struct {
		M interface{ MarshalBinary() ([]byte, error) }
	}
	withCodec struct {
		M interface {
			GobEncode() ([]byte, error)
			GobDecode([]byte) error
		}
	}
)

// Event loses Name: the method that encodes it is that of time.Time.
type Event struct {
	time.Time
	Name string
}

type withBig struct { // the methods of an embedded big.Int have pointer receivers
	big.Int
	Name string
}

type withSecret struct {
	Secret
	Name string
}

type withURL struct {
	*url.URL
	Name string
}

// Stamp is nothing but the time.
type Stamp struct{ time.Time }

// OwnEvent embeds a time too, and has methods of its own.
type OwnEvent struct {
	time.Time
	Name string
}

func (e OwnEvent) GobEncode() ([]byte, error)         { return []byte(e.Name), nil }
func (e *OwnEvent) GobDecode(b []byte) error          { e.Name = string(b); return nil }
func (e OwnEvent) MarshalBinary() (_ []byte, _ error) { panic("GobEncode goes before it") }

type GenericEvent[T any] struct {
	time.Time
	Value T
}

// OwnGeneric has methods of its own too.
type OwnGeneric[T any] struct {
	time.Time
	Value T
}

func (g OwnGeneric[T]) GobEncode() ([]byte, error) { return fmt.Append(nil, g.Value), nil }
func (g *OwnGeneric[T]) GobDecode(b []byte) error {
	_, err := fmt.Sscan(string(b), &g.Value)
	return err
}

type encoderOnly struct{ A int }

func (encoderOnly) GobEncode() ([]byte, error) { return nil, nil }

type decoderOnly struct{ A int }

func (*decoderOnly) UnmarshalBinary([]byte) error { return nil }

func endless() loop {
	var l loop
	l = &l
	return l
}

func TestTypesThatCannotCross(t *testing.T) {
	tests := []struct {
		v     any
		wants []string
	}{
		{withFunc{}, []string{pkg + "withFunc.F is a func", "left out in silence"}},
		{&withFunc{}, []string{pkg + "withFunc.F is a func"}},
		{withChan{}, []string{pkg + "withChan.C is a chan"}},
		{withDeepFunc{}, []string{pkg + "withDeepFunc.L element.Hook is a func"}},
		{withExported{}, []string{pkg + "withExported.WithFunc.F is a func"}},
		{
			embedsStruct{},
			[]string{
				pkg + "embedsStruct.ID is a field of the embedded base, whose name is in lower case",
				"embed an exported type, or give the field a name",
			},
		},
		{embedsPointer{&base{}, "x"}, []string{"embedsPointer.ID is a field of the embedded base"}},
		{embedsPointer{}, []string{"embedsPointer.ID is a field of the embedded base"}},
		{embedsDeep{}, []string{"embedsDeep.ID is a field of the embedded middle"}},
		{embedsUpper{}, []string{"embedsUpper.Small is a field of the embedded lower"}},
		{embedsAlias{}, []string{"embedsAlias.Name is a field of the embedded alias"}},
		{embedsGeneric{}, []string{"embedsGeneric.V is a field of the embedded generic"}},
		{
			embedsItself{circular: circular{circular: nil}},
			[]string{"embedsItself.A is a field of the embedded circular"},
		},
		{embedsOnly{}, []string{"embedsOnly.ID is a field of the embedded base"}},
		{[]embedsStruct{}, []string{"embedsStruct.ID is a field of the embedded base"}},
		{[1]embedsStruct{}, []string{"embedsStruct.ID is a field of the embedded base"}},
		{map[string]*embedsStruct{}, []string{"element.ID is a field of the embedded base"}},
		{map[embedsStruct]int{}, []string{"key.ID is a field of the embedded base"}},
		{struct{ In struct{ embedsStruct } }{}, []string{".In.ID is a field of the embedded embedsStruct"}},
		{Box{Any: registeredEmbeds{}}, []string{"registeredEmbeds.ID is a field of the embedded base"}},
		{Box{List: []any{1, registeredEmbeds{}}}, []string{"registeredEmbeds.ID is a field of the embedded base"}},
		{Box{Any: registeredFunc{}}, []string{"registeredFunc.F is a func"}},
		{withKey{}, []string{pkg + "withKey.M key is a chan"}},
		{map[string]func(){}, []string{"map[string]func() element is a func"}},
		{[]chan int{}, []string{"is a chan"}},
		{[2]func(){}, []string{"is a func"}},
		{func() {}, []string{"func() is a func"}},
		{make(chan int), []string{"chan int is a chan"}},
		{onlyHidden{1, 2}, []string{pkg + "onlyHidden has no exported fields", "export the fields"}},
		{withHidden{}, []string{pkg + "withHidden.B.H has no exported fields", "export the fields"}},
		{
			withEmbedded{},
			[]string{pkg + "withEmbedded.F is a field of the embedded withFuncField", "left out in silence"},
		},
		{errors.New("x"), []string{"no exported fields"}},
		{endless(), []string{"pointers without end"}},
		{struct{ L loop }{}, []string{"L is a type of pointers without end"}},
		{
			Event{},
			[]string{pkg + "Event", "GobEncode", "Name would be left out in silence", "give the embedded field a name"},
		},
		{GenericEvent[int]{}, []string{"Value would be left out in silence"}},
		{[]withEvent{}, []string{"withEvent.E", "Name would be left out in silence"}},
		{withBig{}, []string{"GobEncode", "Name would be left out"}},
		{&withSecret{}, []string{"MarshalBinary", "Name would be left out"}},
		{withURL{}, []string{"MarshalBinary", "Name would be left out"}},
		{map[chan int]string{}, []string{"key is a chan"}},
		{struct{ A []func() }{}, []string{".A is a func"}},
		{struct{ P *chan int }{}, []string{".P is a chan"}},
		{encodeOnly{}, []string{"encodeOnly.E has one of the methods GobEncode and GobDecode and not the other"}},
		{
			decodeOnly{},
			[]string{"decodeOnly.D has one of the methods MarshalBinary and UnmarshalBinary and not the other"},
		},
		{withMarshaler{}, []string{"withMarshaler.M has one of the methods"}},
		{withCodec{}, []string{"withCodec.M is an interface with the methods GobEncode"}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%T", tt.v), func(t *testing.T) {
			var c codec.Codec
			for range 2 {
				_, err := c.Encode(tt.v)
				for _, want := range tt.wants {
					require.ErrorContains(t, err, want)
				}
			}
		})
	}
}

func TestEmbeddedMethods(t *testing.T) {
	var from, to codec.Codec
	now := moments()[1]
	var stamp Stamp
	require.NoError(t, to.Decode(encode(t, &from, &to, Stamp{now}), &stamp))
	require.True(t, now.Equal(stamp.Time))
	var own OwnEvent
	require.NoError(t, to.Decode(encode(t, &from, &to, OwnEvent{Name: "x"}), &own))
	require.Equal(t, "x", own.Name)
	var generic OwnGeneric[int]
	require.NoError(t, to.Decode(encode(t, &from, &to, OwnGeneric[int]{Value: 7}), &generic))
	require.Equal(t, 7, generic.Value)
}

// What is embedded under a name in lower case, and has no exported fields, is private as any field
// in lower case is.
func TestEmbeddedPrivateTypes(t *testing.T) {
	var from, to codec.Codec
	sent := EmbedsOthers{
		number:   1,
		numbers:  numbers{2},
		face:     Registered{},
		private:  private{3, 4},
		round:    round{round: nil},
		Exported: Exported{ID: 5},
		Text:     "x",
	}
	var got EmbedsOthers
	require.NoError(t, to.Decode(encode(t, &from, &to, sent), &got))
	require.Equal(t, EmbedsOthers{Exported: Exported{ID: 5}, Text: "x"}, got)
}

func TestInterfaces(t *testing.T) {
	var from, to codec.Codec
	sent := Box{Shouter: Registered{"hey"}}
	for range 2 { // each has all that it needs
		p, err := from.Encode(sent)
		require.NoError(t, err)
		require.Equal(t, uint8(codec.GobValue), p.Encoding)
		var got Box
		require.NoError(t, to.Decode(p, &got))
		require.Equal(t, "HEY", got.Shouter.Shout())
	}
	_, err := from.Encode(Box{Shouter: Unregistered{"x"}})
	require.ErrorContains(t, err, "not registered for interface")
	require.ErrorContains(t, err, "gob.Register")
	require.ErrorContains(t, err, "Unregistered")

	_, err = from.Encode(Box{Any: registeredHidden{1}})
	require.ErrorContains(t, err, "registeredHidden has no exported fields")
	require.ErrorContains(t, err, "export the fields")

	// a type that the other end has not registered
	p, err := from.Encode(sent)
	require.NoError(t, err)
	p.Data = []byte(strings.ReplaceAll(string(p.Data), pkg+"Registered", pkg+"RegisterXX"))
	var got Box
	err = to.Decode(p, &got)
	require.ErrorContains(t, err, "not registered for interface")
	require.ErrorContains(t, err, "RegisterXX")
	require.ErrorContains(t, err, "gob.Register")
}

func TestFailedEncode(t *testing.T) {
	tests := []struct{ good, bad any }{
		{Even{2}, Even{1}},
		{[]Even{{2}, {4}}, []Even{{2}, {3}}},
		{struct{ A, B Even }{Even{2}, Even{4}}, struct{ A, B Even }{Even{2}, Even{3}}},
		{map[string]*Small{"a": {A: 1}}, map[string]*Small{"a": nil}},
		{Box{Any: 1}, Box{Any: Unregistered{}}},
	}
	for _, tt := range tests {
		for _, order := range []string{"bad first", "good first"} {
			t.Run(fmt.Sprintf("%T/%s", tt.good, order), func(t *testing.T) {
				var from, to codec.Codec
				if order == "good first" {
					encode(t, &from, &to, tt.good)
				}
				for range 3 {
					_, err := from.Encode(tt.bad)
					require.Error(t, err)
					for range 2 {
						got := reflect.New(reflect.TypeOf(tt.good))
						require.NoError(t, to.Decode(encode(t, &from, &to, tt.good), got.Interface()))
						require.Equal(t, tt.good, got.Elem().Interface())
					}
				}
			})
		}
	}
	var c codec.Codec
	_, err := c.Encode(Even{1})
	require.ErrorIs(t, err, errOdd)
}

func TestUnaddressable(t *testing.T) {
	var c codec.Codec
	_, err := c.Encode(map[string]big.Int{"a": *big.NewInt(1)})
	require.ErrorContains(t, err, "hold a pointer to it")
}

// gob would follow a value that holds itself until the stack is full, which ends the process.
func TestEndlessValues(t *testing.T) {
	gob.Register([1]*Tree{})
	tree := &Tree{}
	tree.Children = []Tree{{Left: tree}}
	nested := make(Nested, 1)
	nested[0] = nested
	linked := Linked{}
	linked["x"] = Linked{"y": linked}
	list := []any{1, nil}
	list[1] = list
	box := Box{Map: map[string]any{}}
	box.Map["x"] = []any{box}
	node := &Node{}
	node.Next = node
	endless := []any{tree, *tree, nested, linked, list, box, node, map[any]int{tree: 1}, []any{[1]*Tree{tree}}}
	for _, v := range endless {
		var c codec.Codec
		_, err := c.Encode(v)
		require.ErrorContains(t, err, "nested over 10000 levels deep")
		require.ErrorContains(t, err, "holds itself")
	}
}

// Mirror holds itself, in fields that gob does not follow.
type Mirror struct {
	Self   *Mirror
	hidden []any
}

func (Mirror) GobEncode() ([]byte, error)  { return nil, nil }
func (m *Mirror) GobDecode(b []byte) error { return nil }

type Shell struct {
	Value  any
	hidden *Shell
}

func TestEndlessWhereGobDoesNotLook(t *testing.T) {
	m := &Mirror{}
	m.Self = m
	m.hidden = []any{m}
	s := Shell{Value: 1}
	s.hidden = &s
	for _, v := range []any{[]*Mirror{m}, m, s} {
		var c codec.Codec
		_, err := c.Encode(v)
		require.NoError(t, err, "%T", v)
	}
}

// chain returns a list of n trees.
func chain(n int) *Tree {
	var tree *Tree
	for i := range n {
		tree = &Tree{Value: i, Left: tree}
	}
	return tree
}

func TestDepth(t *testing.T) {
	var from, to codec.Codec
	const most = 10000 // levels: the last tree's Value is one
	var got Tree
	require.NoError(t, to.Decode(encode(t, &from, &to, chain(most)), &got))
	require.Equal(t, chain(most), &got)
	_, err := from.Encode(chain(most + 2))
	require.ErrorContains(t, err, "levels deep")

	list := any(1)
	for range most / 2 { // each is two levels
		list = []any{list}
	}
	var gotList []any
	require.NoError(t, to.Decode(encode(t, &from, &to, list), &gotList))
	require.Equal(t, list, any(gotList))
	_, err = from.Encode([]any{list})
	require.ErrorContains(t, err, "levels deep")
}

func TestConversions(t *testing.T) {
	tests := []struct {
		sent any
		into any
		want any // the value, or a part of the error
	}{
		{
			int(5),
			new(int64),
			int64(5),
		}, {int64(5), new(int), 5}, {int8(-5), new(int32), int32(-5)}, {uint64(5), new(uint8), uint8(5)},
		{
			float64(1.5),
			new(float32),
			float32(1.5),
		}, {complex64(1), new(complex128), complex128(1)}, {uintptr(7), new(uint), uint(7)},
		{
			300,
			new(int8),
			"out of range",
		}, {uint64(1 << 40), new(uint32), "out of range"}, {math.MaxFloat64, new(float32), "out of range"},
		{-1, new(uint), "it holds int, and uint is wanted"}, {1, new(float64), "it holds int, and float64 is wanted"},
		{1, new(string), "it holds int, and string is wanted"}, {1, new(bool), "it holds int, and bool is wanted"},
		{true, new(int), "it holds bool, and int is wanted"}, {1, new([]byte), "it holds int, and []byte is wanted"},
		{Level(1), new(int8), "codec_test.Level, and int8 is wanted"}, {int8(1), new(Level), "it holds int8, and"},
		{time.Second, new(int64), "it holds time.Duration, and int64 is wanted"},
		{
			[]int{1},
			new([]int64),
			"it holds []int, and []int64 is wanted",
		}, {1, new(any), 1}, {Level(1), new(any), "call gob.Register"},
		{1, new(Shouter), "it holds int, and " + pkg + "Shouter is wanted"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%T into %T", tt.sent, tt.into), func(t *testing.T) {
			var from, to codec.Codec
			p := encode(t, &from, &to, tt.sent)
			for range 2 {
				err := to.Decode(p, tt.into)
				if part, ok := tt.want.(string); ok {
					require.ErrorContains(t, err, part)
					continue
				}
				require.NoError(t, err)
				require.Equal(t, tt.want, reflect.ValueOf(tt.into).Elem().Interface())
			}
			// and it has disturbed no value of the target's own type
			same := encode(t, &from, &to, 7)
			var n int
			require.NoError(t, to.Decode(same, &n))
			require.Equal(t, 7, n)
		})
	}
}

type Similar struct { // one field is that of Small
	Name string
	Z    []int
}

func localA() any {
	type Local struct{ A, B int }
	return &Local{1, 2}
}

func localB() any {
	type Local struct {
		A int
		B string
	}
	return &Local{1, "2"}
}

// localBox returns values of types that share a name, and go self-contained.
func localBox(n int) any {
	switch n {
	case 0:
		type Local struct{ A any }
		return &Local{1}
	case 1:
		type Local struct {
			A any
			B int
		}
		return &Local{1, 2}
	case 2:
		type Local struct {
			A any
			B string
		}
		return &Local{1, "x"}
	}
	type Local struct {
		A any
		C int
	}
	return &Local{1, 3}
}

func localMap(n int) any {
	switch n {
	case 0:
		type Local struct{ M map[string]any }
		return &Local{map[string]any{"a": 1}}
	case 1:
		type Local struct{ M map[int]any }
		return &Local{map[int]any{1: 1}}
	}
	type Local struct{ M map[string][]any }
	return &Local{map[string][]any{"a": {1}}}
}

func TestMismatch(t *testing.T) {
	tests := []struct {
		a, b  any
		names [2]string
	}{
		{&Small{"a", 1, 2}, &Similar{"a", nil}, [2]string{pkg + "Small", pkg + "Similar"}},
		{&Small{}, &Empty{}, [2]string{pkg + "Small", pkg + "Empty"}},
		{&Small{}, ptrTo(1), [2]string{pkg + "Small", "int"}},
		{&Small{}, &[]Small{}, [2]string{pkg + "Small", "[]" + pkg + "Small"}},
		{&Small{}, ptrTo("x"), [2]string{pkg + "Small", "string"}},
		{&Small{}, &Box{}, [2]string{pkg + "Small", pkg + "Box"}},
		{&Box{}, &[]any{}, [2]string{pkg + "Box", "[]interface {}"}},
		{&Even{2}, &Secret{}, [2]string{pkg + "Even", pkg + "Secret"}},
		{&map[string]int{}, &map[string]int64{}, [2]string{"map[string]int", "map[string]int64"}},
		{&[]Small{}, &[]*Small{}, [2]string{"[]" + pkg + "Small", "[]*" + pkg + "Small"}},
		{&[2]int{}, &[3]int{}, [2]string{"[2]int", "[3]int"}},
		{&Generic[int]{}, &Generic[string]{}, [2]string{pkg + "Generic[int]", pkg + "Generic[string]"}},
		{&struct{ A int }{}, &struct{ B int }{}, [2]string{"struct {A int}", "struct {B int}"}},
		{&[]time.Time{}, &[]big.Int{}, [2]string{"[]time.Time", "[]math/big.Int"}},
		{localA(), localB(), [2]string{pkg + "Local", pkg + "Local"}},
		{localBox(0), localBox(1), [2]string{pkg + "Local", pkg + "Local"}},
		{localBox(1), localBox(2), [2]string{pkg + "Local", pkg + "Local"}},
		{localBox(1), localBox(3), [2]string{pkg + "Local", pkg + "Local"}},
		{localMap(0), localMap(1), [2]string{pkg + "Local", pkg + "Local"}},
		{localMap(0), localMap(2), [2]string{pkg + "Local", pkg + "Local"}},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%T and %T", tt.a, tt.b), func(t *testing.T) {
			check := func(sent, want any, sentName, wantName string) {
				var from, to codec.Codec
				p := encode(t, &from, &to, reflect.ValueOf(sent).Elem().Interface())
				target := reflect.New(reflect.TypeOf(want).Elem())
				err := to.Decode(p, target.Interface())
				require.Equal(t, &codec.MismatchError{Sent: sentName, Want: wantName}, err)
				require.True(t, target.Elem().IsZero(), "nothing of it was decoded")
				require.ErrorContains(t, err, sentName)
				require.ErrorContains(t, err, wantName)
				target = reflect.New(reflect.TypeOf(sent).Elem())
				require.NoError(t, to.Decode(p, target.Interface()), "into its own type")
			}
			check(tt.a, tt.b, tt.names[0], tt.names[1])
			check(tt.b, tt.a, tt.names[1], tt.names[0])
		})
	}
	require.Contains(t, (&codec.MismatchError{Sent: "p.T", Want: "p.T"}).Error(), "another type with the name p.T")
}

func TestTargets(t *testing.T) {
	var c codec.Codec
	p, err := c.Encode(Small{A: 1})
	require.NoError(t, err)
	for _, v := range []any{nil, Small{}, (*Small)(nil), 1} {
		require.ErrorContains(t, c.Decode(p, v), "pass a pointer", "%T", v)
	}
	for _, v := range []any{new(withFunc), new(func()), new(chan int), new(Event)} {
		require.Error(t, c.Decode(p, v), "%T", v)
	}
	require.ErrorContains(t, c.Decode(codec.Payload{Encoding: 99}, &Small{}), "encoding 99 does not exist")

	// what was sent under the name of a type that cannot be sent
	name := pkg + "withFunc"
	blob := append(names(name, "codec_test.withFunc"), 0xff, 130)
	id, err := c.Define(blob)
	require.NoError(t, err)
	require.ErrorContains(
		t,
		c.Decode(codec.Payload{Encoding: codec.Gob, Data: blob}, new(withFunc)),
		"withFunc.F is a func",
	)
	require.ErrorContains(
		t,
		c.Decode(codec.Payload{Encoding: codec.GobValue, Defs: id}, new(withFunc)),
		"withFunc.F is a func",
	)
}

// A target that was used before keeps nothing of it: gob alone leaves alone what was sent as zero,
// and writes into slices that are there.
func TestTargetIsSetToZero(t *testing.T) {
	var from, to codec.Codec
	var got Outer
	require.NoError(
		t,
		to.Decode(encode(t, &from, &to, Outer{Raw: []byte("first"), Inner: Inner{X: 1, Tags: []string{"a"}}}), &got),
	)
	raw, tags := got.Raw, got.Tags
	require.NoError(
		t,
		to.Decode(encode(t, &from, &to, Outer{Raw: []byte("other"), Inner: Inner{Tags: []string{"b"}}}), &got),
	)
	require.Equal(t, Outer{Raw: []byte("other"), Inner: Inner{Tags: []string{"b"}}}, got)
	require.Equal(t, "first", string(raw))
	require.Equal(t, []string{"a"}, tags)

	m := map[string]int{"old": 1}
	require.NoError(t, to.Decode(encode(t, &from, &to, map[string]int{"new": 2}), &m))
	require.Equal(t, map[string]int{"new": 2}, m)
}

func TestMemoryIsNotShared(t *testing.T) {
	type Body struct {
		Raw []byte
		S   []string
	}
	var from, to codec.Codec
	tests := []struct {
		v      any
		spoil  func(v any)
		target any
	}{
		{[]byte("bytes"), func(v any) { clear(v.([]byte)) }, new([]byte)},
		{[]byte("bytes"), func(v any) { clear(v.([]byte)) }, new(any)},
		{Raw("raw"), func(v any) { clear(v.(Raw)) }, new(Raw)},
		{Body{[]byte("raw"), []string{"a"}}, func(v any) { clear(v.(Body).Raw); clear(v.(Body).S) }, new(Body)},
		{Box{Any: []byte("raw")}, func(v any) { clear(v.(Box).Any.([]byte)) }, new(Box)},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%T into %T", tt.v, tt.target), func(t *testing.T) {
			p := encode(t, &from, &to, tt.v)
			data := string(p.Data)
			want := fmt.Sprintf("%q", tt.v)
			tt.spoil(tt.v)
			require.Equal(t, data, string(p.Data), "the payload shares memory with the value")
			require.NoError(t, to.Decode(p, tt.target))
			clear(p.Data)
			require.Equal(
				t,
				want,
				fmt.Sprintf("%q", reflect.ValueOf(tt.target).Elem().Interface()),
				"the value shares memory with the payload",
			)

			// nor do two payloads of one type
			first := encode(t, &from, &to, Small{Name: "first"})
			kept := string(first.Data)
			encode(t, &from, &to, Small{Name: "other"})
			require.Equal(t, kept, string(first.Data))
		})
	}
}

func TestDefine(t *testing.T) {
	named := func(name string, n int) []byte {
		b := append([]byte{byte(len(name)), byte(len(name) >> 8)}, name...)
		return append(b, make([]byte, n-len(b))...)
	}
	t.Run("size", func(t *testing.T) {
		var c codec.Codec
		id, err := c.Define(named("x", 1<<20))
		require.NoError(t, err)
		require.Len(t, c.Definitions(id), 1<<20)
		id, err = c.Define(named("x", 1<<20+1))
		require.ErrorContains(t, err, "over the limit of 1048576 bytes")
		require.Zero(t, id)
	})
	t.Run("content", func(t *testing.T) {
		var c codec.Codec
		a := named("a", 100)
		id, err := c.Define(a)
		require.NoError(t, err)
		require.NotZero(t, id)
		again, err := c.Define(named("a", 100))
		require.NoError(t, err)
		require.Equal(t, id, again)
		other, err := c.Define(named("b", 100))
		require.NoError(t, err)
		require.NotEqual(t, id, other)
		clear(a)
		require.Equal(t, named("a", 100), c.Definitions(id), "they share no memory with what came")
		require.Nil(t, c.Definitions(id+1))
		require.Nil(t, c.Definitions(0))
		require.Nil(t, new(codec.Codec).Definitions(id))
	})
	t.Run("no name", func(t *testing.T) {
		var c codec.Codec
		for _, b := range [][]byte{nil, {1}, {1, 0}, {0, 1, 2}} {
			_, err := c.Define(b)
			require.ErrorContains(t, err, "cut short")
		}
	})
	// What a hostile worker can fill costs others no more than the name in an error.
	t.Run("count", func(t *testing.T) {
		var c codec.Codec
		full(t, &c, 1<<14, func(i int) []byte { return named(fmt.Sprint(i), 20) })
	})
	t.Run("sum", func(t *testing.T) {
		var c codec.Codec
		full(t, &c, 64, func(i int) []byte { return named(fmt.Sprint(i), 1<<20) })
	})
}

// full fills c with n definitions and checks that it then keeps no other, and works on.
func full(t *testing.T, c *codec.Codec, n int, blob func(i int) []byte) {
	for i := range n + 10 {
		id, err := c.Define(blob(i))
		require.NoError(t, err)
		require.Equal(t, i < n, c.Definitions(id) != nil, "definitions %d of %d", i, n)
	}
	id, err := c.Define(blob(0))
	require.NoError(t, err)
	require.NotNil(t, c.Definitions(id))

	var other codec.Codec
	sent, err := other.Encode(Small{A: 1})
	require.NoError(t, err)
	send(t, &other, c, sent)
	var got Small
	require.NoError(t, c.Decode(sent, &got), "it decodes what came from others")
	require.Equal(t, 1, got.A)
	require.ErrorContains(t, c.Decode(sent, &Inner{}), "never came")

	back := encode(t, c, &other, Inner{X: 1}) // and its own types stay known
	require.NoError(t, other.Decode(back, &Inner{}))
	require.NotNil(t, c.Definitions(back.Defs))
}

// A string or a []byte is lent as it is; any other value lies in the room, which comes back, unless
// its payload would be taken for the memory of a string.
func TestLendOrAppend(t *testing.T) {
	type named string
	c := &codec.Codec{}
	room := make([]byte, 0, 1<<10)
	for _, v := range []any{"text", []byte("bytes")} {
		p, left, err := c.LendOrAppend(room, v)
		require.NoError(t, err)
		require.True(t, p.Lent)
		lent, _ := codec.Lend(v)
		require.Same(t, &lent.Data[0], &p.Data[0])
		require.Equal(t, cap(room), cap(left))
	}
	p, left, err := c.LendOrAppend(room, struct{ N int }{7})
	require.NoError(t, err)
	require.True(t, p.Lent)
	require.Same(t, &room[:1][0], &left[:1][0])
	require.Equal(t, p.Data, left[len(left)-len(p.Data):])

	p, left, err = c.LendOrAppend(room, named("text"))
	require.NoError(t, err)
	require.Equal(t, p.Encoding != codec.String, p.Lent)
	require.Equal(t, p.Lent, left != nil)

	_, left, err = c.LendOrAppend(room, make(chan int))
	require.Error(t, err)
	require.NotNil(t, left)
}
