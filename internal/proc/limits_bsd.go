// The functions of this file are called in the worker process.

//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// applyNice sets the priority of the process: here it is one for all threads, as in POSIX.
func (l *Limits) applyNice() error {
	return niceError(os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, 0, l.Nice)))
}

// applyCPUs is never called, see lacks.
func (l *Limits) applyCPUs() error { return errors.ErrUnsupported }
