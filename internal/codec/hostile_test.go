package codec_test

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"math/big"
	"reflect"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// Longer is sent under the name of Registered, which lacks all but Word: gob skips the other
// fields.
type Longer struct {
	Map  map[Empty]Empty
	Any  any
	Deep *Tree
	List [][]map[string][]int
	Word string
}

// longerName is as long as the name that Registered is registered under.
const longerName = pkg + "LongerXXXX"

func init() { gob.RegisterName(longerName, Longer{}) }

// gobUint is an unsigned number as gob writes it.
func gobUint(v uint64) []byte {
	if v < 128 {
		return []byte{byte(v)}
	}
	b := []byte{}
	for ; v > 0; v >>= 8 {
		b = append([]byte{byte(v)}, b...)
	}
	return append([]byte{byte(-len(b))}, b...)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// heapAllocated returns the bytes that this process has ever taken from the heap.
func heapAllocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// Bytes at which gob alone takes all memory, overflows its stack, or loops for ever. None of that
// can be recovered from.
func TestBombs(t *testing.T) {
	var c codec.Codec
	defs := func(v any) uint64 {
		p, err := c.Encode(v)
		require.NoError(t, err)
		return p.Defs
	}
	self := func(v any, find, replace string) codec.Payload { // as a value travels whose type has no engine
		p, err := codec.GobOnly().Encode(v)
		require.NoError(t, err)
		data := string(p.Data)
		if find != "" {
			require.Contains(t, data, find)
			data = strings.ReplaceAll(data, find, replace)
		}
		return codec.Payload{Encoding: codec.Gob, Data: []byte(data)}
	}
	value := func(v any, data ...[]byte) codec.Payload {
		return codec.Payload{Encoding: codec.GobValue, Defs: defs(v), Data: join(data...)}
	}
	huge, most := gobUint(1<<40), gobUint(1<<63-1)
	deepAny := any(1)
	for range 3000 {
		deepAny = []any{deepAny}
	}
	tests := []struct {
		name    string
		p       codec.Payload
		target  any
		problem string
	}{
		{"map of many entries", value(map[string]int{}, []byte{0}, huge), new(map[string]int), "not a gob value"},
		{"map of empty structs", value(map[Empty]Empty{}, []byte{0}, most), new(map[Empty]Empty), "not a gob value"},
		{
			"map of as many entries as there are bytes",
			value(map[string]int{}, []byte{0}, gobUint(1<<20), make([]byte, 1<<20)),
			new(map[string]int),
			"not a gob value",
		},
		{"map in a struct", value(Tree{}, []byte{5}, huge), new(Tree), "not a gob value"},
		{"slice of many", value([]string{}, []byte{0}, huge), new([]string), "not a gob value"},
		{"slice of more", value([]AllBasic{}, []byte{0}, gobUint(1<<24)), new([]AllBasic), "not a gob value"},
		{"slice of empty structs", value([]Empty{}, []byte{0}, most), new([]Empty), "not a gob value"},
		{"slices of slices", value([][]int{}, []byte{0, 1}, most), new([][]int), "not a gob value"},
		{"bytes", value(Raw{}, []byte{0}, most), new(Raw), "not a gob value"},
		{"a text", value(Small{}, []byte{1}, most), new(Small), "not a gob value"},
		{"a method's bytes", value(Even{}, []byte{0}, most), new(Even), "not a gob value"},
		{"field number over all", value(Small{}, most), new(Small), "not a gob value"},
		{
			"field number that overflows",
			value(Small{}, []byte{1, 1, 'x'}, gobUint(1<<64-1)),
			new(Small),
			"not a gob value",
		},
		{"deep struct", value(Tree{}, bytes.Repeat([]byte{2}, 8<<20)), new(Tree), "levels deep"},
		{"deep slice", value(Nested{}, []byte{0}, bytes.Repeat([]byte{1}, 8<<20)), new(Nested), "levels deep"},
		{"deep map", value(Linked{}, []byte{0}, bytes.Repeat([]byte{1, 0}, 8<<20)), new(Linked), "levels deep"},
		{"interfaces in interfaces", self(deepAny, "", ""), new([]any), ""},
		{
			"skipped field of many entries",
			self(Box{Any: Longer{Map: map[Empty]Empty{{}: {}}, Word: "w"}}, longerName, pkg+"Registered"),
			new(Box),
			"",
		},
		{
			"skipped fields",
			self(
				Box{
					Any: Longer{
						Any:  Longer{Any: Late{}, Word: "in"},
						Deep: chain(5),
						List: [][]map[string][]int{{{"a": {1}}}},
						Word: "w",
					},
					Pair: [2]any{Late{1}, Longer{Any: Late{Deep: Tree{}}}},
				},
				longerName,
				pkg+"Registered",
			),
			new(Box),
			"",
		},
		{
			"a skipped field that is long",
			self(Box{Any: Longer{Any: strings.Repeat("x", 1<<20), Word: "w"}}, longerName, pkg+"Registered"),
			new(Box),
			"",
		},
		{"an array of another length", value([3]string{}, []byte{0, 2, 0, 0}), new([3]string), "not a gob value"},
		{
			"a skipped field that is deep",
			self(Box{Any: Longer{Deep: chain(9000)}}, longerName, pkg+"Registered"),
			new(Box),
			"",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, began := heapAllocated(), time.Now()
			err := c.Decode(tt.p, tt.target)
			took := heapAllocated() - before
			require.Less(t, took, uint64(4<<20+200*len(tt.p.Data)), "it took too much memory")
			require.Less(t, time.Since(began), 20*time.Second)
			if tt.problem == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.problem)
			require.True(t, reflect.ValueOf(tt.target).Elem().IsZero())
		})
	}
	var box Box
	require.NoError(t, c.Decode(tests[len(tests)-3].p, &box))
	require.Equal(t, Registered{"w"}, box.Any)
	require.NoError(t, c.Decode(tests[len(tests)-4].p, &box))
	require.Equal(t, Registered{"w"}, box.Any)
	require.Equal(t, Late{1}, box.Pair[0])
	require.Equal(t, Registered{}, box.Pair[1])
}

// names are those of a type, as a self-contained payload and definitions begin with them.
func names(long, short string) (b []byte) {
	for _, name := range []string{long, short} {
		b = append(append(b, byte(len(name)), 0), name...)
	}
	return b
}

// definition makes a gob message that defines a type: a struct with fields of the types with the
// ids, or, with one nameless field, a slice.
func definition(id int64, ids ...int64) []byte {
	signed := func(v int64) []byte {
		if v < 0 {
			return gobUint(uint64(^v)<<1 | 1)
		}
		return gobUint(uint64(v) << 1)
	}
	common := join([]byte{1, 2}, signed(id), []byte{0})
	var b []byte
	if len(ids) == 1 && ids[0] < 0 {
		b = join(signed(-id), []byte{2}, common, []byte{1}, signed(-ids[0]), []byte{0, 0})
	} else {
		b = join(signed(-id), []byte{3}, common, []byte{1}, gobUint(uint64(len(ids))))
		for i, f := range ids {
			name := fmt.Sprint("F", i)
			b = join(b, []byte{1}, gobUint(uint64(len(name))), []byte(name), []byte{1}, signed(f), []byte{0})
		}
		b = append(b, 0, 0)
	}
	return join(gobUint(uint64(len(b))), b)
}

// Definitions that gob would compile for minutes, or follow without end. They belong to a value
// behind an interface, where no local type says what they should be.
func TestHostileDefinitions(t *testing.T) {
	var c codec.Codec
	honest, err := codec.GobOnly().Encode([]any{Registered{"x"}})
	require.NoError(t, err)
	name := names("[]interface {}", "[]interface {}")
	require.True(t, bytes.HasPrefix(honest.Data, name))
	// a list of one Registered, whose type has the id: an empty value, all of whose fields gob
	// skips
	list := func(id int64) []byte {
		value := join(
			[]byte{0xff, 130, 0, 1},
			gobUint(uint64(len(pkg+"Registered"))),
			[]byte(pkg+"Registered"),
			gobUint(uint64(id)<<1),
			[]byte{1, 0},
		)
		return join(definition(65, -8), gobUint(uint64(len(value))), value)
	}
	chainOf := func(n int) (defs []byte) { // from id 100 on
		for i := range int64(n) {
			defs = append(defs, definition(100+i, -(101+i))...)
		}
		return append(defs, definition(100+int64(n), 2, 2)...)
	}
	wide := func(n int) []byte { // id 99: n fields with the chain
		ids := make([]int64, n)
		for i := range ids {
			ids[i] = 100
		}
		return definition(99, ids...)
	}
	const garbled, tooLarge = "not a gob value", "type definitions are too large"
	tests := []struct {
		what    string
		stream  []byte
		problem string // what flatten finds before gob sees it, or "" if it is fine
	}{
		{"a type of the same form", join(definition(70, 6, 6), list(70)), "no fields matched"},
		{"types that nobody uses", join(chainOf(2000), definition(70), list(70)), ""},
		{
			"a chain of slices in one field",
			join(definition(70, 100, 100), chainOf(2000), list(70)),
			"no fields matched",
		},
		{"a chain of slices in many fields", join(wide(2000), chainOf(2000), list(99)), tooLarge},
		{"more types than are allowed", join(chainOf(5000), definition(70), list(70)), garbled},
		{"a type twice", join(definition(70), definition(70), list(70)), garbled},
		{"a type that is gob's own", join(definition(16, 2, 2), definition(70), list(70)), garbled},
		{"a type without a definition", join(definition(71, 72, 2), definition(70), list(70)), garbled},
		{"a value without a definition", list(70), garbled},
		{"a type beyond 32 bits", join(definition(1<<32+70, 2, 2), definition(70), list(70)), garbled},
		{
			"a type that is its own element",
			join(definition(71, -71), definition(70, 71, 71), list(70)),
			"no fields matched",
		},
		{"a struct in itself", join(definition(70, 70, 70), list(70)), "no fields matched"},
		{"no value", definition(65, 2), garbled},
		{"a value of no type", []byte{2, 0, 0}, garbled},
		{"an interface at the top", []byte{3, 16, 0, 0}, garbled},
		{"an interface behind an interface", list(8), garbled},
		{"a builtin type", []byte{3, 4, 0, 2}, "another type with the name"},
		{"nothing", nil, garbled},
		{"an empty message", []byte{0}, garbled},
		{"bytes behind the value", append(bytes.Clone(honest.Data[len(name):]), 1, 2), garbled},
		{"a definition that ends early", []byte{3, 0xff, 129, 2}, garbled},
		{"a definition that is nothing", []byte{4, 0xff, 129, 0, 0}, garbled},
		{
			"a definition of two forms",
			join([]byte{9, 0xff, 141, 2, 2, 4, 0, 1, 0, 0}, definition(70), list(70)),
			garbled,
		},
		{"a definition without a form", join([]byte{3, 0xff, 141, 0}, definition(70), list(70)), garbled},
		{"a slice without an element", join([]byte{5, 0xff, 141, 2, 0, 0}, definition(70), list(70)), garbled},
		{"a map without an element", join([]byte{7, 0xff, 141, 4, 2, 4, 0, 0}, definition(70), list(70)), garbled},
		{"a definition behind another", join([]byte{0}, definition(70)), garbled},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			before := heapAllocated()
			var list []any
			err := c.Decode(codec.Payload{Encoding: codec.Gob, Data: join(name, tt.stream)}, &list)
			require.Less(t, heapAllocated()-before, uint64(16<<20))
			if tt.problem == "" {
				require.NoError(t, err)
				require.Equal(t, []any{Registered{}}, list)
			} else {
				require.ErrorContains(t, err, tt.problem)
				require.Nil(t, list)
			}
			require.NoError(t, c.Decode(honest, &list))
			require.Equal(t, []any{Registered{"x"}}, list)
		})
	}
}

// A payload that needs definitions is a value and nothing else.
func TestSmuggledDefinitions(t *testing.T) {
	var from, to codec.Codec
	good := encode(t, &from, &to, Small{"x", 1, 2})
	var stream bytes.Buffer
	require.NoError(t, gob.NewEncoder(&stream).Encode(Small{"x", 1, 2}))
	message := join(gobUint(uint64(2+len(good.Data))), []byte{0xff, 130}, good.Data)
	for name, data := range map[string][]byte{
		"a whole stream":                   stream.Bytes(),
		"a definition":                     definition(65, 2),
		"a definition, then the value":     join(definition(70, 2), good.Data),
		"the value, then a definition":     join(good.Data, definition(70, 2)),
		"the value, then a value":          join(good.Data, good.Data),
		"the value with its length":        join(gobUint(uint64(len(good.Data))), good.Data),
		"a message":                        message,
		"the definitions as they are kept": from.Definitions(good.Defs),
		"nothing":                          nil,
	} {
		t.Run(name, func(t *testing.T) {
			var got Small
			require.Error(t, to.Decode(codec.Payload{Encoding: codec.GobValue, Defs: good.Defs, Data: data}, &got))
			require.Zero(t, got)
			require.NoError(t, to.Decode(good, &got))
			require.Equal(t, Small{"x", 1, 2}, got)
		})
	}
	// a type that holds an interface never needs definitions, so none are taken for it
	box, err := from.Encode(Box{})
	require.NoError(t, err)
	for _, defs := range []uint64{0, 1, good.Defs} {
		for _, data := range [][]byte{{0}, box.Data} {
			require.ErrorContains(
				t,
				to.Decode(codec.Payload{Encoding: codec.GobValue, Defs: defs, Data: data}, &Box{}),
				pkg+"Box",
			)
		}
	}
}

// Definitions that another process made up are not used to decode anything.
func TestForgedDefinitions(t *testing.T) {
	var from, to codec.Codec
	good := encode(t, &from, &to, Small{"x", 1, 2})
	blob := from.Definitions(good.Defs)
	for name, forged := range map[string][]byte{
		"more behind":  append(bytes.Clone(blob), definition(70, 2)...),
		"cut":          blob[:len(blob)-1],
		"other fields": bytes.ReplaceAll(blob, []byte("Name"), []byte("NAME")),
		"name alone":   append(names(pkg+"Small", "codec_test.Small"), 0xff, 130),
	} {
		t.Run(name, func(t *testing.T) {
			id, err := to.Define(forged)
			require.NoError(t, err)
			require.NotEqual(t, good.Defs, id)
			var got Small
			var mismatch *codec.MismatchError
			require.ErrorAs(
				t,
				to.Decode(codec.Payload{Encoding: codec.GobValue, Defs: id, Data: good.Data}, &got),
				&mismatch,
			)
			require.Zero(t, got)
		})
	}
	for name, blob := range map[string][]byte{
		"more behind a basic type": join(names("int", "int"), []byte{4}, definition(65, 2)),
		"another basic type":       join(names("int", "int"), []byte{6}),
		"no type":                  names("int", "int"),
		"no basic type":            join(names("error", "error"), []byte{4}),
	} {
		id, err := to.Define(blob)
		require.NoError(t, err)
		require.Error(
			t,
			to.Decode(codec.Payload{Encoding: codec.GobValue, Defs: id, Data: []byte{0, 2}}, new(int)),
			name,
		)
	}
}

func TestPanickingGobDecode(t *testing.T) {
	var from, to codec.Codec
	good := encode(t, &from, &to, Even{4})
	bad := good
	bad.Data = append(bytes.Clone(good.Data[:len(good.Data)-1]), 254)
	odd := good
	odd.Data = append(bytes.Clone(good.Data[:len(good.Data)-1]), 3)
	for range 3 {
		var got Even
		require.ErrorContains(t, to.Decode(bad, &got), "codec_test.(*Even).GobDecode panicked at codec_test.go:")
		require.ErrorContains(t, to.Decode(bad, &got), ": 254 is not for decoding")
		require.ErrorIs(t, to.Decode(odd, &got), errOdd)
		require.Zero(t, got)
		require.NoError(t, to.Decode(good, &got))
		require.Equal(t, Even{4}, got)
	}
}

// Whatever is done to a payload, decoding it returns, and the next good payload of the type is
// decoded as ever.
func TestCorruptedPayloads(t *testing.T) {
	var from, to codec.Codec
	for _, want := range append(values(), Box{Any: Longer{Any: Late{Deep: Longer{Any: 1}}, Deep: chain(3), Word: "x"}, List: []any{Late{}}}) {
		good := encode(t, &from, &to, want)
		if len(good.Data) > 2000 {
			continue
		}
		t.Run(fmt.Sprintf("%T", want), func(t *testing.T) {
			typ := reflect.TypeOf(want)
			try := func(p codec.Payload) (err error) {
				t.Helper()
				got := reflect.New(typ)
				before := heapAllocated()
				require.NotPanics(t, func() { err = to.Decode(p, got.Interface()) })
				require.Less(t, heapAllocated()-before, uint64(16<<20))
				if err != nil {
					require.True(t, got.Elem().IsZero(), "a part of it was decoded")
				}
				return err
			}
			check := func(data []byte) error {
				t.Helper()
				err := try(codec.Payload{Encoding: good.Encoding, Defs: good.Defs, Data: data})
				require.NoError(t, try(good))
				return err
			}
			for i := range good.Data {
				for _, mask := range []byte{0x01, 0x80, good.Data[i]} {
					data := bytes.Clone(good.Data)
					data[i] ^= mask
					_ = check(data)
				}
				if good.Encoding == codec.Gob || good.Encoding == codec.GobValue {
					require.Error(t, check(good.Data[:i]), "cut after %d of %d bytes", i, len(good.Data))
					require.Error(t, check(append(bytes.Clone(good.Data), good.Data[i])), "a byte more")
				}
			}
			for encoding := range uint8(8) {
				_ = try(codec.Payload{Encoding: encoding, Defs: good.Defs, Data: good.Data})
			}
			got := reflect.New(typ)
			require.NoError(t, to.Decode(good, got.Interface()))
			requireAlike(t, want, got.Elem().Interface())
		})
	}
}

func TestConcurrency(t *testing.T) {
	var from, to codec.Codec
	all := values()
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 3 * len(all) {
				want := all[(g*5+i)%len(all)]
				p, err := from.Encode(want)
				if err != nil {
					t.Errorf("encoding %T: %v", want, err)
					return
				}
				if p.Encoding == codec.GobValue {
					if id, err := to.Define(from.Definitions(p.Defs)); err != nil || id != p.Defs {
						t.Errorf("definitions of %T: id %#x is not %#x, %v", want, id, p.Defs, err)
						return
					}
				}
				if i%7 == 0 { // failures in between
					_, _ = from.Encode([]Even{{1}})
					bad := p
					bad.Data = append(bytes.Clone(p.Data), 0)
					_ = to.Decode(bad, reflect.New(reflect.TypeOf(want)).Interface())
				}
				got := reflect.New(reflect.TypeOf(want))
				if err := to.Decode(p, got.Interface()); err != nil {
					t.Errorf("decoding %T: %v", want, err)
					return
				}
				w, isInt := want.(big.Int)
				if v, ok := got.Elem().Interface().(big.Int); ok && isInt && w.Cmp(&v) == 0 {
					continue
				}
				if _, isTime := want.(time.Time); !isTime && !reflect.DeepEqual(want, got.Elem().Interface()) {
					t.Errorf("%#v became %#v", want, got.Elem().Interface())
					return
				}
			}
		})
	}
	group.Wait()
}
