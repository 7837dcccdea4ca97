package sdnotify

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// Program is what a Service has to know of the program. It does not change.
type Program struct {
	// Ready is closed when the start is complete.
	Ready <-chan struct{}
	// Exit is closed when the program was asked to end.
	Exit <-chan struct{}
	// Ending is closed, before Exit if both are, when the end is not that of a version which goes
	// on as the next one in the same process.
	Ending <-chan struct{}
	// Turn has the loop of the program call a function, when it comes to that. It does not wait.
	Turn func(func())
	// Failed gets the errors of telling the service manager. Any goroutine may call it.
	Failed func(error)
}

// Service tells the service manager how the program comes on: that all is ready, that the end has
// begun and, for the watchdog, that the loop of the program still turns. It exists in main. Any
// goroutine may use it. A nil *Service is valid: nobody is told.
type Service struct {
	// notifier is the way to the service manager. It never changes.
	notifier *Notifier
	// program is what is told. It never changes.
	program Program
	// readyTold is closed when the service manager has been told that the start is complete.
	readyTold chan struct{}
}

// For returns what tells how a program comes on, or nil if there is no service manager.
func (n *Notifier) For(p Program) *Service {
	if n == nil {
		return nil
	}
	return &Service{n, p, make(chan struct{})}
}

// ReadyTold is closed when Follow has told that the start is complete.
func (s *Service) ReadyTold() <-chan struct{} { return s.readyTold }

// Environ is Notifier.Environ.
func (s *Service) Environ() []string {
	if s == nil {
		return nil
	}
	return s.notifier.Environ()
}

// Ready tells that the start or a reload is complete, unless the end has begun: before systemd 259
// that would take STOPPING=1 back.
func (s *Service) Ready() {
	if s != nil && !goroutine.Closed(s.program.Ending) && !goroutine.Closed(s.program.Exit) {
		s.note(s.notifier.Ready())
	}
}

// Reloading tells that a reload has begun. Ready must follow.
func (s *Service) Reloading() {
	if s != nil {
		s.note(s.notifier.Reloading())
	}
}

// Watchdog tells the service manager's watchdog, if it has one, that the program is alive.
func (s *Service) Watchdog() {
	if s != nil && s.notifier.WatchdogInterval() > 0 {
		s.note(s.notifier.Watchdog())
	}
}

// note passes on an error, if there is one.
func (s *Service) note(err error) {
	if err != nil {
		s.program.Failed(err)
	}
}

// Follow tells how the program comes on from now on. It returns a function that ends this.
func (s *Service) Follow() (stop func()) {
	if s == nil {
		return func() {}
	}
	quit := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { s.follow(quit) }) // ends with stop
	return func() {
		close(quit)
		running.Wait()
	}
}

// follow is the goroutine of Follow.
func (s *Service) follow(quit <-chan struct{}) {
	ready, ending := s.program.Ready, s.program.Ending // nil once it was told
	var tick <-chan time.Time
	if every := s.notifier.WatchdogInterval(); every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		tick = ticker.C
	}
	var turned atomic.Bool // the loop has run the latest function that asks for a sign
	turned.Store(true)
	for {
		select {
		case <-ready:
			ready = nil
			s.Ready()
			close(s.readyTold)
		case <-ending:
			ending = nil
			s.note(s.notifier.Stopping())
		case <-tick:
			if turned.CompareAndSwap(true, false) {
				s.program.Turn(func() {
					turned.Store(true)
					s.Watchdog()
				})
			}
		case <-quit:
			if ending != nil && goroutine.Closed(s.program.Exit) { // both came at once, or the next version cannot run
				s.note(s.notifier.Stopping())
			}
			return
		}
	}
}
