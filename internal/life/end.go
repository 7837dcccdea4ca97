package life

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/proc"
)

const (
	// drainTimeout bounds the reading of a dead worker's pipes, which a process that it left behind
	// may hold open.
	drainTimeout = 500 * time.Millisecond
	// lingerTimeout is how long a worker may live on after it has closed its end of the wire,
	// before it is killed.
	lingerTimeout = 2 * time.Second
)

// End is how a life has ended: facts, of which others make errors.
type End struct {
	// Status is how the process ended.
	Status proc.Status
	// Reason is why main has ended the life; its Cause is Alive if main has not.
	Reason Reason
	// Hang is what did not return, if the life was ended because it hung; else nil.
	Hang *Hang
	// Bye says that the worker has said goodbye.
	Bye bool
	// Failure is the packed error that it said goodbye with; empty if there was none.
	Failure string
	// Lost is how many records of its log were lost, as it said goodbye with.
	Lost int
	// Cut says that the wire ended in the middle of a frame.
	Cut bool
	// Raced says that the race detector has found something in the worker.
	Raced bool
	// Stacks are those of the worker's goroutines as it has sent them; empty if it has not.
	Stacks string
	// Stderr is the end of what it wrote there, or the report of its death. It is left out if Well
	// is true and Raced is not.
	Stderr string
	// Kernel is what the kernel has taken the worker for; nil if it has not.
	Kernel *KernelKill
}

// Well reports whether the worker has ended as it said with its goodbye, and nobody knows better:
// with Failure, or without one.
func (e *End) Well() bool {
	if !e.Bye || e.Reason.Cause != Alive || e.Status.Signal != "" {
		return false
	}
	return e.Failure != "" || !e.Raced && (e.Status.ExitCode == 0 || e.Status.Unknown != "")
}

// Drain waits until nothing of the body is left and its wire has been read to the end, so that what
// the worker wrote before its death counts. It handles the frames that the worker has left in its
// black box, and returns what else is in there; it reports false if there is nothing, or it was
// returned before.
func (l *Life) Drain() (left link.Remains, ok bool) {
	select {
	case <-l.body.Done():
	case <-l.read:
		l.linger()
	}
	if !goroutine.Within(l.read, drainTimeout) {
		l.body.Close()
		goroutine.Within(l.read, drainTimeout)
	}
	box := l.body.Box()
	if box == nil || l.drained || !goroutine.Closed(l.read) {
		return left, false
	}
	l.drained = true
	l.link.ReadRest(box)
	return link.ReadRemains(box), true
}

// linger waits until a worker has ended that has closed its end of the wire.
func (l *Life) linger() {
	timer := time.NewTimer(lingerTimeout)
	defer timer.Stop()
	select {
	case <-l.body.Done():
	case <-timer.C:
		l.kill(Reason{Cause: Lingered})
		goroutine.Within(l.body.Done(), lingerTimeout) // not for ever: goroutines cannot be killed
	}
}

// Wait gives up the wire, and returns how the life has ended. It is called after Drain, and may be
// called again.
func (l *Life) Wait() *End {
	l.link.Close()
	l.body.Close()
	l.link.Unshare()
	goroutine.Within(l.wrote, drainTimeout)
	st := l.body.Status()
	e := &End{Status: st, Raced: l.body.Raced(st)}
	l.known.fill(e)
	if !e.Well() || e.Raced {
		e.Stderr = l.body.Stderr()
	}
	if p, ok := l.body.(*Process); ok && !e.Well() && e.mayBeTheKernel() {
		e.Kernel = p.takenByKernel()
	}
	return e
}

// fill puts into e what is known.
func (k *known) fill(e *End) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e.Reason, e.Hang, e.Bye, e.Failure, e.Lost, e.Stacks = k.reason, k.hang, k.bye, k.failure, k.lost, k.stacks
	e.Cut = errors.Is(k.readErr, io.ErrUnexpectedEOF)
}

// mayBeTheKernel reports whether the worker has ended as one does that the kernel takes for lack of
// memory.
func (e *End) mayBeTheKernel() bool {
	unknown := e.Status.Signal == "" && e.Status.ExitCode == -1
	return e.Reason.Cause == Alive && (e.Status.Signal == "SIGKILL" || unknown)
}

// WatchMemory finds out again in which control group the process is, because the setup function of
// the worker may have moved it. Only the goroutine of the life calls it.
func (l *Life) WatchMemory() {
	if p, ok := l.body.(*Process); ok {
		p.watchMemory()
	}
}

// OutOfMemory reports whether a worker with a limit of memory, in bytes, died because it got no
// memory. The Go runtime mostly says so, in one of these ways (runtime/malloc.go,
// runtime/mem_linux.go, runtime/os_linux.go; with the race detector, sanitizer_common.cpp of LLVM);
// where it stumbles over the missing memory before it can, it dies of a fatal error of its own,
// close to the limit.
func (e *End) OutOfMemory(limit int64) bool {
	for _, says := range []string{
		"out of memory", "cannot allocate memory", "failed to create new OS thread", "pthread_create failed",
		"ThreadSanitizer failed to allocate",
	} {
		if strings.Contains(e.Stderr, says) {
			return true
		}
	}
	runtimeDied := strings.HasPrefix(e.Stderr, "fatal error: ") || strings.HasPrefix(e.Stderr, "runtime: ") ||
		strings.HasPrefix(e.Stderr, "SIG")
	return (runtimeDied || e.Status.Signal == "SIGSEGV") && e.Status.MaxRSS > limit/2 ||
		strings.HasPrefix(e.Stderr, "SIGSEGV: ") && inRuntime(e.Stderr)
}

// inRuntime reports whether a crash was in the Go runtime itself, on the stack of a thread: where
// it has not checked what it got.
func inRuntime(stderr string) bool {
	_, stack, _ := strings.Cut(stderr, "\ngoroutine 0 ")
	_, frame, _ := strings.Cut(stack, "\n")
	return strings.HasPrefix(frame, "runtime.") && !strings.Contains(stderr, "signal arrived during cgo execution")
}
