package codec_test

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
)

type Seven struct {
	ID, Name string
	Size     int64
	Ratio    float64
	Done     bool
	Attempt  int
	Tags     []string
}

type Timed struct {
	Name string
	At   time.Time
	Took time.Duration
}

func benchmarked() []struct {
	name string
	v    any
} {
	seven := Seven{"0123456789abcdef", "thumbnail", 1 << 20, 0.75, true, 3, []string{"one", "two"}}
	event := Timed{"started", time.Unix(1e9, 5).UTC(), time.Second}
	list := make([]Seven, 50)
	for i := range list {
		list[i] = seven
	}
	table := map[string]int{}
	for i := range 100 {
		table[fmt.Sprint("key", i)] = i
	}
	return []struct {
		name string
		v    any
	}{
		{
			"struct",
			Small{"a name of some length", 640, 480},
		}, {"seven", seven}, {"event", event}, {"list", list}, {"4KiB", make([]byte, 4<<10)}, {"map100", table},
		{"tree", *chain(20)}, {"interface", Box{Any: Registered{"word"}}},
	}
}

func BenchmarkEncode(b *testing.B) { benchmarkEncode(b, new(codec.Codec)) }
func BenchmarkDecode(b *testing.B) { benchmarkDecode(b, new(codec.Codec)) }

// BenchmarkGobEncode and BenchmarkGobDecode are what the types cost that go through gob.
func BenchmarkGobEncode(b *testing.B) { benchmarkEncode(b, codec.GobOnly()) }
func BenchmarkGobDecode(b *testing.B) { benchmarkDecode(b, codec.GobOnly()) }

// BenchmarkAppendEncode encodes to memory that is there.
func BenchmarkAppendEncode(b *testing.B) {
	for _, bb := range benchmarked() {
		b.Run(bb.name, func(b *testing.B) {
			var c codec.Codec
			buf := make([]byte, 0, 64<<10)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := c.AppendEncode(buf, bb.v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchmarkEncode(b *testing.B, c *codec.Codec) {
	for _, bb := range benchmarked() {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Encode(bb.v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchmarkDecode(b *testing.B, c *codec.Codec) {
	for _, bb := range benchmarked() {
		b.Run(bb.name, func(b *testing.B) {
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

// BenchmarkFreshEncode and BenchmarkFreshDecode are what a new encoder and decoder for each message
// cost.
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
