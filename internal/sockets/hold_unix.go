//go:build unix

package sockets

import (
	"net"
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
		return net.ErrClosed
	}
	f(uintptr(h.fd))
	return nil
}

// Read is not for a hold.
func (h *hold) Read(func(fd uintptr) bool) error { return syscall.EINVAL }

// Write is not for a hold.
func (h *hold) Write(func(fd uintptr) bool) error { return syscall.EINVAL }

// adopt makes a Socket of a descriptor of this process, which it closes.
func adopt(name string, file *os.File) (*Socket, error) {
	defer file.Close() // nothing is buffered
	conn, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var listens, kind int
	var optErr error
	if err := conn.Control(func(fd uintptr) {
		if kind, optErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE); optErr == nil {
			listens, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN) // macOS: not of datagrams
		}
	}); err != nil {
		return nil, err
	}
	if optErr != nil {
		return nil, os.NewSyscallError("getsockopt", optErr)
	}
	s := &Socket{Name: name, Packets: kind == unix.SOCK_DGRAM || kind == unix.SOCK_RAW}
	if s.Packets {
		c, err := net.FilePacketConn(file)
		if err != nil {
			return nil, err
		}
		s.Addr = c.LocalAddr()
		_ = c.Close() // it is a duplicate
	} else {
		if listens == 0 {
			return nil, os.NewSyscallError("accept: the socket does not listen", syscall.EINVAL)
		}
		l, err := net.FileListener(file)
		if err != nil {
			return nil, err
		}
		s.Addr = l.Addr()
		_ = l.Close() // it is a duplicate
	}
	s.file, err = newHold(file)
	return s, err
}

// Listener makes a listener of a descriptor that this process has inherited, and closes the
// descriptor.
func Listener(name string, fd uintptr) (net.Listener, error) {
	file := os.NewFile(fd, name)
	defer file.Close() // the listener has a duplicate
	return net.FileListener(file)
}

// PacketConn makes a packet connection of a descriptor that this process has inherited, and closes
// the descriptor.
func PacketConn(name string, fd uintptr) (net.PacketConn, error) {
	file := os.NewFile(fd, name)
	defer file.Close() // the connection has a duplicate
	return net.FilePacketConn(file)
}

// Lacks says why this system cannot share the sockets of a kind, or is empty.
func Lacks(packets bool) string { return "" }
