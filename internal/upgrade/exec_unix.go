//go:build unix

package upgrade

import (
	"errors"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Supported returns an error if this system cannot do it.
func Supported() error { return nil }

// Exec executes the file at a path in the place of this process, which hands over h. If that fails,
// it returns the error, and everything is as before. Signals to ignore are lost until the new
// program asks for them; without that they would end it.
func Exec(path string, env []string, h *Handed, ignore ...os.Signal) error {
	file, err := write(h)
	if err != nil {
		return err
	}
	defer file.Close() // if the process goes on
	fds := append(h.descriptors(), int(file.Fd()))
	if len(ignore) > 0 { // without signals, all are meant
		signal.Ignore(ignore...)
	}
	syscall.ForkLock.Lock() // no child of another goroutine may inherit them
	defer syscall.ForkLock.Unlock()
	err = inherit(fds, 0)
	if err == nil {
		err = syscall.Exec(path, os.Args, with(env, successorKind, int(file.Fd())))
		err = &os.PathError{Op: "exec", Path: path, Err: err}
	}
	runtime.KeepAlive(file)
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
