// The functions of this file serve the worker process.

//go:build unix

package proc

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// guardWorker makes the worker deaf to the terminal's interrupt, and makes sure that it does not
// outlive its parent.
//
// If the parent dies before the first line of this function, a comparison of pids finds out. If it
// dies later, but before it is watched, a second comparison does.
//
// Catching signals may take several threads, and the main goroutine would have to wait for each. So
// this is done beside the start of the worker, and the channel is closed when it is done.
func guardWorker(m *marker) <-chan struct{} {
	heedNoTerminal()
	parent := os.Getppid()
	if m.PIDNamespace {
		guardNamespace(m)
	} else if parent != 0 { // 0: the parent is outside of this PID namespace
		refuseOrphan(m, m.Parent)
	}
	guarded := make(chan struct{})
	if parent != 0 && guardQuietly(m, parent) {
		close(guarded)
		return guarded
	}
	go func() { // ends with the process
		guardLoudly(m, parent, func() { close(guarded) })
	}()
	return guarded
}

// heedNoTerminal keeps the terminal from stopping the worker, which is in a process group in the
// background. Otherwise the terminal would stop it at a read, and with "stty tostop" at the first
// print. With these signals ignored, what is written appears, and a read fails at once with EIO
// (termios(3), POSIX 11.1.4). The commands that the worker starts inherit the ignored signals,
// which is right, because nobody could bring the commands to the foreground. Shells and other
// programs that want the signals set them again.
func heedNoTerminal() { signal.Ignore(unix.SIGTTOU, unix.SIGTTIN) }

// refuseOrphan ends a worker whose parent is gone.
func refuseOrphan(m *marker, parent int) {
	if os.Getppid() != parent {
		die(exitOrphan, "worker %s: process %d, which started it, is gone", &m.Role, m.Parent)
	}
}

// guardLoudly catches the signals with package os/signal, calls guarded, and watches the parent. It
// returns only if the parent need not be watched.
func guardLoudly(m *marker, parent int, guarded func()) {
	// Ctrl-C reaches the whole foreground process group, and SIGINT may be sent to a worker by
	// hand: main decides what it means. The signal is not ignored, because it would stay ignored in
	// the commands that the worker starts. Nobody reads the channel; package os/signal does not
	// block on a full one.
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT)
	orphaned := make(chan os.Signal, 1)
	signal.Notify(orphaned, unix.SIGHUP, unix.SIGCONT)
	guarded()
	if !m.PIDNamespace {
		watchParent(orphaned, parent)
	}
}

// guardNamespace is the part of guardWorker for process 1 of a PID namespace. Such a worker cannot
// see its parent, but the kernel kills it at the parent's death. If the parent died before the
// kernel was asked to do so, the parent's end of the wire is closed.
func guardNamespace(m *marker) {
	if wireClosed() {
		die(exitOrphan, "worker %s: process %d, which started it, is gone", &m.Role, m.Parent)
	}
	// Orphans of the namespace become children of this process. The reaping ends with the process.
	ReapOrphans()
}

// watchParent ends the worker when a signal comes and the parent is gone. On Linux the spawner has
// asked the kernel for SIGCONT. On every system the kernel sends SIGHUP and SIGCONT to a stopped
// process group that has become an orphan (POSIX, _exit). Linux sends the SIGCONT whenever a thread
// of the parent ends whose child the worker is. Only after the last thread does getppid show
// another parent, and it does so before the signal comes. If the parent's pid cannot be seen, the
// worker ends at SIGHUP, or at the end of the wire.
func watchParent(orphaned <-chan os.Signal, parent int) {
	var sig os.Signal
	for {
		if parent == 0 && sig == unix.SIGHUP || parent != 0 && os.Getppid() != parent {
			KillSelfTree()
		}
		sig = <-orphaned
	}
}

// KillSelfTree ends the worker process and its process group at once, when main is gone. It does
// not return.
func KillSelfTree() {
	// For process 1 of a PID namespace, -pid would mean all processes; the kernel ends the
	// namespace with process 1.
	if pid := unix.Getpid(); pid != 1 && unix.Getpgrp() == pid {
		// The group includes this process. If a Main in this process has workers, these lead groups
		// of their own, and notice the end of this process.
		_ = unix.Kill(-pid, unix.SIGKILL)
	}
	os.Exit(exitOrphan)
}

// takeOverPipes moves the pipes on descriptors 0 and 1 out of reach of user code, and gives user
// code the null device to read from and main's output to write to.
func takeOverPipes(*marker) (r, w *os.File, err error) {
	if r, err = keep(0, "wire in", !inletBlocks()); err != nil {
		return nil, nil, err
	}
	if w, err = keep(1, "wire out", true); err != nil {
		return nil, nil, err
	}
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	if err := move(null, 0); err != nil {
		return nil, nil, err
	}
	if err := move(stdoutFD, 1); err != nil {
		return nil, nil, err
	}
	// os.Stdout was made for a descriptor in blocking mode. If the output is in non-blocking mode
	// (some parents of main leave theirs so), only a new File knows that it has to wait.
	if flags, err := unix.FcntlInt(1, unix.F_GETFL, 0); err == nil && flags&unix.O_NONBLOCK != 0 {
		os.Stdout = os.NewFile(1, "/dev/stdout")
	}
	return r, w, nil
}

// keep duplicates a descriptor to a private one that no command inherits. If it is nonblocking, it
// is on the runtime's poller.
func keep(fd int, name string, nonblocking bool) (*os.File, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, wireFD)
	if err != nil {
		return nil, fmt.Errorf("duplicate descriptor %d: %w", fd, err)
	}
	if err := unix.SetNonblock(dup, nonblocking); err != nil { // before NewFile, which asks for the mode
		return nil, fmt.Errorf("set the mode of descriptor %d: %w", dup, err)
	}
	return os.NewFile(uintptr(dup), name), nil
}

// move gives the file of the descriptor from the number to, which commands inherit.
func move(from, to int) error {
	for {
		err := dupOnto(from, to)
		if err == unix.EINTR || err == unix.EBUSY { // EBUSY: a race with open in another thread on Linux, see dup(2)
			continue
		}
		if err != nil {
			return fmt.Errorf("duplicate descriptor %d onto %d: %w", from, to, err)
		}
		return syscall.Close(from)
	}
}
