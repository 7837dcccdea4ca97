// The functions of this file serve the worker process. In a process that is no worker they say so.

package proc

import (
	"os"
	"runtime"
	"sync/atomic"
)

// self is what the initialiser made of this process. It is the initialiser that has to run before
// anything else in the program: a package-level variable, because those of a package come before
// its init functions.
var self = takeOver()

// workerSelf lives in the worker process only; in a main process it is empty. It never changes
// after initialisation, except for released.
type workerSelf struct {
	role   *Role
	r, w   *os.File
	box    []byte
	shared []byte
	// the original os.Stdin and os.Stdout: kept, because their finalizers would close our
	// descriptors
	std      [2]*os.File
	guarded  <-chan struct{}
	released atomic.Bool // ReleaseMainThread was called
}

// takeOver makes this process a worker if the marker is present. A marker that is present always
// means worker: a process that cannot become one exits here, because running on as a main would
// start workers that do the same, without end.
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
		die(
			exitTakeover,
			"the environment variable %s is not for users to set, and its value is malformed: %v",
			markerName,
			err,
		)
	}
	// Package initialisation runs on the main goroutine and on the process's main thread. The lock
	// keeps the goroutine there until ReleaseMainThread, so that user code which needs the main
	// thread can still be given it.
	runtime.LockOSThread()
	s.guarded = guardWorker(m)
	if m.OOMScoreAdj != 0 {
		// What cannot be is said where the user asks for it: Limits.Apply.
		_ = setOOMScoreAdj(m.OOMScoreAdj)
	}
	s.std = [2]*os.File{os.Stdin, os.Stdout}
	if s.r, s.w, err = takeOverPipes(m); err != nil {
		die(exitTakeover, "worker %s cannot take over its standard input and output: %v", &m.Role, err)
	}
	if m.Box {
		s.box, s.shared = takeOverBox()
	}
	s.role = &m.Role
	return s
}

// Current returns the role of this process, or nil in a process that is not a worker. The caller
// must not change it.
func Current() *Role {
	return self.role
}

// Wire returns the pipes of a worker process, r for what main writes and w for what main reads;
// nil, nil in a process that is not a worker. On Unix both are on the runtime's poller, so that
// Close and deadlines unblock a pending call; but on Linux r is in blocking mode, for Inlet. On
// Windows they are synchronous: Close cancels a pending call, deadlines are not supported, and main
// reads the end of file only when this process ends.
func Wire() (r, w *os.File) {
	return self.r, self.w
}

// Guarded returns a channel that is closed when this worker process is deaf to the terminal's
// interrupt and notices the end of the one that started it at once.
func Guarded() <-chan struct{} { return self.guarded }

// Box returns the memory of BoxSize bytes that a worker process shares with the one that started
// it, which can read it when the worker has ended, or nil if there is none.
func Box() []byte { return self.box }

// Shared returns the other memory that a worker process shares with the one that started it, of
// SharedSize bytes, or nil if there is none.
func Shared() []byte { return self.shared }

// ReleaseMainThread undoes the lock that holds the main goroutine of a worker process on the
// process's main thread. It has to be called on the main goroutine. The first call counts, and in a
// process that is not a worker none does.
func ReleaseMainThread() {
	if self.role != nil && self.released.CompareAndSwap(false, true) {
		runtime.UnlockOSThread()
	}
}

// OnMainThread reports whether the calling goroutine runs on the process's main thread at this
// moment. Only a goroutine that is locked to its thread can rely on the answer for longer. Linux
// and Windows know; elsewhere there is no way to ask without cgo, and the answer is whether the
// main goroutine of a worker is still locked to the thread.
func OnMainThread() bool {
	return onMainThread()
}
