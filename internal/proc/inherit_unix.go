// The functions of this file serve both processes.

//go:build unix

package proc

import (
	"os"

	"golang.org/x/sys/unix"
)

// dupFD duplicates a descriptor. A worker inherits only what the start puts in its place.
func dupFD(fd uintptr, _ bool) (uintptr, error) {
	dup, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	return uintptr(dup), os.NewSyscallError("fcntl", err)
}

// uninherit keeps a descriptor of this worker from the commands that it starts.
func uninherit(fd uintptr) error {
	_, err := unix.FcntlInt(fd, unix.F_SETFD, unix.FD_CLOEXEC)
	return os.NewSyscallError("fcntl", err)
}

// closeFD closes a descriptor of this process.
func closeFD(fd uintptr) { _ = unix.Close(int(fd)) } // nothing is buffered
