// The functions of this file serve the main process.

//go:build darwin || dragonfly || freebsd || linux || openbsd

package sdnotify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const supported = true

// send sends one datagram. The socket is connected, and not only given an address to send to, because only then does the
// kernel wake a sender that waits for room in the receiver's queue (unix_dgram_poll in Linux's net/unix/af_unix.c).
// The BSDs and macOS do not wait for room at all: they fail with ENOBUFS.
func send(socket, notification string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return cause(err)
	}
	defer conn.Close() // nothing is left to be lost: a datagram was queued by Write, or was not
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return cause(err)
	}
	_, err = conn.Write([]byte(notification))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("its queue had no room for %v: %w", sendTimeout, os.ErrDeadlineExceeded)
	}
	return cause(err)
}

// cause takes off the layer that names the socket a second time; below it the system call is named ("connect: no such
// file or directory").
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// monotonicUsec reads the clock that systemd reads as well. The monotonic part of a time.Time is of that clock too, but
// the time package does not give it away.
func monotonicUsec() (int64, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return now.Nano() / int64(time.Microsecond), nil
}
