//go:build unix

package sockets

import (
	"os"

	"golang.org/x/sys/unix"
)

// passedFile takes over a descriptor, so that no command inherits it. It returns nil if there is
// none, or if this process has opened it itself, as the Go runtime does with some: what comes from
// another process can be inherited, and what Go opens cannot.
func passedFile(fd int, name string) *os.File {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return nil
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), name)
}
