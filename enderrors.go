package multiprolab

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"github.com/multiprolab/multiprolab/internal/signals"
)

// This file is the errors that are causes of the end of a program.

// ErrUpgrade is the cause of the end of a program that goes on as its new version, see
// [Main.Upgrade]. [ProgramEnding] has it, and [Main.Cause].
var ErrUpgrade = errors.New("multiprolab: the program goes on as its new version")

// SignalError is the cause of the end of a program that a signal has ended while Run ran; see
// Main.Cause. It matches ErrExit: a signal is a way to ask for the end.
type SignalError struct {
	Signal os.Signal // the signal
}

func (e *SignalError) Error() string {
	return "multiprolab: the program was ended by " + signals.Name(e.Signal)
}

// Unwrap returns ErrExit.
func (e *SignalError) Unwrap() error { return ErrExit }

// ExitCode returns the status with which a command-line program ends after the signal, by the
// custom of shells: 128 and the number of the signal, so 130 after Ctrl-C and 143 after SIGTERM. A
// service, which is told to end by SIGTERM, ends with 0.
func (e *SignalError) ExitCode() int {
	if s, ok := e.Signal.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return 1
}

// contextError is the cause of the end of a program when the context of Run or Start has ended. It
// never changes.
type contextError struct {
	cause error // the cause of that context
}

func (e *contextError) Error() string {
	return "multiprolab: the context of the program has ended: " + strings.TrimPrefix(e.cause.Error(), "multiprolab: ")
}

func (e *contextError) Unwrap() []error { return []error{ErrExit, e.cause} }

// stoppedError is ErrStopped with the cause of the program's end. It never changes.
type stoppedError struct {
	cause error // the cause of the program's end
}

func (e *stoppedError) Error() string {
	return ErrStopped.Error() + ": " + strings.TrimPrefix(e.cause.Error(), "multiprolab: ")
}

func (e *stoppedError) Unwrap() []error { return []error{ErrStopped, e.cause} }
