package multiprolab

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

var (
	errNotStarted = errors.New("multiprolab: the workers have not been started: call Run or Start first")
	errTwice      = errors.New(
		"multiprolab: Run or Start was called before on this Main: make a new one with New for each life, with a " +
			"Config.Name of its own",
	)
)

// standing is how far a Main has come, and why it ends. It exists in every process that makes a
// Main.
type standing struct {
	// lifeMu guards every other field but serving, whole and cancel. No other mutex of the library
	// is taken while it is held.
	lifeMu sync.Mutex
	// state is how far the Main has come.
	state mainState
	// serving says that the state is mainRunning, and that all is made that messages and tasks
	// need. It may be read without lifeMu.
	serving atomic.Bool
	// whole is the context of all handlers and actions of main. It ends with the last worker, or
	// when everything is killed. begin sets it before anything of the program runs.
	whole context.Context
	// cancel ends whole. begin sets it together with whole.
	cancel context.CancelCauseFunc
	// mode is how the program is to end, once the end was requested.
	mode ShutdownMode
	// runError is the first error of the program, which Run returns; or nil.
	runError error
	// cause is why the program ends, see Main.Cause; or nil.
	cause error
	// failed says that an error is the cause of the end: nobody has requested it before.
	failed bool
	// killed are the workers that had to be killed at the end of the program.
	killed []KilledWorker
	// races are the errors of the data races that the race detector has found in workers.
	races []error
	// elsewhere is why the Main does not run in this process, if the state is mainElsewhere;
	// otherwise nil.
	elsewhere *elsewhereError
}

// mainState is how far a Main has come.
type mainState int

const (
	mainNew       mainState = iota // neither Run nor Start was called
	mainRunning                    // Run or Start has begun
	mainEnded                      // nothing is left
	mainElsewhere                  // this is the process of a worker, and the Main does not run here
)

// shutdownMode returns how the program is to end.
func (s *standing) shutdownMode() ShutdownMode {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	return s.mode
}

// running returns nil if messages and tasks can be sent, and otherwise why not.
func (s *standing) running() error {
	if s.serving.Load() {
		return nil
	}
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	switch {
	case s.state == mainEnded:
		return s.stopCauseLocked()
	case s.state == mainElsewhere:
		return s.elsewhere
	case !s.serving.Load(): // Run or Start is at it, or was not called
		return errNotStarted
	}
	return nil
}

// isNew reports whether neither Run nor Start was called.
func (s *standing) isNew() bool {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	return s.state == mainNew
}

// elsewhereError says that a Main does not run in this process, which is that of a worker. It never
// changes.
type elsewhereError struct {
	// text is the text of the error.
	text string
	// worker is the worker that this process has become, if it is a worker of the Main; else nil.
	worker *Worker
}

func (e *elsewhereError) Error() string { return e.text }

// exit is Main.Exit in the process of a worker.
func (e *elsewhereError) exit() {
	if e.worker != nil {
		e.worker.Exit()
	}
}

// wait returns the error of a method that waits for the end of the Main. In the process of a worker
// of another Main it returns nil: nothing has begun there that could end, and the program goes on
// to that Main.
func (e *elsewhereError) wait() error {
	if e.worker == nil {
		return nil
	}
	return e
}

// unlessElsewhere returns the error of a start; nil if the Main does not run in this process.
func unlessElsewhere(err error) error {
	if e := (*elsewhereError)(nil); errors.As(err, &e) {
		return nil
	}
	return err
}

// outside returns why the Main does not run in this process; nil if it does.
func (s *standing) outside() *elsewhereError {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	return s.elsewhere
}

// setCause notes why the program ends. The first cause stands. The caller holds lifeMu.
func (s *standing) setCause(cause error) {
	if s.cause == nil || s.cause == ErrUpgrade {
		s.cause = cause
	}
}

// stopCause returns the error of everything that comes too late, and of tasks that nobody works on
// any more: ErrStopped, together with the cause of the end.
func (s *standing) stopCause() error {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	return s.stopCauseLocked()
}

// stopCauseLocked is stopCause for a caller that holds lifeMu.
func (s *standing) stopCauseLocked() error {
	if s.cause == nil || s.cause == ErrExit {
		return ErrStopped
	}
	return &stoppedError{s.cause}
}

// ending returns the event of the end that has begun.
func (s *standing) ending() *ProgramEnding {
	s.lifeMu.Lock()
	defer s.lifeMu.Unlock()
	return &ProgramEnding{Cause: s.cause, Failed: s.failed}
}

// milestones are the events that happen once in the life of a Main. It exists in main. Each channel
// is closed when its event happens, and nothing is ever sent on it. Any goroutine may wait for it.
type milestones struct {
	// exitAsked is closed by the first request to exit.
	exitAsked chan struct{}
	// hurryAsked is closed by the first request to exit in another mode than DrainQueue.
	hurryAsked chan struct{}
	// killAsked is closed by the first request to exit in the mode KillAll.
	killAsked chan struct{}
	// allReady is closed when every instance has become ready once, or never will, if the end was
	// not requested before.
	allReady chan struct{}
	// workersGone is closed when no process of a worker is left.
	workersGone chan struct{}
	// loopEnded is closed when the loop of main has ended.
	loopEnded chan struct{}
	// ended is closed when nothing is left of the workers and of main's loop.
	ended chan struct{}
}

func newMilestones() milestones {
	made := func() chan struct{} { return make(chan struct{}) }
	return milestones{made(), made(), made(), made(), made(), made(), made()}
}

// everyoneReady notes that every instance has become ready once, or never will. Without workers it
// is called at the start as well.
func (m *milestones) everyoneReady() {
	if !goroutine.Closed(m.allReady) {
		close(m.allReady)
	}
}

// everyoneGone notes that no process of a worker is left.
func (m *milestones) everyoneGone() { close(m.workersGone) }
