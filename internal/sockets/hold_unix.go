//go:build unix

package sockets

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// hold is a mere descriptor of a socket. The runtime's poller does not know of it, so that a
// connection which is there for the workers does not wake main. It exists in main, and any
// goroutine may use it.
type hold struct {
	mu sync.RWMutex // guards fd; held for reading while somebody uses the descriptor
	fd int          // the descriptor, or -1 once it is closed
}

// newHold duplicates the descriptor of a socket.
func newHold(from syscall.Conn) (*hold, error) {
	conn, err := from.SyscallConn()
	if err != nil {
		return nil, err
	}
	h := &hold{fd: -1}
	var dupErr error
	if err := conn.Control(func(fd uintptr) { h.fd, dupErr = duplicate(fd) }); err != nil {
		return nil, err
	}
	return h, dupErr
}

// duplicate duplicates a descriptor to one that no command inherits.
func duplicate(fd uintptr) (int, error) {
	dup, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	return dup, os.NewSyscallError("fcntl", err)
}

// close closes the descriptor.
func (h *hold) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd >= 0 {
		_ = unix.Close(h.fd) // nothing is buffered
		h.fd = -1
	}
}

// SyscallConn returns the hold itself.
func (h *hold) SyscallConn() (syscall.RawConn, error) { return h, nil }

// Control calls f with the descriptor, which stays open meanwhile.
func (h *hold) Control(f func(fd uintptr)) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.fd < 0 {
		return ErrClosed
	}
	f(uintptr(h.fd))
	return nil
}

// Read is not for a hold.
func (h *hold) Read(func(fd uintptr) bool) error { return syscall.EINVAL }

// Write is not for a hold.
func (h *hold) Write(func(fd uintptr) bool) error { return syscall.EINVAL }

// Kind says what a descriptor is: a socket that takes packets, or one that listens. It returns an
// error if it is neither.
func Kind(file *os.File) (packets bool, err error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return false, err
	}
	var listens, kind int
	var optErr error
	if err := conn.Control(func(fd uintptr) {
		if kind, optErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE); optErr == nil {
			listens, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN) // macOS: not of datagrams
		}
	}); err != nil {
		return false, err
	}
	packets = kind == unix.SOCK_DGRAM || kind == unix.SOCK_RAW
	switch {
	case optErr != nil:
		return false, os.NewSyscallError("getsockopt", optErr)
	case !packets && listens == 0:
		return false, os.NewSyscallError("accept: the socket does not listen", syscall.EINVAL)
	}
	return packets, nil
}

// Lacks says why this system cannot share the sockets of a kind, or is empty.
func Lacks(packets bool) string { return "" }
