// The functions of this file serve the worker process.

//go:build amd64 || arm64

package proc

import (
	"os"
	"os/signal"
	"time"
	"unsafe"

	"github.com/multiprolab/multiprolab/internal/ablate"

	"golang.org/x/sys/unix"
)

// This file makes a worker deaf to signals without package os/signal, which takes three threads to
// catch a first signal, and so a good part of the time of a worker's start. A worker does not want
// to know of the signals: for SIGINT and SIGHUP a handler that does nothing is enough, and the end
// of its parent can be seen on the runtime's poller.

// guardQuietly does for the worker what guardLoudly does, without package os/signal. It returns
// false if the kernel lacks the means; parent is then still to be watched.
func guardQuietly(m *marker, parent int) bool {
	if m.PIDNamespace || ablate.Without(ablate.Deaf) { // in a namespace the worker catches SIGCHLD anyway
		return false
	}
	life, err := openProcess(parent)
	if err != nil {
		return false
	}
	refuseOrphan(m, parent) // once more, because the pid may be that of another process by now
	// conn is made here and not in the goroutine: if the goroutine runs on another processor, what
	// it allocates takes a page for each size.
	conn, err := life.SyscallConn()
	if err != nil || disregard(unix.SIGINT) != nil || disregard(unix.SIGHUP) != nil {
		_ = life.Close()
		return false
	}
	go func() { // ends with the process
		// The kernel makes the pidfd readable after it has given the children of the parent to
		// another process (exit_notify in its kernel/exit.c).
		if conn.Read(func(uintptr) bool { return os.Getppid() != parent }) == nil {
			KillSelfTree()
		}
	}()
	return true
}

// openProcess returns a pidfd on the runtime's poller, or an error if the kernel has no pidfds
// (before 5.3) or a sandbox forbids them.
func openProcess(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	f, err := keep(fd, "parent", true)
	if err != nil {
		return nil, err
	}
	if err := f.SetReadDeadline(time.Time{}); err != nil { // f is not on the poller
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sigaction is the kernel's struct of this name, see rt_sigaction(2). The struct of the C library
// is laid out in another way.
type sigaction struct {
	handler  uintptr // the function that the kernel calls
	flags    uintptr // how the kernel calls the handler
	restorer uintptr // the function that returns from the handler
	mask     uint64  // the signals that are blocked while the handler runs
}

// doNothing is the address of a function that does nothing, for the kernel to call. The function is
// in deaf_linux.s.
var doNothing uintptr

// disregard has a signal caught by a handler that does nothing. Unlike an ignored signal, it has
// its default effect again in the commands that the worker starts. A signal that is ignored
// already, by nohup(1) for example, stays ignored.
//
// What the runtime has set for the signal stays, such as the stack for handlers; only the function
// is another one. The runtime itself has to think that the signal is ignored: then, if user code
// wants it with signal.Notify, the runtime takes it over.
func disregard(sig unix.Signal) error {
	var a sigaction
	if err := rtSigaction(sig, nil, &a); err != nil || a.handler == sigIgn {
		return err
	}
	signal.Ignore(sig)
	a.handler = doNothing
	return rtSigaction(sig, &a, nil)
}

// sigIgn is SIG_IGN, the handler of an ignored signal.
const sigIgn = 1

// rtSigaction is rt_sigaction(2).
func rtSigaction(sig unix.Signal, new, old *sigaction) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(new)),
		uintptr(unsafe.Pointer(old)), unsafe.Sizeof(new.mask), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
