package multiprolab_test

import (
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

func init() {
	hangs["kernel unknown to Go"] = func() {
		var p [2]int
		var b byte
		if err := syscall.Pipe(p[:]); err == nil {
			// The Go runtime does not know that this thread is in the kernel: it waits for it, and so
			// does everything that looks at all goroutines.
			_, _, _ = syscall.RawSyscall(syscall.SYS_READ, uintptr(p[0]), uintptr(unsafe.Pointer(&b)), 1)
		}
	}
}

// A worker whose Go runtime hangs cannot be asked for its stacks. That is an error when the time is
// over; what it is at is known all the same, and it can be killed.
func TestLookingAtAWorkerWhoseRuntimeHangs(t *testing.T) {
	l := startLab(t, &multiprolab.Config{Shutdown: multiprolab.KillAll}, workers("hanger", 1))
	require.NoError(t, multiprolab.Send(bounded(t), l, "hanger/0", "hang-message", "kernel unknown to Go"))
	require.Equal(t, "hang-message", worksOn(t, l, "hanger/0", "message").Type)
	late := func(look func(ctx context.Context) error) {
		eventually(t, "the runtime to hang", func() bool { // the handler is about to begin, or has
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			err := look(ctx)
			return errors.Is(err, context.DeadlineExceeded)
		})
	}
	late(func(ctx context.Context) error { _, err := l.Dump(ctx, "hanger/0"); return err })
	late(func(ctx context.Context) error { return l.Profile(ctx, io.Discard, "hanger/0", "heap", nil) })
	require.NoError(t, l.Kill("hanger/0"))
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 2 })
	stacks, err := l.Dump(bounded(t), "hanger/0")
	require.NoError(t, err)
	require.NotEmpty(t, stacks)
}
