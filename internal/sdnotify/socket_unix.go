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
// It does without the net package, which would make every program that uses this library a program
// with cgo, so that each start of a worker would load the C library.
func send(socket, notification string) error {
	conn, err := dial(socket)
	if err != nil {
		return err
	}
	defer conn.Close() // its error means nothing: the write either has queued the datagram or has not
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return cause(err)
	}
	_, err = conn.WriteString(notification)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("its queue had no room for %v: %w", sendTimeout, os.ErrDeadlineExceeded)
	}
	return cause(err)
}

// dial returns a datagram socket that is connected to the service manager's, and that the runtime
// polls. A name that begins with "@" is that of an abstract socket, on Linux.
func dial(socket string) (*os.File, error) {
	syscall.ForkLock.RLock() // so that no process that is started meanwhile inherits the socket
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = os.NewSyscallError("setnonblock", unix.SetNonblock(fd, true)) // before NewFile, which asks for the mode
	if err == nil {
		err = os.NewSyscallError("connect", unix.Connect(fd, &unix.SockaddrUnix{Name: socket}))
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), socket), nil
}

// cause takes off the layer of an error that names the socket a second time.
func cause(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return os.NewSyscallError(path.Op, path.Err)
	}
	return err
}

// monotonicUsec reads CLOCK_MONOTONIC, as systemd does. The monotonic part of a time.Time is of
// that clock, too, but the time package does not give it away.
func monotonicUsec() (int64, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return now.Nano() / int64(time.Microsecond), nil
}
