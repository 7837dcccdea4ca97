//go:build unix

package sockets

import (
	"os"

	"golang.org/x/sys/unix"
)

// passedFile takes over a descriptor, so that no command inherits it. It returns nil if there is
// none.
func passedFile(fd int, name string) *os.File {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), name)
}
