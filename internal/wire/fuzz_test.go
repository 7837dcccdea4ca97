package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// FuzzReader feeds arbitrary bytes to a Reader. What it accepts must be what a writer would have
// written.
func FuzzReader(f *testing.F) {
	var all []byte
	for name, frame := range frames() {
		if frame.Size() > 1000 {
			continue
		}
		b := wire.Append(nil, frame)
		all = append(all, b...)
		f.Add(b, false)
		if name == "texts" {
			f.Add(b[:len(b)-3], true)
			for _, at := range []int{0, 2, 3, 6, 24, 28, 29, 30, 31} {
				f.Add(forged(frame, at, b[at]+1), false)
			}
		}
	}
	f.Add(all, true)
	f.Add(claim(wire.MaxBody), false)
	f.Fuzz(func(t *testing.T, b []byte, resign bool) {
		if resign && len(b) >= wire.HeaderSize { // so that the fuzzer gets past the checksum
			b = sign(bytes.Clone(b))
		}
		r := wire.NewReader(iotest.HalfReader(bytes.NewReader(b)), 1<<20)
		var again []byte
		for {
			var frame wire.Frame
			err := r.Next(&frame)
			if err == nil {
				require.NoError(t, frame.Check(1<<20))
				require.NotContains(t, frame.Kind.String(), "Kind(")
				again = wire.Append(again, &frame)
				require.True(t, bytes.HasPrefix(b, again), "a frame was accepted that no writer makes")
				continue
			}
			var corrupt *wire.CorruptError
			var size *wire.SizeError
			switch {
			case errors.As(err, &corrupt):
				require.Equal(t, int64(len(again)), corrupt.Offset)
			case errors.As(err, &size):
				require.Greater(t, size.Size, size.Limit)
			case err == io.EOF:
				require.Equal(t, len(b), len(again))
			default:
				require.Equal(t, io.ErrUnexpectedEOF, err)
				require.Greater(t, len(b), len(again))
			}
			return
		}
	})
}

// FuzzRoundTrip sends two frames behind each other.
func FuzzRoundTrip(f *testing.F) {
	for _, frame := range frames() {
		if frame.Size() < 1000 {
			f.Add(
				uint8(frame.Kind),
				uint8(frame.Flags),
				frame.Encoding,
				frame.ID,
				frame.Defs,
				frame.To,
				frame.From,
				frame.Type,
				frame.Meta,
				frame.Header,
				int64(frame.Left),
				frame.Body,
			)
		}
	}
	f.Fuzz(
		func(t *testing.T, kind, flags, encoding uint8, id, defs uint64, to, from, typ, meta, header string, left int64, body []byte) {
			want := &wire.Frame{
				Kind:     wire.Kind(kind)%lastKind + 1,
				Flags:    wire.Flags(flags) &^ wire.FlagShared,
				Encoding: encoding,
				To:       to,
				From:     from,
				Type:     typ,
				Meta:     meta,
				Header:   header,
				Left:     time.Duration(max(0, left)),
				Body:     body,
			}
			carried(want, id, defs)
			if err := want.Check(wire.MaxBody); err != nil {
				var size *wire.SizeError
				require.ErrorAs(t, err, &size)
				return
			}
			b := wire.Append(wire.Append(nil, want), want)
			require.Len(t, b, 2*want.Size())
			r := wire.NewReader(iotest.HalfReader(bytes.NewReader(b)), 0)
			for range 2 {
				var got wire.Frame
				require.NoError(t, r.Next(&got))
				requireSame(t, want, &got)
			}
			require.Equal(t, io.EOF, r.Next(&wire.Frame{}))
		},
	)
}

// pieces gives at most n bytes at a time.
type pieces struct {
	r io.Reader
	n int
}

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.n)]) }

// FuzzSkipPast compares SkipPast with a search in the whole stream.
func FuzzSkipPast(f *testing.F) {
	f.Add([]byte("output MARK rest"), []byte("MARK"), 1)
	f.Add([]byte("aabaabacabaabacababacabad"), []byte("abacabad"), 3)
	f.Add([]byte("aaaaaaab"), []byte("aab"), 2)
	f.Add([]byte("MARMAR"), []byte("MARK"), 4)
	f.Add([]byte{}, []byte("M"), 1)
	f.Fuzz(func(t *testing.T, stream, mark []byte, n int) {
		if len(mark) == 0 {
			return // a mark is never empty
		}
		r := wire.NewReader(pieces{bytes.NewReader(stream), 1 + int(uint(n)%97)}, 0)
		var before []byte
		err := r.SkipPast(mark, func(b []byte) { before = append(before, b...) })
		at := bytes.Index(stream, mark)
		if at < 0 {
			require.Equal(t, io.EOF, err)
			require.True(t, bytes.Equal(stream, before), "output was changed: %q", before)
			return
		}
		require.NoError(t, err)
		require.True(t, bytes.Equal(stream[:at], before), "output was changed: %q", before)
		rest := stream[at+len(mark):]
		var frame wire.Frame
		switch err := r.Next(&frame); {
		case len(rest) == 0:
			require.Equal(t, io.EOF, err)
		case len(rest) < wire.HeaderSize:
			require.Equal(t, io.ErrUnexpectedEOF, err)
		default: // it goes on right behind the mark
			want := wire.NewReader(bytes.NewReader(rest), 0).Next(&wire.Frame{})
			var wantCorrupt, corrupt *wire.CorruptError
			if errors.As(want, &wantCorrupt) {
				require.ErrorAs(t, err, &corrupt)
				require.Equal(t, wantCorrupt.Reason, corrupt.Reason)
				require.Equal(t, int64(at+len(mark)), corrupt.Offset)
				return
			}
			require.Equal(t, want, err)
		}
	})
}
