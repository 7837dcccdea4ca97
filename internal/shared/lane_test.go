package shared

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
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

// source is a source that does what it likes.
type source func(w io.Writer) (int64, error)

func (s source) WriteTo(w io.Writer) (int64, error) { return s(w) }

// A source that ends its goroutine by a panic, or by runtime.Goexit, leaves nothing open. One that
// says nothing, or lies of how much it has written, has written what it has written.
func TestSegmentOfHostileSource(t *testing.T) {
	before := openFiles(t)
	require.Panics(t, func() {
		_, _ = New(source(func(w io.Writer) (int64, error) {
			_, err := w.Write([]byte("some"))
			require.NoError(t, err)
			panic("no more")
		}))
	})
	ended := make(chan struct{})
	go func() { // ends at once
		defer close(ended)
		_, _ = New(source(func(io.Writer) (int64, error) { runtime.Goexit(); return 0, nil }))
	}()
	<-ended
	_, err := New(nil)
	require.ErrorContains(t, err, "nil")
	require.Equal(t, before, openFiles(t))
	var late io.Writer
	s, err := New(source(func(w io.Writer) (int64, error) {
		late = w
		_, err := w.Write([]byte("some"))
		return 1 << 40, err
	}))
	require.NoError(t, err)
	require.EqualValues(t, 4, s.Size())
	_, err = late.Write([]byte("more"))
	require.Error(t, err, "nobody writes to a segment that there is")
	s.Close()
	require.Equal(t, before, openFiles(t))
}

// openFiles returns how many descriptors this process has open, where the system tells.
func openFiles(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(all)
}
