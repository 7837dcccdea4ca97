//go:build unix

package upgrade

import (
	"os"
	"syscall"
)

func duplicate(f *os.File) (int, error) { return syscall.Dup(int(f.Fd())) }
