package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/wire"
)

const lastKind = wire.LogRoom

// pattern returns n bytes that differ from one another over any short distance.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// sign makes the checksum of a header right after it was changed.
func sign(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[32:], wire.Checksum(b))
	return b
}

// forged returns a frame with one byte of its header changed and the checksum made right.
func forged(f *wire.Frame, at int, value byte) []byte {
	b := wire.Append(nil, f)
	b[at] = value
	return sign(b)
}

// claim returns the header of a frame that claims a body of n bytes.
func claim(n uint32) []byte {
	b := wire.Append(nil, &wire.Frame{Kind: wire.Message})
	binary.LittleEndian.PutUint32(b[24:], n)
	return sign(b)
}

// untimed returns a frame that says how much time is left, in so many nanoseconds.
func untimed(left uint64) []byte {
	b := wire.Append(nil, &wire.Frame{Kind: wire.Call, Left: 1, Body: []byte("body")})
	binary.LittleEndian.PutUint64(b[wire.HeaderSize:], left)
	return b
}

// headed returns a frame that says that its headers have n bytes, where there is room for 3.
func headed(n uint16) []byte {
	b := wire.Append(nil, &wire.Frame{Kind: wire.Call, Meta: "m", Header: "hh", Body: []byte("body")})
	binary.LittleEndian.PutUint16(b[wire.HeaderSize:], n)
	return b
}

// allocated returns the bytes that do takes from the heap.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func requireSame(t *testing.T, want, got *wire.Frame) {
	t.Helper()
	require.True(t, bytes.Equal(want.Body, got.Body), "bodies of %d and %d bytes differ", len(want.Body), len(got.Body))
	w, g := *want, *got
	w.Body, g.Body = nil, nil
	require.Equal(t, w, g)
}

// carried sets the numbers that a frame of its kind carries: to one value the first, to another the
// second.
func carried(f *wire.Frame, first, second uint64) *wire.Frame {
	f.ID, f.Defs = first, second
	switch f.Kind {
	case wire.Exit, wire.Credit, wire.Beat, wire.Overdue, wire.Place, wire.LogRoom:
		f.ID, f.Number = 0, first
	}
	switch f.Kind {
	case wire.Credit, wire.Undelivered, wire.Failed, wire.Split, wire.Await, wire.Beat, wire.Place,
		wire.Log, wire.LogRoom:
		f.Defs, f.More = 0, second
	}
	return f
}

func frames() map[string]*wire.Frame {
	all := map[string]*wire.Frame{
		"nothing":          {Kind: wire.Exit},
		"all flags":        {Kind: wire.Result, Flags: ^wire.FlagShared, Encoding: 0xff},
		"greatest ids":     {Kind: wire.Message, ID: 1<<64 - 1, Defs: 1<<64 - 1},
		"greatest numbers": {Kind: wire.Credit, Number: 1<<64 - 1, More: 1<<64 - 1},
		"texts": {
			Kind: wire.Call,
			To:   "main",
			From: "thumbnailer/2",
			Type: "cached",
			Meta: `{"a":1}`,
			Body: []byte("x"),
		},
		"full texts": {Kind: wire.Task, To: strings.Repeat("t", wire.MaxName), From: strings.Repeat("f", wire.MaxName),
			Type: strings.Repeat("y", wire.MaxName), Meta: strings.Repeat("m", wire.MaxMeta), Body: []byte("body")},
		"only meta": {Kind: wire.Submit, Meta: "m"},
		"time":      {Kind: wire.Submit, Left: 1},
		"time and all": {
			Kind: wire.Call,
			Left: 1<<63 - 1,
			To:   "t",
			From: "f",
			Type: "y",
			Meta: "m",
			Body: []byte("body"),
		},
		"header":           {Kind: wire.Task, Header: "h"},
		"header and meta":  {Kind: wire.Message, Meta: "m", Header: "header", Body: []byte("body")},
		"header and all":   {Kind: wire.Call, Left: 7, To: "t", From: "f", Type: "y", Meta: "m", Header: "hh", Body: []byte("body")},
		"full header":      {Kind: wire.Task, Left: 1, To: "t", Meta: "mm", Header: strings.Repeat("h", wire.MaxMeta-2)},
		"text of any byte": {Kind: wire.Message, To: "\x00\xffmp\x01", Type: "mp"},
	}
	for k := wire.Hello; k <= lastKind; k++ {
		all[k.String()] = carried(&wire.Frame{Kind: k, Flags: wire.FlagSoft, To: "a", Body: []byte{byte(k)}}, uint64(k), 7)
	}
	for _, n := range []int{1, 35, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 4 << 20, 9<<20 + 13} {
		all[fmt.Sprintf("body of %d bytes", n)] = &wire.Frame{Kind: wire.Message, To: "a", Body: pattern(n)}
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	for name, want := range frames() {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, want.Check(wire.MaxBody))
			b := wire.Append([]byte("before"), want)
			require.Equal(t, "before", string(b[:6]))
			b = b[6:]
			require.Len(t, b, want.Size())
			head := wire.AppendHead(nil, want)
			require.True(
				t,
				bytes.Equal(b, append(head, want.Body...)),
				"AppendHead and the body are not what Append makes",
			)

			r := wire.NewReader(bytes.NewReader(b), 0)
			got := wire.Frame{
				Kind:     99,
				Flags:    99,
				Encoding: 99,
				ID:       99,
				Defs:     99,
				Number:   99,
				More:     99,
				To:       "x",
				From:     "x",
				Type:     "x",
				Meta:     "x",
				Header:   "x",
				Left:     99,
				Body:     []byte("x"),
			}
			require.NoError(t, r.Next(&got))
			requireSame(t, want, &got)
			require.Equal(t, io.EOF, r.Next(&got))
		})
	}
}

// Frames behind one another are told apart, however the bytes come.
func TestManyFrames(t *testing.T) {
	var sent []*wire.Frame
	var b []byte
	for i := range 300 {
		f := &wire.Frame{
			Kind: wire.Message,
			ID:   uint64(i),
			To:   "main",
			Type: fmt.Sprint(i % 7),
			Body: pattern(i * 11 % 997),
		}
		sent, b = append(sent, f), wire.Append(b, f)
	}
	readers := map[string]func(io.Reader) io.Reader{
		"whole":       func(r io.Reader) io.Reader { return r },
		"byte":        iotest.OneByteReader,
		"half":        iotest.HalfReader,
		"end at once": iotest.DataErrReader,
	}
	for name, wrap := range readers {
		t.Run(name, func(t *testing.T) {
			r := wire.NewReader(wrap(bytes.NewReader(b)), 0)
			var bodies [][]byte
			for _, want := range sent {
				var got wire.Frame
				require.NoError(t, r.Next(&got))
				requireSame(t, want, &got)
				bodies = append(bodies, got.Body)
			}
			require.Equal(t, io.EOF, r.Next(&wire.Frame{}))
			require.Zero(t, r.Buffered())
			for i, body := range bodies { // the reader did not write over them
				require.True(t, bytes.Equal(sent[i].Body, body), "body %d was changed later", i)
			}
		})
	}
}

func TestBuffered(t *testing.T) {
	f := &wire.Frame{Kind: wire.Message, Body: []byte("body")}
	r := wire.NewReader(bytes.NewReader(wire.Append(wire.Append(nil, f), f)), 0)
	require.Zero(t, r.Buffered())
	require.NoError(t, r.Next(&wire.Frame{}))
	require.Equal(t, f.Size(), r.Buffered())
}

func TestCheck(t *testing.T) {
	over, most := strings.Repeat("x", wire.MaxName+1), strings.Repeat("x", wire.MaxName)
	tests := []struct {
		frame wire.Frame
		max   int
		want  *wire.SizeError
	}{
		{
			wire.Frame{To: most, From: most, Type: most, Meta: strings.Repeat("m", wire.MaxMeta), Body: pattern(10)},
			10,
			nil,
		},
		{wire.Frame{Body: pattern(11)}, 10, &wire.SizeError{Part: "body", Size: 11, Limit: 10}},
		{wire.Frame{Body: pattern(1)}, 0, &wire.SizeError{Part: "body", Size: 1, Limit: 0}},
		{wire.Frame{To: over}, 10, &wire.SizeError{Part: "receiver name", Size: 256, Limit: 255}},
		{wire.Frame{From: over}, 10, &wire.SizeError{Part: "sender name", Size: 256, Limit: 255}},
		{wire.Frame{Type: over}, 10, &wire.SizeError{Part: "type", Size: 256, Limit: 255}},
		{
			wire.Frame{Meta: strings.Repeat("m", wire.MaxMeta+1)},
			10,
			&wire.SizeError{Part: "meta text", Size: 65536, Limit: 65535},
		},
	}
	for _, tt := range tests {
		err := tt.frame.Check(tt.max)
		if tt.want == nil {
			require.NoError(t, err)
			continue
		}
		require.Equal(t, tt.want, err)
		require.ErrorContains(t, err, tt.want.Part)
	}
}

func TestCorrupt(t *testing.T) {
	f := &wire.Frame{Kind: wire.Message, To: "main", Body: []byte("body")}
	tests := []struct {
		name   string
		bytes  []byte
		reason string
	}{
		{"first byte of the magic number", forged(f, 0, 'x'), "magic number"},
		{"second byte of the magic number", forged(f, 1, 'x'), "magic number"},
		{"a stray print", []byte("panic: assignment to entry in nil map\n"), "0x70 0x61 instead of the magic number"},
		{"version", forged(f, 2, 7), "version 7 of the wire, this end has version 3"},
		{"kind 0", forged(f, 3, 0), "kind 0 does not exist"},
		{"kind after the last", forged(f, 3, byte(lastKind)+1), fmt.Sprintf("kind %d does not exist", lastKind+1)},
		{"kind 255", forged(f, 3, 255), "kind 255 does not exist"},
		{"time of another length", forged(f, 31, 9), "what comes before its texts takes 9 bytes"},
		{"a header of no length", headed(0), "its headers have 0 bytes, of 3 for Meta and them"},
		{"a header over its room", headed(4), "its headers have 4 bytes, of 3 for Meta and them"},
		{"no time where there is one", untimed(0), "the time that is left is 0 ns"},
		{"a time before now", untimed(1<<64 - 1), "the time that is left is -1 ns"},
	}
	for at := 2; at < wire.HeaderSize; at++ {
		b := wire.Append(nil, f)
		b[at] ^= 0x10
		tests = append(tests, struct {
			name   string
			bytes  []byte
			reason string
		}{fmt.Sprintf("flipped bit in byte %d", at), b, "checksum"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			good := wire.Append(nil, f)
			r := wire.NewReader(bytes.NewReader(append(append(good[:len(good):len(good)], good...), tt.bytes...)), 0)
			require.NoError(t, r.Next(&wire.Frame{}))
			require.NoError(t, r.Next(&wire.Frame{}))
			err := r.Next(&wire.Frame{})
			var corrupt *wire.CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, int64(2*len(good)), corrupt.Offset)
			require.Contains(t, corrupt.Reason, tt.reason)
			require.ErrorContains(t, err, fmt.Sprintf("byte %d: ", 2*len(good)))
		})
	}
}

// The offset counts from the start of the stream, the output before the mark included.
func TestCorruptAfterSkipPast(t *testing.T) {
	frame := wire.Append(nil, &wire.Frame{Kind: wire.Exit})
	stream := append([]byte("stray output MARK"), frame...)
	at := len(stream)
	r := wire.NewReader(bytes.NewReader(append(stream, pattern(100)...)), 0)
	require.NoError(t, r.SkipPast([]byte("MARK"), func([]byte) {}))
	require.NoError(t, r.Next(&wire.Frame{}))
	var corrupt *wire.CorruptError
	require.ErrorAs(t, r.Next(&wire.Frame{}), &corrupt)
	require.Equal(t, int64(at), corrupt.Offset)
}

func TestTruncated(t *testing.T) {
	f := &wire.Frame{Kind: wire.Call, To: "main", From: "worker/1", Type: "type", Meta: "meta text", Body: pattern(100)}
	b := wire.Append(nil, f)
	for n := range b {
		for _, before := range []int{0, 1} {
			stream := append(bytes.Repeat(b, before), b[:n]...)
			r := wire.NewReader(iotest.HalfReader(bytes.NewReader(stream)), 0)
			for range before {
				require.NoError(t, r.Next(&wire.Frame{}))
			}
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			require.Equal(t, want, r.Next(&wire.Frame{}), "cut after %d bytes", n)
		}
	}
}

func TestTruncatedLargeBody(t *testing.T) {
	b := wire.Append(nil, &wire.Frame{Kind: wire.Message, Body: pattern(5 << 20)})
	for _, n := range []int{wire.HeaderSize + 1<<20, wire.HeaderSize + 4<<20, len(b) - 1} {
		r := wire.NewReader(bytes.NewReader(b[:n]), 0)
		require.Equal(t, io.ErrUnexpectedEOF, r.Next(&wire.Frame{}))
	}
}

// An error of the stream that is not its end comes through as it is.
func TestStreamError(t *testing.T) {
	broken := errors.New("the pipe is broken")
	b := wire.Append(nil, &wire.Frame{Kind: wire.Message, To: "main", Meta: "meta", Body: pattern(50)})
	for n := range b {
		r := wire.NewReader(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken)), 0)
		require.Equal(t, broken, r.Next(&wire.Frame{}), "broken after %d bytes", n)
	}
}

func TestLimit(t *testing.T) {
	b := wire.Append(nil, &wire.Frame{Kind: wire.Message, Body: pattern(1000)})
	tests := []struct{ limit, next int }{{1000, 0}, {0, 0}, {-1, 0}, {wire.MaxBody, 0}, {999, 999}, {1, 1}}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.limit), func(t *testing.T) {
			check := func(err error) {
				t.Helper()
				if tt.next == 0 {
					require.NoError(t, err)
					return
				}
				require.Equal(t, &wire.SizeError{Part: "body", Size: 1000, Limit: int64(tt.next)}, err)
			}
			check(wire.NewReader(bytes.NewReader(b), tt.limit).Next(&wire.Frame{}))

			r := wire.NewReader(bytes.NewReader(append(b[:len(b):len(b)], b...)), 1000)
			require.NoError(t, r.Next(&wire.Frame{}))
			r.Limit(tt.limit)
			check(r.Next(&wire.Frame{}))
		})
	}
}

// A length is checked before memory is taken for it.
func TestSizeErrorTakesNoMemory(t *testing.T) {
	r := wire.NewReader(bytes.NewReader(claim(wire.MaxBody)), 64<<20)
	var err error
	n := allocated(func() { err = r.Next(&wire.Frame{}) })
	require.Equal(t, &wire.SizeError{Part: "body", Size: wire.MaxBody, Limit: 64 << 20}, err)
	require.Less(t, n, uint64(64<<10))

	r = wire.NewReader(bytes.NewReader(claim(1<<32-1)), 0) // more than the layout allows
	n = allocated(func() { err = r.Next(&wire.Frame{}) })
	require.Equal(t, &wire.SizeError{Part: "body", Size: 1<<32 - 1, Limit: wire.MaxBody}, err)
	require.Less(t, n, uint64(64<<10))
}

// Within the limit, memory grows with the bytes that come and not with the length that is claimed.
func TestClaimTakesLittleMemory(t *testing.T) {
	tests := []struct {
		behind int
		most   uint64
	}{{0, 2 << 20}, {1 << 20, 8 << 20}, {5 << 20, 64 << 20}}
	for _, tt := range tests {
		stream := append(claim(wire.MaxBody), pattern(tt.behind)...)
		r := wire.NewReader(bytes.NewReader(stream), 0)
		var err error
		n := allocated(func() { err = r.Next(&wire.Frame{}) })
		require.Equal(t, io.ErrUnexpectedEOF, err)
		require.Less(t, n, tt.most, "%d bytes came behind the header", tt.behind)
	}
}

func readTo(t *testing.T, r *wire.Reader) string {
	t.Helper()
	var f wire.Frame
	require.NoError(t, r.Next(&f))
	return f.To
}

func TestNamesAreKept(t *testing.T) {
	const bound = 4096
	var b []byte
	add := func(name string) { b = wire.Append(b, &wire.Frame{Kind: wire.Message, To: name}) }
	add("early")
	add("early")
	for i := range 2 * bound {
		add(fmt.Sprint("name", i))
	}
	add("late")
	add("early")
	add("late")
	r := wire.NewReader(bytes.NewReader(b), 0)
	early := readTo(t, r)
	same := func(a, b string) bool { return unsafe.StringData(a) == unsafe.StringData(b) }
	require.True(t, same(early, readTo(t, r)), "a name that repeats is stored once")
	for i := range 2 * bound {
		require.Equal(t, fmt.Sprint("name", i), readTo(t, r))
	}
	late := readTo(t, r)
	require.Equal(t, "late", late)
	require.True(t, same(early, readTo(t, r)), "names within the bound stay")
	require.False(t, same(late, readTo(t, r)), "names over the bound are not remembered")
}

func TestKindString(t *testing.T) {
	seen := map[string]bool{}
	for k := wire.Hello; k <= lastKind; k++ {
		require.NotContains(t, k.String(), "(")
		require.NotEmpty(t, k.String())
		require.False(t, seen[k.String()], "two kinds are called %v", k)
		seen[k.String()] = true
	}
	require.Equal(t, "Kind(0)", wire.Kind(0).String())
	require.Equal(t, fmt.Sprintf("Kind(%d)", lastKind+1), (lastKind + 1).String())
	require.Equal(t, "Kind(255)", wire.Kind(255).String())
}
