package codec_test

import (
	"encoding/binary"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// plains are values that need no gob.Register behind an interface.
func plains() []any {
	return []any{
		true, false, 1.5, math.Copysign(0, -1), "", "text", []any{}, []any(nil), []any{nil}, []any{nil, 1.0, nil, []any{nil}},
		map[string]any{}, map[string]any(nil), map[string]any{"": nil, "a": map[string]any{"b": []any{nil, "c", true}}},
		json.Number("1e400"), json.Number(""), json.RawMessage(`{"a": [1, null]}`), json.RawMessage(nil), json.RawMessage{},
		1, -1, int8(-8), int16(16), int32(32), int64(math.MinInt64), uint(1), uint8(8), uint16(16), uint32(32),
		uint64(math.MaxUint64), uintptr(1), float32(0.5), complex64(1i), complex(1, -2), moments()[1], time.Minute,
		[]byte("bytes"), []byte{}, []byte(nil), []string{"a", ""}, []string{}, []string(nil), []bool{true}, []int{1, -1}, []int(nil),
		[]int8{1}, []int16{1}, []int32{1}, []int64{1}, []uint{1}, []uint16{1}, []uint32{1}, []uint64{1}, []uintptr{1},
		[]float32{1}, []float64{1}, []complex64{1}, []complex128{1}, map[string]string{"a": "b"}, map[string]string(nil),
		map[string]string{}, map[string]int{"a": 1}, map[string]int64{"a": 1}, map[string]float64{"a": 1},
		map[string]bool{"a": true}, []map[string]any{{"a": []any{nil}}, {}},
	}
}

// Plain values arrive as they were in every place that an interface can have: with their types, and
// with nil as nil and empty as empty.
func TestPlainValuesInInterfaces(t *testing.T) {
	type fields struct {
		Any   any
		More  []any
		Array [2]any
		Map   map[string]any
		Keys  map[any]any
	}
	for _, v := range plains() {
		for _, want := range []any{
			fields{Any: v, Array: [2]any{nil, v}}, fields{More: []any{v, nil, v}}, fields{Map: map[string]any{"a": v, "b": nil}},
			fields{Any: Late{Deep: []any{Late{Deep: v}}}}, fields{Keys: map[any]any{"key": v, 1: v, Small{A: 1}.A + 1: nil}},
			[]any{[]any{[]any{v}}, v}, map[string]any{"a": []any{map[string]any{"b": v}}}, []map[string]any{{"a": v}},
			map[int]any{1: v}, [1]any{v}, Node{Value: v, Next: &Node{Value: []any{v, v}}}, &fields{Any: v},
		} {
			t.Run(fmt.Sprintf("%T in %T", v, want), func(t *testing.T) {
				var from, to codec.Codec
				p := encode(t, &from, &to, want)
				got := reflect.New(reflect.TypeOf(want))
				require.NoError(t, to.Decode(p, got.Interface()))
				require.Equal(t, want, got.Elem().Interface())
			})
		}
	}
}

// A plain value of its own arrives where an interface is taken.
func TestPlainValuesByTheirOwnType(t *testing.T) {
	empty := map[string]any{ // what has become of nil, and of what is empty: the doc says so
		"[]interface {}": []any{}, "map[string]interface {}": map[string]any{}, "map[string]string": map[string]string{},
		"[]string": []string(nil), "[]int": []int(nil), "json.RawMessage": json.RawMessage(nil), "[]uint8": []byte{},
	}
	for _, v := range plains() {
		want := v
		if rv := reflect.ValueOf(v); (rv.Kind() == reflect.Slice || rv.Kind() == reflect.Map) && rv.Len() == 0 {
			want = empty[rv.Type().String()]
		}
		var from, to codec.Codec
		p := encode(t, &from, &to, v)
		var got any
		require.NoError(t, to.Decode(p, &got), "%T", v)
		require.Equal(t, want, got)
		own := reflect.New(reflect.TypeOf(v))
		require.NoError(t, to.Decode(p, own.Interface()))
		require.Equal(t, want, own.Elem().Interface())
	}
}

type (
	renamed    struct{ V any }
	later      struct{ V any }
	byPointer  struct{ V any }
	arrayOfAny struct{ V [2]any }
	fussy      struct{ n int }
	odd        map[string]big.Int
)

func (f fussy) GobEncode() ([]byte, error) {
	if f.n == 0 {
		return nil, errOdd
	}
	return []byte{byte(f.n)}, nil
}

func (f *fussy) GobDecode(b []byte) error { f.n = int(b[0]); return nil }

// What users have registered arrives as before, by whatever name, and what plain values they hold
// needs no registration.
func TestRegisteredValuesHoldPlainOnes(t *testing.T) {
	gob.RegisterName("a name of its own", renamed{})
	gob.Register(&byPointer{})
	gob.Register(arrayOfAny{})
	gob.Register(fussy{})
	gob.Register(odd{})
	gob.Register(url.URL{})
	gob.Register(Secret{})
	gob.Register(&big.Int{})
	plain := map[string]any{"nothing": nil, "list": []any{nil, json.Number("1")}}
	tests := []struct{ sent, want any }{
		{renamed{plain}, renamed{plain}},
		{byPointer{plain}, &byPointer{plain}},
		{&byPointer{renamed{[]any{byPointer{}}}}, &byPointer{renamed{[]any{&byPointer{}}}}},
		{arrayOfAny{[2]any{nil, plain}}, arrayOfAny{[2]any{nil, plain}}},
		{fussy{1}, fussy{1}}, {&fussy{1}, fussy{1}}, {&renamed{1}, renamed{1}},
		{odd{}, odd{}}, {url.URL{Host: "h"}, url.URL{Host: "h"}}, {Secret{"s"}, Secret{"s"}}, {&Secret{"s"}, Secret{"s"}},
		{big.NewInt(1), big.NewInt(1)}, {[1]int{1}[0], 1},
	}
	for _, tt := range tests {
		var from, to codec.Codec
		for range 2 {
			sent := []any{tt.sent, nil, Box{Any: tt.sent}, tt.sent, plain}
			var got []any
			require.NoError(t, to.Decode(encode(t, &from, &to, sent), &got), "%T", tt.sent)
			require.Equal(t, []any{tt.want, nil, Box{Any: tt.want}, tt.want, plain}, got)
		}
	}
	one, err := new(codec.Codec).Encode([]any{renamed{1}})
	require.NoError(t, err)
	many, err := new(codec.Codec).Encode([]any{renamed{1}, renamed{2}, renamed{3}})
	require.NoError(t, err)
	require.Less(t, len(many.Data), len(one.Data)+30, "the card of a type goes once")
}

// A type may become known after it was refused. A nil pointer is refused.
func TestInterfacesRefuse(t *testing.T) {
	var from, to codec.Codec
	for range 2 {
		_, err := from.Encode([]any{1, later{}})
		require.ErrorContains(t, err, "later: call gob.Register")
	}
	gob.Register(later{})
	var got []any
	require.NoError(t, to.Decode(encode(t, &from, &to, []any{later{[]any{nil}}}), &got))
	require.Equal(t, []any{later{[]any{nil}}}, got)

	for _, v := range []any{(*int)(nil), (*later)(nil), new(*later), (*map[string]any)(nil)} {
		_, err := from.Encode([]any{v})
		require.ErrorContains(t, err, "an interface holds a nil "+reflect.TypeOf(v).String())
	}
	var shouters []Shouter
	p := encode(t, &from, &to, []Shouter{Registered{"x"}})
	p.Data = []byte(strings.ReplaceAll(string(p.Data), pkg+"Registered", pkg+"Late"+"xxxxxx"))
	require.ErrorContains(t, to.Decode(p, &shouters), "gob.Register")
	_, err := from.Encode(struct{ S fmt.Stringer }{big.NewInt(1)})
	require.NoError(t, err)
	var s struct{ S fmt.Stringer }
	require.NoError(t, to.Decode(encode(t, &from, &to, struct{ S fmt.Stringer }{time.Second}), &s))
	require.Equal(t, time.Second, s.S)
}

// A value that holds itself is found before it has taken memory or stack.
func TestPlainValuesThatHoldThemselves(t *testing.T) {
	m := map[string]any{"text": strings.Repeat("x", 1<<16)}
	m["m"] = m
	l := make([]any, 3)
	l[0], l[1], l[2] = m, "x", l
	r := &later{}
	r.V = []any{map[string]any{"r": r}}
	p := new(any)
	*p = p
	gob.Register(later{})
	for _, v := range []any{m, l, r, []any{r}, []map[string]any{m}, Box{Any: l}} {
		before := heapAllocated()
		_, err := new(codec.Codec).Encode(v)
		require.ErrorContains(t, err, "holds itself")
		require.Less(t, heapAllocated()-before, uint64(64<<20))
	}
	_, err := new(codec.Codec).Encode([]any{p})
	require.Error(t, err)
}

// What a liar may send in the place of what an interface holds.
func TestLiesAboutWhatAnInterfaceHolds(t *testing.T) {
	var c codec.Codec
	p, err := c.Encode([]any{Registered{"x"}})
	require.NoError(t, err)
	const tail = 2 + 1 + 8 + 4 // the length of the list, the tag, the id of the type, the value
	card, id := p.Data[1:len(p.Data)-tail], p.Data[len(p.Data)-12:len(p.Data)-4]
	require.Contains(t, string(card), pkg+"Registered")
	late, err := c.Encode([]any{Late{}})
	require.NoError(t, err)
	const list, aMap, none, carded, stream = 7, 8, 1, 2, 3
	huge := gobUint(1 << 40)
	none0 := []byte{0} // no cards
	value := join([]byte{carded}, id, []byte{0})
	tests := []struct {
		what  string
		cards []byte
		data  []byte
		err   string
	}{
		{"no tag", none0, nil, "not a gob value"},
		{"a tag of nothing", none0, []byte{127}, "not a gob value"},
		{"a large tag", none0, huge, "not a gob value"},
		{"nil of no type", none0, []byte{none, 127}, "not a gob value"},
		{"nil of a type that is never nil", none0, []byte{none, 4}, "not a gob value"},
		{"a card that was not sent", none0, value, "not a gob value"},
		{"the card of another type", join([]byte{1}, late.Data[1:len(late.Data)-12]), value, "not a gob value"},
		{"an id that is cut", join([]byte{1}, card), value[:5], "not a gob value"},
		{"a card that is cut", join([]byte{1}, card[:len(card)-5]), nil, "not a gob value"},
		{"more cards than there are", join(huge, card), value, "not a gob value"},
		{"a card with a long name", join([]byte{1}, huge), nil, "not a gob value"},
		{"a card with a name that nobody knows", join([]byte{1},
			[]byte(strings.Replace(string(card), "Registered", "xxxxxxxxxx", 1))), value, "gob.Register"},
		{"a card without definitions", []byte{1, 1, 'x', 0, 0}, nil, "cut short"},
		{"a list of more than there is", none0, join([]byte{list}, huge), "not a gob value"},
		{"a map of more than there is", none0, join([]byte{aMap}, huge), "not a gob value"},
		{"a text that is longer than what is there", none0, join([]byte{6}, huge), "not a gob value"},
		{"a stream that is none", none0, []byte{stream, 1, 1}, "not a gob value"},
		{"a stream that is cut", none0, join([]byte{stream}, huge), "not a gob value"},
		{"deep lists", none0, []byte(strings.Repeat(string([]byte{list, 1}), 1<<20)), "levels deep"},
		{"deep maps", none0, []byte(strings.Repeat(string([]byte{aMap, 1, 0}), 1<<20)), "levels deep"},
		{"bytes behind the value", none0, []byte{0, 0}, "not a gob value"},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			for range 2 {
				data := join(tt.cards, []byte{0, 1}, tt.data)
				before := heapAllocated()
				var got []any
				err := c.Decode(codec.Payload{Encoding: codec.GobValue, Defs: p.Defs, Data: data}, &got)
				require.Less(t, heapAllocated()-before, uint64(8<<20+100*len(tt.data)))
				require.Error(t, err)
				require.ErrorContains(t, err, tt.err)
				require.NotContains(t, err.Error(), "panicked")
				require.Nil(t, got)
			}
		})
	}
	// the definitions of one type on the card of another
	swapped := strings.Replace(string(late.Data), pkg+"Late", pkg+"Tree", 1)
	var got []any
	require.Error(t, c.Decode(codec.Payload{Encoding: codec.GobValue, Defs: p.Defs, Data: []byte(swapped)}, &got))
	// what no map has as a key
	keys, err := c.Encode(map[any]int{1: 1})
	require.NoError(t, err)
	var m map[any]int
	err = c.Decode(codec.Payload{Encoding: codec.GobValue, Defs: keys.Defs, Data: []byte{0, 0, 1, list, 0, 2}}, &m)
	require.ErrorContains(t, err, "not a gob value")
	// definitions that are an array of arrays without end, with no value
	endless := join(names("x", "x"), []byte{0xff, 130}, []byte{8, 0xff, 129, 1, 1, 2, 0xff, 130, 0}, nil)
	endless = append(endless, 1, 0xff, 130, 1, 2, 0, 0)
	endless[len(names("x", "x"))+2] = byte(len(endless) - len(names("x", "x")) - 3)
	defs, err := c.Define(endless)
	require.NoError(t, err)
	var any1 any
	require.Error(t, c.Decode(codec.Payload{Encoding: codec.GobValue, Defs: defs, Data: []byte{0, 1}}, &any1))
}

// plainOf draws a value of those that JSON gives, and of a few more.
func plainOf(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Float64().AsAny(), rapid.String().AsAny(), rapid.Int().AsAny(),
		rapid.SliceOf(rapid.Byte()).AsAny(), rapid.Just[any](json.Number("12")), rapid.Just[any](Registered{"w"}),
		rapid.SampledFrom(plains()),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	parts := plainOf(depth - 1)
	return rapid.OneOf(append(leaves, rapid.SliceOfN(parts, 0, 5).AsAny(),
		rapid.MapOfN(rapid.String(), parts, 0, 5).AsAny(),
		rapid.Custom(func(t *rapid.T) any { return Late{Deep: parts.Draw(t, "late")} }))...)
}

// Any value of plain ones arrives as it was, also what JSON makes of any text.
func TestPlainValuesByChance(t *testing.T) {
	var from, to codec.Codec
	rapid.Check(t, func(r *rapid.T) {
		want := Box{Any: plainOf(4).Draw(r, "value")}
		p, err := from.Encode(want)
		require.NoError(r, err)
		if _, err := to.Define(from.Definitions(p.Defs)); err != nil {
			r.Fatal(err)
		}
		var got Box
		require.NoError(r, to.Decode(p, &got))
		require.Equal(r, want, got)
	})
}

// FuzzPlain decodes any bytes as what interfaces hold. What comes out is as good as any other
// value, and has not taken more memory than bytes can.
func FuzzPlain(f *testing.F) {
	var c codec.Codec
	into := []any{[]any{}, map[string]any{}, map[any]any{}, Box{}, Node{}, []Shouter{}}
	defs := make([]uint64, len(into))
	for i, v := range into {
		p, err := c.Encode(v)
		require.NoError(f, err)
		defs[i] = p.Defs
	}
	for _, v := range plains() {
		for i, v := range []any{[]any{v, nil, Late{v}}, map[string]any{"a": v}, map[any]any{1: v}, Box{Any: v, Shouter: Registered{"x"}}} {
			p, err := c.Encode(v)
			require.NoError(f, err)
			f.Add(uint8(i), p.Data)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		i := int(which) % len(into)
		got := reflect.New(reflect.TypeOf(into[i]))
		before := heapAllocated()
		err := c.Decode(codec.Payload{Encoding: codec.GobValue, Defs: defs[i], Data: data}, got.Interface())
		require.Less(t, heapAllocated()-before, most(len(data)))
		if err != nil {
			require.True(t, got.Elem().IsZero(), "a part of it was decoded")
			return
		}
		if got.Elem().IsZero() {
			return
		}
		p, err := c.Encode(got.Interface())
		require.NoError(t, err)
		again := reflect.New(got.Type().Elem())
		require.NoError(t, c.Decode(p, again.Interface()))
		require.NoError(t, kept(got.Elem(), again.Elem()))
		require.Less(t, binary.Size(p.Data), 8<<20+64*len(data))
	})
}

// BenchmarkPlain is what a document of JSON costs.
func BenchmarkPlain(b *testing.B) {
	var doc any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(`{"users": [U, U, U, U, U, U, U, U], "next": null}`, "U",
		`{"name": "somebody", "age": 42, "tags": ["a", "b"], "admin": false, "address": {"street": "x", "no": 7}}`)), &doc); err != nil {
		b.Fatal(err)
	}
	for _, how := range []struct {
		name string
		c    *codec.Codec
	}{{"engine", new(codec.Codec)}, {"gob", codec.GobOnly()}} {
		v := doc.(map[string]any)
		if how.name == "gob" {
			delete(v, "next") // which gob refuses
		}
		p, err := how.c.Encode(v)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(how.name+"/encode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := how.c.Encode(v); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(how.name+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var got map[string]any
				if err := how.c.Decode(p, &got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
