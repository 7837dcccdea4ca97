//go:build unix

package multiprolab_test

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// mapShared maps a file into memory, so that what one process writes there the others see, whatever
// becomes of it.
func mapShared(f *os.File, size int) (mem []byte, unmap func() error, err error) {
	mem, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return mem, func() error { return unix.Munmap(mem) }, err
}

// stopSelf stops this process until somebody ends it.
func stopSelf() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) }

var (
	signalStop os.Signal = syscall.SIGSTOP
	signalCont os.Signal = syscall.SIGCONT
)
