package multiprolab

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is why a program ends: what has asked for it, or the error that it ends of, and how
// that gets into every later error.

// SignalError is the cause of the end of a program that a signal has ended while Run ran; see
// Main.Cause. It matches ErrExit: a signal is a way to ask for the end.
type SignalError struct {
	Signal os.Signal
}

func (e *SignalError) Error() string {
	return "multiprolab: the program was ended by " + signalName(e.Signal)
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

// packSignal describes the layout of a SignalError between main and a worker.
func packSignal(p *pack.Packing, e *SignalError) {
	s, _ := e.Signal.(syscall.Signal)
	n := int(s)
	pack.Number(p, &n)
	e.Signal = syscall.Signal(n)
}

// contextError is the cause of the end of a program whose context, that of Run or Start, has ended.
type contextError struct{ cause error }

func (e *contextError) Error() string {
	return "multiprolab: the context of the program has ended: " + strings.TrimPrefix(e.cause.Error(), "multiprolab: ")
}

func (e *contextError) Unwrap() []error { return []error{ErrExit, e.cause} }

// Cause returns why the program ends, or has ended: nil as long as it goes on. If somebody has
// asked for the end, it matches ErrExit: it is ErrExit after Exit, Close, Stop and Worker.Exit, a
// *SignalError after a signal that has ended Run, and matches the cause of the context of Run or
// Start if that has ended. Else it is the error that has ended the program, which Run returns as
// well: of an action of main, a *StartError, or a *RestartLimitError. What comes first is the
// cause.
//
// Every later error of a message, a call or a task matches the cause, too, beside ErrStopped, if it
// is another one than ErrExit.
func (m *Main) Cause() error {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	return m.cause
}

// ending is the event of the end that has begun.
func (m *Main) ending() *ProgramEnding {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	return &ProgramEnding{Cause: m.cause, Failed: m.failed}
}

// setCause notes why the program ends, if nothing else has ended it before. The caller holds
// lifeMu.
func (m *Main) setCause(cause error) {
	if m.cause == nil {
		m.cause = cause
	}
}

// stopCause returns what ends the tasks that nobody works on any more, and everything else that
// comes too late: ErrStopped, with the cause of the end.
func (m *Main) stopCause() error {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	return m.stopCauseLocked()
}

func (m *Main) stopCauseLocked() error {
	if m.cause == nil || m.cause == ErrExit {
		return ErrStopped
	}
	return &stoppedError{m.cause}
}

// stoppedError is ErrStopped with the cause of the program's end.
type stoppedError struct{ cause error }

func (e *stoppedError) Error() string {
	return ErrStopped.Error() + ": " + strings.TrimPrefix(e.cause.Error(), "multiprolab: ")
}

func (e *stoppedError) Unwrap() []error { return []error{ErrStopped, e.cause} }

// causeCut is how much of the cause of an end each worker is told: enough for its errors.
var causeCut = errorCut{text: 1 << 10, stderr: 1 << 10, earlier: 1, parts: 4}

// exitFrame tells a worker to end, and if it is for good, why.
func exitFrame(mode ShutdownMode, why error) *wire.Frame {
	var packed []byte
	if why != nil && why != ErrStopped {
		packed = pack.Marshal(&errorPacking{err: why, cut: causeCut})
	}
	return wire.NewExit(uint64(mode), packed)
}

// toldExit notes what main says of the end of this worker. Who reads the wire calls it.
func (w *Worker) toldExit(f *wire.Frame) {
	why := ErrStopped
	if len(f.Body) > 0 {
		why = unmarshalError(f.Body)
	}
	if !errors.Is(why, ErrStopped) { // the packed form has left it out
		why = &stoppedError{why}
	}
	w.why.Store(&why)
}

// stopCause returns what ends everything that comes too late in this worker: ErrStopped, with the
// cause of the end if main has told it.
func (w *Worker) stopCause() error {
	if why := w.why.Load(); why != nil {
		return *why
	}
	return ErrStopped
}
