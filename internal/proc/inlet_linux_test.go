package proc_test

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// inletOf returns an inlet of a pipe, and the pipe's other end.
func inletOf(t *testing.T) (r *proc.InletReader, w *os.File) {
	t.Helper()
	var fds [2]int
	require.NoError(t, unix.Pipe2(fds[:], unix.O_CLOEXEC))
	in, w := os.NewFile(uintptr(fds[0]), "in"), os.NewFile(uintptr(fds[1]), "out")
	t.Cleanup(func() {
		_ = in.Close()
		_ = w.Close()
	})
	r, ok := proc.Inlet(in).(*proc.InletReader)
	require.True(t, ok)
	t.Cleanup(r.Free)
	return r, w
}

// read reads on a goroutine of its own, which ends with the read.
func read(r io.Reader) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := r.Read(make([]byte, 8))
		done <- err
	}()
	return done
}

// TestInlet reads in both ways of waiting.
func TestInlet(t *testing.T) {
	for name, short := range map[string]bool{"on the thread": true, "by the runtime": false} {
		t.Run(name, func(t *testing.T) { testInlet(t, short) })
	}
}

func testInlet(t *testing.T, short bool) {
	r, w := inletOf(t)
	got := make([]byte, 8)
	// waits begins a read, which waits.
	waits := func() <-chan error {
		r.ExpectShort(short)
		done := read(r)
		if short {
			eventually(t, "the read waits", r.Waits)
		}
		time.Sleep(2 * time.Millisecond) // it may not wait yet: either way it has to end as it should
		return done
	}

	done := waits()
	_, err := w.WriteString("x")
	require.NoError(t, err)
	require.NoError(t, receive(t, done))

	// A deadline that has passed fails even where there is something to read; without it that is
	// there.
	_, err = w.WriteString("abc")
	require.NoError(t, err)
	require.NoError(t, r.SetReadDeadline(time.Now().Add(-time.Second)))
	r.ExpectShort(short)
	_, err = r.Read(got)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, r.SetReadDeadline(time.Time{}))
	n, err := r.Read(got)
	require.NoError(t, err)
	require.Equal(t, "abc", string(got[:n]))

	// A read that waits already is interrupted, by one that has passed and by one that is to come.
	for _, in := range []time.Duration{-time.Second, 5 * time.Millisecond} {
		done = waits()
		require.NoError(t, r.SetReadDeadline(time.Now().Add(in)))
		require.ErrorIs(t, receive(t, done), os.ErrDeadlineExceeded)
		require.NoError(t, r.SetReadDeadline(time.Time{}))
	}

	// A later deadline takes the place of an earlier one, and none that of all.
	require.NoError(t, r.SetReadDeadline(time.Now().Add(time.Hour)))
	r.ExpectShort(short)
	done = read(r)
	require.NoError(t, r.SetReadDeadline(time.Time{}))
	require.NoError(t, w.Close())
	require.ErrorIs(t, receive(t, done), io.EOF)
	_, err = r.Read(got)
	require.ErrorIs(t, err, io.EOF)
}

// TestInlet_ManyReads: nothing is lost, whatever the pauses between the writes and who interrupts
// the reads.
func TestInlet_ManyReads(t *testing.T) {
	r, w := inletOf(t)
	const count = 20000
	go func() { // ends when all is written
		defer w.Close()
		for n := range count {
			if _, err := w.Write([]byte{byte(n)}); err != nil {
				return
			}
			switch {
			case n%5000 == 4999:
				time.Sleep(3 * time.Millisecond) // the next wait is a long one
			case n%100 == 99:
				time.Sleep(10 * time.Microsecond)
			}
		}
	}()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // ends when stop is closed
		defer close(stopped)
		for !isClosed(stop) {
			_ = r.SetReadDeadline(time.Unix(1, 0))
			time.Sleep(100 * time.Microsecond)
		}
	}()
	var got []byte
	for b := make([]byte, 8); ; {
		n, err := r.Read(b)
		got = append(got, b[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NoError(t, r.SetReadDeadline(time.Time{}))
		}
	}
	close(stop)
	<-stopped
	require.Len(t, got, count)
	for n, b := range got {
		require.Equal(t, byte(n), b)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func receive(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		require.Fail(t, "the read does not return")
		return nil
	}
}
