//go:build unix

package upgrade

import (
	"errors"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Supported returns an error if this system cannot do it.
func Supported() error { return nil }

// Exec executes the file at a path in the place of this process, which hands over h. If that fails,
// it returns the error, and everything is as before. last is called when nothing is left to do that
// takes time, and may refuse it with an error.
func Exec(path string, env []string, h *Handed, last func() error) error {
	files, err := write(h)
	if err != nil {
		return err
	}
	defer closeAll(files...) // if the process goes on
	var written []int
	for _, f := range files {
		written = append(written, int(f.Fd()))
	}
	fds := append(h.descriptors(), written...)
	if err := last(); err != nil {
		return err
	}
	syscall.ForkLock.Lock() // no child of another goroutine may inherit them
	defer syscall.ForkLock.Unlock()
	err = inherit(fds, 0)
	if err == nil {
		err = syscall.Exec(path, os.Args, with(env, successorKind, written...))
		err = &os.PathError{Op: "exec", Path: path, Err: err}
	}
	runtime.KeepAlive(files)
	return errors.Join(err, inherit(fds, unix.FD_CLOEXEC))
}

// inherit sets the flags of descriptors.
func inherit(fds []int, flags int) error {
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags); err != nil {
			return os.NewSyscallError("fcntl", err)
		}
	}
	return nil
}
