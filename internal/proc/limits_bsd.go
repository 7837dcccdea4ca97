// The functions of this file are called in the worker process.

//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// applyNice sets the priority of the process: here it is one for all threads, as in POSIX.
func (l *Limits) applyNice() error {
	return niceError(os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, 0, l.Nice)))
}

// applyCPUs is never called, see lacks.
func (l *Limits) applyCPUs() error { return errors.ErrUnsupported }

// lacks says why these systems do not have some features, or why Go cannot reach them.
var lacks = map[string]string{
	"CPUs":         noAffinity(),
	"PIDNamespace": osName() + " has no PID namespaces",
	"OOMScoreAdj":  osName() + " has no such number",
}

// noAffinity says why a process cannot choose its processors.
func noAffinity() string {
	switch runtime.GOOS {
	case "darwin", "openbsd":
		return osName() + " has no CPU affinity"
	}
	return "the CPU affinity of " + osName() + " is not within reach of golang.org/x/sys"
}

// osName returns the name of the system as its users write it.
func osName() string {
	switch runtime.GOOS {
	case "darwin":
		return "macOS"
	case "freebsd":
		return "FreeBSD"
	}
	return runtime.GOOS
}
