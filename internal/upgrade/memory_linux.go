package upgrade

import (
	"os"

	"golang.org/x/sys/unix"
)

// memory makes a file in memory, or returns nil.
func memory() *os.File {
	fd, err := unix.MemfdCreate("upgrade", unix.MFD_CLOEXEC)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), "upgrade")
}
