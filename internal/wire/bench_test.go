package wire_test

import (
	"bytes"
	"testing"

	"github.com/multiprolab/multiprolab/internal/wire"
)

var sizes = []struct {
	name string
	n    int
}{{"100B", 100}, {"4KiB", 4 << 10}, {"1MiB", 1 << 20}}

func message(n int) *wire.Frame {
	return &wire.Frame{Kind: wire.Message, ID: 7, To: "main", From: "thumbnailer/2", Type: "cached", Body: pattern(n)}
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			f := message(size.n)
			buf := make([]byte, 0, f.Size())
			b.ReportAllocs()
			b.SetBytes(int64(f.Size()))
			for b.Loop() {
				buf = wire.Append(buf[:0], f)
			}
		})
	}
}

// endless repeats a frame.
type endless struct {
	frame []byte
	r     bytes.Reader
}

func (e *endless) Read(b []byte) (int, error) {
	if e.r.Len() == 0 {
		e.r.Reset(e.frame)
	}
	return e.r.Read(b)
}

func BenchmarkNext(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			f := message(size.n)
			one := wire.Append(nil, f)
			// as many as come with one read of a pipe
			r := wire.NewReader(&endless{frame: bytes.Repeat(one, max(1, 64<<10/len(one)))}, 0)
			var got wire.Frame
			b.ReportAllocs()
			b.SetBytes(int64(f.Size()))
			for b.Loop() {
				if err := r.Next(&got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
