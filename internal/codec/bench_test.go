package codec_test

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
	"testing"

	"github.com/multiprolab/multiprolab/internal/codec"
)

func benchmarked() []struct {
	name string
	v    any
} {
	table := map[string]int{}
	for i := range 100 {
		table[fmt.Sprint("key", i)] = i
	}
	return []struct {
		name string
		v    any
	}{
		{"struct", Small{"a name of some length", 640, 480}}, {"4KiB", make([]byte, 4<<10)}, {"map100", table},
		{"tree", *chain(20)}, {"interface", Box{Any: Registered{"word"}}},
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, bb := range benchmarked() {
		b.Run(bb.name, func(b *testing.B) {
			var c codec.Codec
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Encode(bb.v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, bb := range benchmarked() {
		b.Run(bb.name, func(b *testing.B) {
			var c codec.Codec
			p, err := c.Encode(bb.v)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Decode(p, reflect.New(reflect.TypeOf(bb.v)).Interface()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFreshEncode and BenchmarkFreshDecode are what a new encoder and decoder for each message cost.
func BenchmarkFreshEncode(b *testing.B) {
	for _, bb := range benchmarked() {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var buf bytes.Buffer
				if err := gob.NewEncoder(&buf).Encode(bb.v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFreshDecode(b *testing.B) {
	for _, bb := range benchmarked() {
		b.Run(bb.name, func(b *testing.B) {
			var buf bytes.Buffer
			if err := gob.NewEncoder(&buf).Encode(bb.v); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := gob.NewDecoder(bytes.NewReader(buf.Bytes())).Decode(reflect.New(reflect.TypeOf(bb.v)).Interface()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
