package sockets

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// hold is a socket that no completion port has, so that another process can wait for it. It exists
// in main, and any goroutine may use it.
type hold struct {
	file *os.File // the socket
}

// newHold duplicates a socket.
func newHold(from syscall.Conn) (*hold, error) {
	f, ok := from.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("a %T cannot be duplicated", from)
	}
	file, err := f.File()
	if err != nil {
		return nil, err
	}
	file.Fd() // takes it out of the completion port of this process
	return &hold{file}, nil
}

// close closes the socket.
func (h *hold) close() { _ = h.file.Close() } // nothing is buffered

// SyscallConn returns the hold itself.
func (h *hold) SyscallConn() (syscall.RawConn, error) { return h, nil }

// Control calls f with the handle, which stays open meanwhile.
func (h *hold) Control(f func(fd uintptr)) error {
	conn, err := h.file.SyscallConn()
	if err == nil {
		err = conn.Control(f)
	}
	if errors.Is(err, os.ErrClosed) {
		return ErrClosed
	}
	return err
}

// Read is not for a hold.
func (h *hold) Read(func(fd uintptr) bool) error { return syscall.EINVAL }

// Write is not for a hold.
func (h *hold) Write(func(fd uintptr) bool) error { return syscall.EINVAL }

// Kind returns an error: there is nothing to adopt on Windows.
func Kind(*os.File) (packets bool, err error) { return false, errors.ErrUnsupported }

// Lacks says why this system cannot share the sockets of a kind, or is empty.
func Lacks(packets bool) string {
	if packets {
		return "Windows lets the Go runtime wait for packets of a socket in one process only"
	}
	return ""
}

// duplicate returns an error: no other version of the program is handed sockets on Windows.
func duplicate(uintptr) (int, error) { return 0, errors.ErrUnsupported }
