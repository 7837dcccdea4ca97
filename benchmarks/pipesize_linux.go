package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// setPipeSize changes the capacity of a pipe. See fcntl(2), F_SETPIPE_SZ.
func setPipeSize(f *os.File, size int) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { _, failed = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size) }); err != nil {
		return err
	}
	return failed
}
