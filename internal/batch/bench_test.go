package batch_test

import (
	"testing"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
)

// BenchmarkEntry is what each item of a Map costs in the layout: it is written and read once.
func BenchmarkEntry(b *testing.B) {
	p := codec.Payload{Encoding: codec.GobValue, Defs: 7}
	const many = 1000
	value := make([]byte, 16)
	var body []byte
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			if n++; n%many == 0 {
				body = body[:0]
			}
			at := len(body)
			body = batch.End(append(batch.Begin(body), value...), at, batch.OK, p)
		}
	})
	body = body[:0]
	for range many {
		at := len(body)
		body = batch.End(append(batch.Begin(body), value...), at, batch.OK, p)
	}
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		r := batch.Read(body)
		for b.Loop() {
			if _, _, ok := r.Next(); !ok {
				r = batch.Read(body)
			}
		}
	})
}
