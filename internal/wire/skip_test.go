package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/wire"
)

func TestSkipPast(t *testing.T) {
	const mark = "abacabad"
	tests := []struct{ name, before string }{
		{"at the start", ""},
		{"after output", "some output\n"},
		{"after one byte", "x"},
		{"after the mark's first byte", "a"},
		{"after a prefix of the mark", "abacaba"},
		{"after prefixes of the mark", "aabaabacabaabacabab"},
		{"after the mark's end", "bad"},
		{"after a frame", string(wire.Append(nil, &wire.Frame{Kind: wire.Exit}))},
		{"after more than the buffer", strings.Repeat("abacaba ", 30<<10)},
		{"across the end of the buffer", strings.Repeat("x", 64<<10-3)},
		{"a prefix across the end of the buffer", strings.Repeat("x", 64<<10-3) + "abacabaX"},
	}
	readers := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "byte": iotest.OneByteReader, "half": iotest.HalfReader,
	}
	for _, tt := range tests {
		for how, wrap := range readers {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				frame := wire.Append(nil, &wire.Frame{Kind: wire.Message, To: mark, Body: []byte(mark)})
				r := wire.NewReader(wrap(io.MultiReader(strings.NewReader(tt.before+mark), bytes.NewReader(frame))), 0)
				var before []byte
				require.NoError(t, r.SkipPast([]byte(mark), func(b []byte) {
					require.NotEmpty(t, b)
					before = append(before, b...)
				}))
				require.True(t, tt.before == string(before), "the output before the mark was changed")
				require.Equal(t, mark, readTo(t, r))
				require.Equal(t, io.EOF, r.Next(&wire.Frame{}))
			})
		}
	}
}

// Output is handed on as it comes: only what may be the beginning of the mark is held back.
func TestSkipPastDoesNotHoldOutputBack(t *testing.T) {
	in, out := io.Pipe()
	got := make(chan string)
	done := make(chan error, 1)
	r := wire.NewReader(in, 0)
	// ends when the pipe is closed
	go func() { done <- r.SkipPast([]byte("MARK"), func(b []byte) { got <- string(b) }) }()
	for _, step := range []struct{ write, want string }{{"hello", "hello"}, {"worldMA", "world"}, {"MA", "MA"}, {"R!", "MAR!"}} {
		_, err := io.WriteString(out, step.write)
		require.NoError(t, err)
		require.Equal(t, step.want, <-got)
	}
	_, err := io.WriteString(out, "MARK")
	require.NoError(t, err)
	require.NoError(t, <-done)
}

func TestSkipPastNeverFound(t *testing.T) {
	broken := errors.New("the pipe is broken")
	for _, stream := range []string{"", "x", "output", "MAR", "output MAR", "MAMAMAR", strings.Repeat("MAR", 50<<10)} {
		for _, end := range []error{io.EOF, broken} {
			r := wire.NewReader(iotest.HalfReader(io.MultiReader(strings.NewReader(stream), iotest.ErrReader(end))), 0)
			var before []byte
			require.Equal(t, end, r.SkipPast([]byte("MARK"), func(b []byte) { before = append(before, b...) }))
			require.True(t, stream == string(before), "all output is handed on, a partial mark at the end included")
		}
	}
}
