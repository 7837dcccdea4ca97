// Package signals says what signals ask of a program, the main process alone: which ones ask for
// its end, for a reload and for a new version, how often, and in which order. It also knows which
// would end a new version that does not catch them yet. It does not know how a program does what it
// is asked for.
package signals

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	_ "github.com/multiprolab/multiprolab/internal/platform" // which says where multiprolab runs
)

// Program is what signals do to a program. It does not change. The contexts end when the signals
// are left alone again; each function is called on a goroutine of its own.
type Program struct {
	// NewVersion is the signal that asks for a new version of the program; nil if none does.
	NewVersion os.Signal
	// Worker says that this is the process of a worker, which ignores SIGHUP until somebody wants
	// it.
	Worker bool
	// End is called when a signal asks for the end, and once more, with again set, when another one
	// does. A third one does what it does without this package.
	End func(ctx context.Context, sig os.Signal, again bool)
	// Reload is called when SIGHUP asks a service to reload.
	Reload func(ctx context.Context)
	// Upgrade is called when the signal NewVersion comes.
	Upgrade func(ctx context.Context)
}

// Signals is the signals that this process catches. It exists in main. Any goroutine may use it.
type Signals struct {
	// mu guards every other field.
	mu sync.Mutex
	// early gets signals until Handle does; or nil.
	early chan os.Signal
	// hungUp says that SIGHUP is among them.
	hungUp bool
	// again says that the signal which asks for a new version has come before Handle.
	again bool
	// caught are the signals that would end a new version of the program before it catches them:
	// the one that asks for it and, in a service, SIGHUP. Release has them ignored.
	caught []os.Signal
	// handling is what Handle has begun last, or nil.
	handling *handling
}

// handling is what handles the signals of a program, from Handle on. It exists in main. Any
// goroutine may use it.
type handling struct {
	upgrade chan struct{}        // has something while a new version is asked for, and nobody has begun
	release chan chan<- struct{} // who wants no signal to be caught any more, to be closed then
	over    chan struct{}        // closed when nobody answers release any more
}

// CatchEarly makes signals that the old version of the program has had ignored be caught and not
// ignored, before a worker could inherit that: newVersion, if it is not nil, and SIGHUP, if hungUp
// is set. Handle takes over from it. again says that newVersion has come already.
func (s *Signals) CatchEarly(newVersion os.Signal, hungUp, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.again = again && newVersion != nil
	var all []os.Signal
	if newVersion != nil {
		all = append(all, newVersion)
	}
	if hungUp {
		all = append(all, Hangup)
	}
	if len(all) > 0 { // without signals, all are meant
		s.early, s.hungUp = make(chan os.Signal, 1), hungUp
		signal.Notify(s.early, all...)
	}
}

// Hangs reports whether SIGHUP is among the signals that are ignored from Release on.
func (s *Signals) Hangs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.caught, Hangup)
}

// Handle makes SIGINT and SIGTERM ask for the end of the program from now on. SIGHUP asks a service
// to reload; in a program with a terminal it means that the terminal is gone, and asks for the end.
// Handle returns a function that ends this, and waits until no function of the program runs.
func (s *Signals) Handle(p *Program) (stop func()) {
	terminal := hasTerminal() // when the signal comes, the terminal is gone
	signals := s.catch(p, !terminal)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	asked := func(do func(context.Context)) chan struct{} {
		wake := make(chan struct{}, 1)
		running.Go(func() { // ends with stop
			for {
				select {
				case <-wake:
					do(ctx)
				case <-ctx.Done():
					return
				}
			}
		})
		return wake
	}
	reload, upgrade := asked(p.Reload), asked(p.Upgrade)
	h := &handling{upgrade, make(chan chan<- struct{}), make(chan struct{})}
	s.mu.Lock()
	s.handling = h
	caught := s.caught
	if s.again {
		goroutine.Wake(upgrade)
	}
	s.mu.Unlock()
	running.Go(func() { // ends with stop
		defer signal.Stop(signals)
		var released chan<- struct{}
		for again := false; ; {
			var sig os.Signal
			select {
			case sig = <-signals:
			default: // what has come goes before everything else
				if released != nil {
					close(released)
					released = nil
				}
				select {
				case sig = <-signals:
				case released = <-h.release:
					if len(caught) > 0 { // without signals, all are meant
						signal.Ignore(caught...)
					}
					signal.Stop(signals) // waits for those that are under way
					continue
				case <-ctx.Done():
					close(h.over)
					return
				}
			}
			switch {
			case sig == Hangup && !terminal:
				goroutine.Wake(reload)
			case sig == p.NewVersion:
				goroutine.Wake(upgrade)
			case again:
				signal.Stop(signals)
				close(h.over)
				p.End(ctx, sig, true)
				return
			default:
				p.End(ctx, sig, false)
				again = true
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// Release lets go of the signals that Handle handles, just before a new version of the program is
// executed: when it returns, what has come until then has been asked of the program, and what comes
// later does what it does without this package, or is ignored until a new version of the program
// catches it.
func (s *Signals) Release() {
	h := s.handled()
	if h == nil {
		return
	}
	done := make(chan struct{})
	select {
	case h.release <- done:
	case <-h.over:
	}
	select {
	case <-done:
	case <-h.over:
	}
}

// Again reports whether a new version of the program was asked for, and nobody has begun with that.
func (s *Signals) Again() bool {
	h := s.handled()
	return h != nil && len(h.upgrade) > 0
}

// handled returns what Handle has begun last, or nil.
func (s *Signals) handled() *handling {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handling
}

// catch has the signals of a program sent to a channel. service says that it has no terminal.
func (s *Signals) catch(p *Program, service bool) chan os.Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// nohup(1), for example, ignores it for good; in a process that the old version has executed it
	// is not ignored any more
	if Hangup != nil && (p.Worker || s.hungUp || !signal.Ignored(Hangup)) {
		signal.Notify(signals, Hangup)
	}
	s.caught = nil
	if p.NewVersion != nil {
		signal.Notify(signals, p.NewVersion)
		s.caught = append(s.caught, p.NewVersion)
	}
	if service && Hangup != nil && !signal.Ignored(Hangup) {
		s.caught = append(s.caught, Hangup)
	}
	if s.early != nil {
		signal.Stop(s.early)
	}
	return signals
}
