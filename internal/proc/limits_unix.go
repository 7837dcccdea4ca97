// The functions of this file are called in the worker process.

//go:build unix

package proc

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// applyOpenFiles sets the limit by way of the syscall package, which would otherwise give commands
// the limit that it has found at the start of the process.
func (l *Limits) applyOpenFiles() error {
	return setRlimit(syscall.RLIMIT_NOFILE, int64(l.OpenFiles), int64(l.OpenFiles))
}

// applyCPUTime sets the soft limit, at which the kernel sends SIGXCPU, and the hard limit, at which
// it kills (setrlimit(2)). The Go runtime does nothing about SIGXCPU, so a goroutine waits for it.
func (l *Limits) applyCPUTime() error {
	exceeded := make(chan os.Signal, 1)
	signal.Notify(exceeded, unix.SIGXCPU)
	if err := setRlimit(unix.RLIMIT_CPU, l.seconds(), l.seconds()+1); err != nil {
		signal.Stop(exceeded)
		return err
	}
	go func() { // ends with the process
		<-exceeded
		dieOfCPUTime(l.seconds())
	}()
	return nil
}

// dieOfCPUTime ends the process as the Go runtime would. The collection of the stacks stops the
// goroutines that use up the time.
func dieOfCPUTime(seconds int64) {
	fmt.Fprintf(os.Stderr, "SIGXCPU: cpu limit exceeded\nmultiprolab: the process has used its CPUTime of %d s\n\n",
		seconds)
	buf := make([]byte, 1<<20)
	_, _ = os.Stderr.Write(buf[:runtime.Stack(buf, true)])
	os.Exit(2) // the status with which the Go runtime exits because of a signal
}

// setRlimit sets both limits of a resource.
func setRlimit(resource int, soft, hard int64) error {
	var before, limit syscall.Rlimit
	if err := syscall.Getrlimit(resource, &before); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	setInt(&limit.Cur, soft)
	setInt(&limit.Max, hard)
	err := os.NewSyscallError("setrlimit", syscall.Setrlimit(resource, &limit))
	switch {
	case err == nil:
		return nil
	case hard > int64(before.Max) && int64(before.Max) >= 0: // negative: no limit
		return fmt.Errorf(
			"the process starts with a hard limit of %d; choose at most that, or raise it for the main process "+
				"(ulimit -H): %w",
			before.Max,
			err,
		)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EINVAL):
		return fmt.Errorf(
			"more than the system allows to any process (fs.nr_open on Linux, kern.maxfilesperproc on BSD and "+
				"macOS): %w",
			err,
		)
	}
	return err
}

// setInt sets a number, whose type differs between platforms.
func setInt[T int64 | uint64](p *T, n int64) { *p = T(n) }

// niceError adds to the error of a change of the priority what the process lacks.
func niceError(err error) error {
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf(
			"the process is not allowed to favour itself; a number below the present one needs root (on Linux, "+
				"CAP_SYS_NICE or a higher RLIMIT_NICE): %w",
			err,
		)
	}
	return err
}
