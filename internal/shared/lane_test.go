package shared

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

type failing struct{ err error }

func (f failing) WriteTo(w io.Writer) (int64, error) {
	_, _ = w.Write([]byte("some"))
	return 4, f.err
}

// What a source writes is mapped at the other end, also from a file and if it is empty.
func TestSegmentThroughLane(t *testing.T) {
	lane, outlet := NewLocalLane()
	path := t.TempDir() + "/data"
	require.NoError(t, os.WriteFile(path, []byte("of a file"), 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	for want, src := range map[string]io.WriterTo{
		"":          bytes.NewReader(nil),
		"a b c":     bytes.NewBufferString("a b c"),
		"of a file": file,
	} {
		s, err := New(src)
		require.NoError(t, err)
		require.EqualValues(t, len(want), s.Size())
		handle, err := lane.Pass(s)
		require.NoError(t, err)
		memory, err := outlet.Map(handle, s.Size())
		require.NoError(t, err)
		s.Close()
		require.Equal(t, want, string(memory), "the mapping outlives the segment")
		if len(memory) > 0 {
			Unmap(memory)
		}
	}
	lane.Close()
	_, err = outlet.Map(1<<20, 1)
	require.Error(t, err)
}

// The error of a source comes back, and nothing is left.
func TestSegmentOfFailingSource(t *testing.T) {
	why := errors.New("no more")
	_, err := New(failing{why})
	require.ErrorIs(t, err, why)
}
