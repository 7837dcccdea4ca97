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

// What package os/signal takes to catch a first signal costs a worker three threads, and a good
// part of the time that it takes to start. A worker wants none of what it catches: for SIGINT and
// SIGHUP a handler that does nothing is enough, and the end of its parent can be seen on the
// runtime's poller.

// guardQuietly does for the worker what guardLoudly does, without package os/signal. It returns
// false if the kernel lacks the means; parent is then still to be watched.
func guardQuietly(m *marker, parent int) bool {
	if m.PIDNamespace || ablate.Without(ablate.Deaf) { // in a namespace it catches SIGCHLD anyway
		return false
	}
	life, err := openProcess(parent)
	if err != nil {
		return false
	}
	refuseOrphan(m, parent) // again: the pid may have been another's by now
	// here: what the goroutine allocates, on another processor perhaps, takes a page for each size
	conn, err := life.SyscallConn()
	if err != nil || disregard(unix.SIGINT) != nil || disregard(unix.SIGHUP) != nil {
		_ = life.Close()
		return false
	}
	go func() { // ends with the process
		// The kernel makes it readable after it has given the process's children to another one
		// (exit_notify in its kernel/exit.c).
		if conn.Read(func(uintptr) bool { return os.Getppid() != parent }) == nil {
			KillSelfTree()
		}
	}()
	return true
}

// openProcess returns a pidfd on the runtime's poller, or an error where the kernel has none
// (before 5.3), or a sandbox is in the way.
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
	if err := f.SetReadDeadline(time.Time{}); err != nil { // it is not on the poller
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sigaction is the kernel's struct of this name, see rt_sigaction(2). C's is another one.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// doNothing is the address of a function that does nothing, for the kernel to call. It is in
// deaf_linux.s.
var doNothing uintptr

// disregard has a signal caught by a handler that does nothing. Unlike an ignored one, such a
// signal has its default effect again in the commands that the worker starts. One that is ignored
// already, by nohup(1) for example, is left so.
//
// The handler is the runtime's, with another function: on the stack for signals. The runtime itself
// has to think that the signal is ignored; then, if user code wants it with signal.Notify, it takes
// it over.
func disregard(sig unix.Signal) error {
	var a sigaction
	if err := rtSigaction(sig, nil, &a); err != nil || a.handler == sigIgn {
		return err
	}
	signal.Ignore(sig)
	a.handler = doNothing
	return rtSigaction(sig, &a, nil)
}

const sigIgn = 1 // SIG_IGN

func rtSigaction(sig unix.Signal, new, old *sigaction) error {
	_, _, errno := unix.RawSyscall6(
		unix.SYS_RT_SIGACTION,
		uintptr(sig),
		uintptr(unsafe.Pointer(new)),
		uintptr(unsafe.Pointer(old)),
		unsafe.Sizeof(new.mask),
		0,
		0,
	)
	if errno != 0 {
		return errno
	}
	return nil
}
