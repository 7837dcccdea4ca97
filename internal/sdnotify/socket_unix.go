// The functions of this file serve the main process.

//go:build darwin || dragonfly || freebsd || linux || openbsd

package sdnotify

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const supported = true

// send sends one datagram. The socket is connected, and not only given an address to send to,
// because only then does the kernel wake a sender that waits for room in the receiver's queue
// (unix_dgram_poll in Linux's net/unix/af_unix.c). The BSDs and macOS do not wait for room at all:
// they fail with ENOBUFS.
//
// It goes without the net package, which would make a program with cgo of every program that uses
// this one: linked with the C library at each start of a worker.
func send(socket, notification string) error {
	conn, err := dial(socket)
	if err != nil {
		return err
	}
	defer conn.Close() // nothing is left to be lost: a datagram was queued by Write, or was not
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return cause(err)
	}
	_, err = conn.WriteString(notification)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("its queue had no room for %v: %w", sendTimeout, os.ErrDeadlineExceeded)
	}
	return cause(err)
}

// dial returns a datagram socket, on the runtime's poller, that is connected to the service
// manager's. A name that begins with "@" is that of an abstract socket, on Linux.
func dial(socket string) (*os.File, error) {
	syscall.ForkLock.RLock() // no command inherits it
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = os.NewSyscallError("setnonblock", unix.SetNonblock(fd, true)) // before NewFile, which looks at it
	if err == nil {
		err = os.NewSyscallError("connect", unix.Connect(fd, &unix.SockaddrUnix{Name: socket}))
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), socket), nil
}

// cause takes off the layer that names the socket a second time.
func cause(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return os.NewSyscallError(path.Op, path.Err)
	}
	return err
}

// monotonicUsec reads the clock that systemd reads as well. The monotonic part of a time.Time is of
// that clock too, but the time package does not give it away.
func monotonicUsec() (int64, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return now.Nano() / int64(time.Microsecond), nil
}
