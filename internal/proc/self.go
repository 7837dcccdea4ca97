// This file is what the initialiser makes of this process, and what a worker asks for later. The
// functions serve the worker process; in a process that is no worker they say so.

package proc

import (
	"os"
	"runtime"
	"sync/atomic"
)

// self is what the initialiser has made of this process. Its initialiser has to run before anything
// else in the program. So it is that of a package-level variable, because the variables of a
// package are initialised before its init functions run.
var self = takeOver()

// workerSelf lives in the worker process only; in a main process it is empty. It never changes
// after initialisation, except for released and handed. Any goroutine may read it.
type workerSelf struct {
	role   *Role    // the role of this process; nil in a main process
	r, w   *os.File // the wire: r for what main writes, w for what main reads
	box    []byte   // the memory that main can read when this process has ended, or nil
	shared []byte   // the memory that both processes use while this process runs, or nil
	// std is the original os.Stdin and os.Stdout. They are kept because their finalizers would
	// close descriptors that are in use again.
	std      [2]*os.File
	guarded  <-chan struct{} // closed when guardWorker has done its work
	released atomic.Bool     // ReleaseMainThread was called
	handed   handedSelf      // what was handed to this process, with a lock of its own
}

// takeOver makes this process a worker if the marker is present. If the marker is present and the
// process cannot become a worker, it exits here: if it ran on as a main process, it would start
// workers that do the same, without end.
func takeOver() *workerSelf {
	s := new(workerSelf)
	text, ok := os.LookupEnv(markerName)
	if !ok {
		return s
	}
	if err := os.Unsetenv(markerName); err != nil {
		die(exitTakeover, "cannot remove %s from the environment: %v", markerName, err)
	}
	m, err := parseMarker(text)
	if err != nil {
		die(exitTakeover, "the environment variable %s is not for users to set, and its value is malformed: %v",
			markerName, err)
	}
	// Package initialisation runs on the main goroutine and on the process's main thread. The lock
	// keeps the goroutine there until ReleaseMainThread, so that user code which needs the main
	// thread can still be given it.
	runtime.LockOSThread()
	s.guarded = guardWorker(m)
	if m.OOMScoreAdj != 0 {
		// An error is reported by Limits.Apply, which does this again.
		_ = setOOMScoreAdj(m.OOMScoreAdj)
	}
	s.std = [2]*os.File{os.Stdin, os.Stdout}
	if s.r, s.w, err = takeOverPipes(m); err != nil {
		die(exitTakeover, "worker %s cannot take over its standard input and output: %v", &m.Role, err)
	}
	if m.Box {
		s.box, s.shared = takeOverBox()
	}
	if err := s.handed.keep(m.Handed); err != nil {
		die(exitTakeover, "worker %s cannot take what it was handed: %v", &m.Role, err)
	}
	s.role = &m.Role
	return s
}

// Current returns the role of this process, or nil in a process that is not a worker. The caller
// must not change it.
func Current() *Role { return self.role }

// Wire returns the pipes of a worker process, r for what main writes and w for what main reads. In
// a process that is not a worker it returns nil, nil. On Unix both pipes are on the runtime's
// poller, so that Close and deadlines unblock a pending call; but on Linux r is in blocking mode,
// for Inlet. On Windows the pipes are synchronous: Close cancels a pending call, deadlines are not
// supported, and main reads the end of file only when this process ends.
func Wire() (r, w *os.File) { return self.r, self.w }

// Guarded returns a channel that is closed as soon as this worker process is deaf to the terminal's
// interrupt and notices at once the end of the process that started it.
func Guarded() <-chan struct{} { return self.guarded }

// Box returns the memory of BoxSize bytes that the process which started this worker can read when
// the worker has ended, or nil if there is none.
func Box() []byte { return self.box }

// Shared returns the memory of SharedSize bytes that a worker process and the process that started
// it use while the worker runs, or nil if there is none.
func Shared() []byte { return self.shared }

// TakeHanded returns the descriptor, or on Windows the handle, that this worker process was handed
// under the name. It now is the caller's to close; a second call for the name returns ErrTaken, and
// one for a name that there is not ErrNotHanded. Until it is taken it stays open, and no command
// that the worker starts inherits it.
func TakeHanded(name string) (fd uintptr, err error) { return self.handed.take(name) }

// ReleaseMainThread undoes the lock that holds the main goroutine of a worker process on the
// process's main thread. It has to be called on the main goroutine. Calls after the first do
// nothing, nor do calls in a process that is not a worker.
func ReleaseMainThread() {
	if self.role != nil && self.released.CompareAndSwap(false, true) {
		runtime.UnlockOSThread()
	}
}
