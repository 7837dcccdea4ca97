//go:build unix

package upgrade

import (
	"os"

	"golang.org/x/sys/unix"
)

// keep takes over descriptors, so that no command inherits them.
func keep(fds []int) error {
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return os.NewSyscallError("fcntl", err)
		}
	}
	return nil
}

// unnamed makes a file that nobody else can open.
func unnamed() (*os.File, error) {
	if file := memory(); file != nil {
		return file, nil
	}
	file, err := os.CreateTemp("", "upgrade")
	if err != nil {
		return nil, err
	}
	return file, os.Remove(file.Name())
}
