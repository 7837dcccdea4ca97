package codec_test

import (
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// most bounds what decoding n bytes may take from the heap: the decoder itself, and for each byte
// an element of a slice that has grown to it.
func most(n int) uint64 { return 8<<20 + 8192*uint64(n) }

// FuzzDecode decodes arbitrary payloads into the types of all test values, with definitions of
// these.
func FuzzDecode(f *testing.F) {
	var from, to codec.Codec
	all := values()
	var good []codec.Payload
	for i, v := range all {
		p := encode(f, &from, &to, v)
		good = append(good, p)
		if len(p.Data) < 2000 {
			f.Add(p.Data, p.Encoding, uint16(i), uint16(i))
			f.Add(p.Data, p.Encoding, uint16(i), uint16(i+1))
		}
	}
	p := encode(
		f,
		&from,
		&to,
		Box{Any: Longer{Any: Late{Deep: Longer{Any: 1}}, Deep: chain(3), Word: "x"}, List: []any{Late{}}},
	)
	for i, v := range all {
		if _, ok := v.(Box); ok {
			f.Add(p.Data, p.Encoding, uint16(i), uint16(i))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, encoding uint8, defs, target uint16) {
		sent, want := int(defs)%len(all), int(target)%len(all)
		typ := reflect.TypeOf(all[want])
		got := reflect.New(typ)
		before := heapAllocated()
		err := to.Decode(codec.Payload{Encoding: encoding, Defs: good[sent].Defs, Data: data}, got.Interface())
		require.Less(t, heapAllocated()-before, most(len(data)))
		if err != nil {
			require.True(t, got.Elem().IsZero(), "a part of it was decoded")
		} else if !got.Elem().IsZero() { // what was decoded is as good as any other value
			p := encode(t, &from, &to, got.Interface())
			require.NoError(t, to.Decode(p, reflect.New(typ).Interface()))
		}
		again := reflect.New(typ)
		require.NoError(t, to.Decode(good[want], again.Interface()))
		requireAlike(t, all[want], again.Elem().Interface())
	})
}

// FuzzDefinitions decodes arbitrary values with arbitrary definitions: nobody's but a type's own
// are used.
func FuzzDefinitions(f *testing.F) {
	var from codec.Codec
	all := values()
	for i, v := range all {
		p, err := from.Encode(v)
		require.NoError(f, err)
		if blob := from.Definitions(p.Defs); len(p.Data) < 2000 {
			f.Add(blob, p.Data, uint16(i))
		}
	}
	f.Add(append(names("int", "int"), 4), []byte{0, 2}, uint16(0))
	f.Fuzz(func(t *testing.T, blob, data []byte, target uint16) {
		var to codec.Codec
		before := heapAllocated()
		id, err := to.Define(blob)
		require.Less(t, heapAllocated()-before, uint64(1<<20+2*len(blob)))
		if err != nil {
			require.Nil(t, to.Definitions(id))
			return
		}
		require.Equal(t, blob, to.Definitions(id))
		want := all[int(target)%len(all)]
		own, err := from.Encode(want)
		require.NoError(t, err)
		got := reflect.New(reflect.TypeOf(want))
		before = heapAllocated()
		err = to.Decode(codec.Payload{Encoding: codec.GobValue, Defs: id, Data: data}, got.Interface())
		require.Less(t, heapAllocated()-before, most(len(data)))
		if err == nil && id != own.Defs {
			require.LessOrEqual(
				t,
				int(binary.LittleEndian.Uint16(blob)),
				len("complex128"),
				"only basic types, by their names, are converted",
			)
		}
	})
}

// FuzzInterface decodes arbitrary values with arbitrary definitions, or with such that are part of
// them, into interfaces: only what gob.Register knows comes out.
func FuzzInterface(f *testing.F) {
	var from codec.Codec
	for _, v := range append(values(), Registered{"x"}, Box{Any: Registered{"y"}}, &Tree{Value: 1}, map[string]any{"a": []any{1}}, []int{1}, 7) {
		p, err := from.Encode(v)
		require.NoError(f, err)
		if blob := from.Definitions(p.Defs); len(p.Data) < 2000 {
			f.Add(blob, p.Data, p.Encoding)
		}
	}
	f.Fuzz(func(t *testing.T, blob, data []byte, encoding uint8) {
		var to codec.Codec
		id, err := to.Define(blob)
		if err != nil && encoding == codec.GobValue {
			return
		}
		p := codec.Payload{Encoding: encoding, Data: data}
		if encoding == codec.GobValue {
			p.Defs = id
		}
		for _, target := range []any{new(any), new(Shouter), new(*any)} {
			before := heapAllocated()
			err := to.Decode(p, target)
			require.Less(t, heapAllocated()-before, 3*most(len(data)+len(blob)))
			got := reflect.ValueOf(target).Elem()
			if err != nil {
				require.True(t, got.IsZero(), "a part of it was decoded")
			} else if !got.IsZero() {
				again := reflect.New(got.Type())
				p, err := to.Encode(target)
				require.NoError(t, err)
				require.NoError(t, to.Decode(p, again.Interface()))
			}
		}
	})
}
