package multiprolab

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

var (
	errNotStarted = errors.New("multiprolab: the workers have not been started: call Run or Start first")
	errTwice      = errors.New(
		"multiprolab: Run or Start was called before on this Main: make a new one with New for each life, with a " +
			"Config.Name of its own",
	)
)

// standing is how far a Main has come, and why it ends. It exists in main.
type standing struct {
	// lifeMu guards what follows. No other mutex of the library is taken while it is held.
	lifeMu sync.Mutex
	// state is how far the Main has come.
	state mainState
	// serving says that the state is mainRunning, and that all is made that messages and tasks need.
	// It may be read without lifeMu.
	serving atomic.Bool
	// whole is the context of the handlers: it ends with the last worker, or when all are killed.
	// It is set when Run or Start begins.
	whole context.Context
	// cancel ends whole.
	cancel context.CancelCauseFunc
	// mode is how the program is to end, once exitAsked is closed.
	mode ShutdownMode
	// runError is the first error of the program, which Run returns; or nil.
	runError error
	// cause is why the program ends; see Main.Cause.
	cause error
	// failed says that the cause is runError: nobody has asked for the end.
	failed bool
	// killed are the workers that had to be killed at the end.
	killed []KilledWorker
	// races are what the race detector has found in workers.
	races []error
	// elsewhere is why the Main does not run in this process, in the state mainElsewhere.
	elsewhere *elsewhereError
}

type mainState int

const (
	mainNew mainState = iota
	mainRunning
	mainEnded
	mainElsewhere // this is the process of a worker, and the Main does not run here
)

func (s *standing) shutdownMode() ShutdownMode {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	return s.mode
}

// running returns why messages and tasks cannot be sent now, or nil.
func (s *standing) running() error {
	if s.serving.Load() {
		return nil
	}
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	switch s.state {
	case mainNew:
		return errNotStarted
	case mainRunning:
		if !s.serving.Load() { // Run or Start is at it
			return errNotStarted
		}
	case mainEnded:
		return s.stopCauseLocked()
	case mainElsewhere:
		return s.elsewhere
	}
	return nil
}

// isNew reports whether neither Run nor Start was called.
func (s *standing) isNew() bool {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	return s.state == mainNew
}

// elsewhereError says, in the process of a worker, that a Main does not run there.
type elsewhereError struct {
	text   string
	worker *Worker // that this process has become, if the Main is its own; else nil
}

func (e *elsewhereError) Error() string { return e.text }

// exit is Main.Exit there.
func (e *elsewhereError) exit() {
	if e.worker != nil {
		e.worker.Exit()
	}
}

// wait is the error of what waits for the end of the Main there. In the process of another one's
// worker there is nothing to wait for, and the program goes on to its own Main.
func (e *elsewhereError) wait() error {
	if e.worker == nil {
		return nil
	}
	return e
}

// unlessElsewhere returns the error of a start, or nil if the Main was passed by.
func unlessElsewhere(err error) error {
	if e := (*elsewhereError)(nil); errors.As(err, &e) {
		return nil
	}
	return err
}

// outside returns why the Main does not run in this process, or nil.
func (s *standing) outside() *elsewhereError {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	return s.elsewhere
}

// setCause notes why the program ends, if nothing else has ended it before. The caller holds
// lifeMu.
func (s *standing) setCause(cause error) {
	if s.cause == nil {
		s.cause = cause
	}
}

// stopCause returns what ends the tasks that nobody works on any more, and everything else that
// comes too late: ErrStopped, with the cause of the end.
func (s *standing) stopCause() error {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	return s.stopCauseLocked()
}

func (s *standing) stopCauseLocked() error {
	if s.cause == nil || s.cause == ErrExit {
		return ErrStopped
	}
	return &stoppedError{s.cause}
}

// ending is the event of the end that has begun.
func (s *standing) ending() *ProgramEnding {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	return &ProgramEnding{Cause: s.cause, Failed: s.failed}
}
