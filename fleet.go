package multiprolab

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/fleet"
	"github.com/multiprolab/multiprolab/internal/lockorder"
)

// workerFleet carries out what the rules of lives say, which are internal/fleet. It exists in main.
// Any goroutine that holds none of the mutexes below may tell it of an event.
//
// An event takes mu, tells the rules, and takes over what follows from it. New places and the time
// of the timer are seen to at once. All else goes to the end of todo, and is done without mu: by
// who has told the event, unless somebody is at it already, who then does that as well. So it is
// done one after the other, in the order in which the rules have said it, and no two goroutines
// swap what two events have brought: those who watch hear of the end of a worker before they hear
// of the start of its next life. Nothing of it waits, but for the user's Logger.
//
// The order of the mutexes is: this one, the broker's, those of outboxes and accounts, a link's.
type workerFleet struct {
	// main is the Main of the workers. It never changes.
	main *Main
	// epoch is when the time of the rules begins. It is set by open.
	epoch time.Time
	// lives are the goroutines of the lives, one each. No life begins once AllGone has come.
	lives sync.WaitGroup

	// mu guards all that follows, but for what says otherwise.
	mu lockorder.Mutex[lockorder.Fleet]
	// rules are the rules of lives.
	rules *fleet.Fleet
	// slots finds those that are in their pools, and those that have left them and go on.
	slots map[fleet.Slot]*slot
	// present are the lives that begin, go on, or have ended and were not told of yet. Only who
	// does what is in todo touches them, without mu.
	present map[fleet.Slot]*lifetime
	// answers are those that Restart waits for; each has room for one.
	answers map[fleet.Ask]chan error
	// effects is the memory for what the rules say to one event.
	effects []fleet.Effect
	// todo is what follows from events and has not been done yet, in order.
	todo []func()
	// busy says that a goroutine does what is in todo, or that run is to begin with it.
	busy bool
	// timer calls tick at the time that the rules have asked for last; nil before the first.
	timer *time.Timer
}

func newWorkerFleet(m *Main) *workerFleet {
	return &workerFleet{
		main:    m,
		rules:   fleet.New(fleet.Config{Rand: rand.Float64}),
		slots:   map[fleet.Slot]*slot{},
		present: map[fleet.Slot]*lifetime{},
		answers: map[fleet.Ask]chan error{},
	}
}

// open tells the rules of the pools, and makes the instances. No life begins before run. It returns
// an error if a pool needs one that does not exist, or in the end itself.
func (w *workerFleet) open() error {
	m := w.main
	w.mu.Lock()
	defer w.mu.Unlock()
	descs := make([]fleet.PoolDesc, len(m.pools))
	for i, p := range m.pools {
		d, err := m.registry.describe(p)
		if err != nil {
			return err
		}
		descs[i] = d
	}
	for i, p := range m.pools {
		p.id = w.rules.Add(descs[i])
	}
	for _, g := range m.groups {
		var members []fleet.Pool
		for _, p := range g.members {
			members = append(members, p.id)
		}
		w.rules.Group(g.strategy, members...)
	}
	if circle := w.rules.Check(); circle != nil {
		var names []string
		for _, id := range circle {
			names = append(names, m.pools[id].name)
		}
		return &ConfigError{
			"WorkerConfig.Needs of worker " + names[0],
			strings.Join(names, " -> "),
			"workers that need each other cannot start: take one of them out (the order of a group counts as well)",
		}
	}
	w.epoch = time.Now()
	w.rules.Begin(0)
	w.takeOver(nil)
	w.busy = true
	return nil
}

// run begins the first lives. conduct calls it, once.
func (w *workerFleet) run() {
	w.mu.Lock()
	w.doAll()
}

// now is the time of the rules.
func (w *workerFleet) now() time.Duration { return time.Since(w.epoch) }

// happens tells the rules of an event, and sees to what follows. first, unless it is nil, is done
// before the rest.
func (w *workerFleet) happens(event func(), first func()) {
	w.mu.Lock()
	event()
	w.takeOver(first)
	if w.busy {
		w.mu.Unlock()
		return
	}
	w.busy = true
	w.doAll()
}

// doAll does what is in todo, and gives mu back, which the caller holds. Only who has set busy, or
// run, calls it.
func (w *workerFleet) doAll() {
	for len(w.todo) > 0 {
		do := w.todo[0]
		w.todo[0] = nil
		w.todo = w.todo[1:]
		w.mu.Unlock()
		do()
		w.mu.Lock()
	}
	w.todo, w.busy = nil, false
	w.mu.Unlock()
}

// then adds what is to be done to the end of todo. The caller holds mu.
func (w *workerFleet) then(do func()) { w.todo = append(w.todo, do) }

// takeOver takes what the rules have said to an event. The caller holds mu.
func (w *workerFleet) takeOver(first func()) {
	w.effects = w.rules.Effects(w.effects[:0])
	for i := range w.effects {
		if e := &w.effects[i]; e.Kind == fleet.Place {
			w.place(e)
		}
	}
	w.noteWaits()
	if first != nil {
		w.then(first)
	}
	for _, e := range w.effects {
		w.follow(&e)
	}
	clear(w.effects) // reasons hold errors
}

// follow sees to one effect. The caller holds mu.
func (w *workerFleet) follow(e *fleet.Effect) {
	m, s, effect := w.main, w.slots[e.Slot], *e
	switch e.Kind {
	case fleet.Place: // it has been made
	case fleet.Wake:
		w.wakeAt(e.At)
	case fleet.Spawn:
		w.then(func() { w.present[s.id] = m.beginLife(s, &effect) })
	case fleet.Retire:
		w.then(func() { s.retire() })
	case fleet.LeadOut:
		w.then(func() { w.present[s.id].leadOut(&effect, m.errorOf(s, &effect.Reason)) })
	case fleet.Down:
		w.then(func() {
			m.tellDown(s, w.present[s.id], &effect)
			delete(w.present, s.id)
		})
	case fleet.Bury:
		if s.over = true; !s.pool.has(s) {
			delete(w.slots, s.id)
		}
		w.then(func() {
			delete(w.present, s.id) // of a life that was told to end before there was anything
			m.bury(s, m.errorOf(s, &effect.Reason))
		})
	case fleet.Replaced:
		answer := w.answers[e.Ask]
		delete(w.answers, e.Ask)
		w.then(func() { answer <- m.errorOf(s, &effect.Reason) })
	case fleet.AllUp:
		w.then(func() {
			if !closed(m.allReady) { // without workers it is from the start
				close(m.allReady)
			}
		})
	case fleet.Release:
		w.then(m.loop.release)
	case fleet.EndProgram:
		w.then(func() { m.fail(m.errorOf(s, &effect.Reason)) })
	case fleet.AllGone:
		w.then(func() { close(m.workersGone) })
	default:
		panic(fmt.Sprintf("multiprolab: nobody knows what effect %d of the rules of lives is", e.Kind))
	}
}

// place makes a new slot. One that was there with its number has left the account of its lives. The
// caller holds mu.
func (w *workerFleet) place(e *fleet.Effect) {
	p := w.main.pools[e.Pool]
	if e.Index == len(p.accounts) {
		p.accounts = append(p.accounts, newAccount(int64(w.main.cfg.Window)))
	}
	s := newSlot(w.main.desk, p, e.Slot, e.Index)
	slots := append(slices.Clip(p.list()), s)
	p.slots.Store(&slots)
	w.slots[s.id] = s
	w.main.broker.resize(p, []*slot{s}, nil)
}

// noteWaits tells the broker of each slot that begins to wait for another one before it may start,
// or waits for none any more. The caller holds mu.
func (w *workerFleet) noteWaits() {
	for i := range w.effects {
		e := &w.effects[i]
		if e.Kind == fleet.Spawn || e.Kind == fleet.Bury {
			w.noteWait(w.slots[e.Slot], 0)
		}
	}
	for id, other := range w.rules.Waiting {
		w.noteWait(w.slots[id], other)
	}
}

func (w *workerFleet) noteWait(s *slot, other fleet.Slot) {
	if s.awaits == other {
		return
	}
	s.awaits = other
	name := ""
	if other != 0 {
		name = w.slots[other].name
	}
	w.then(func() { w.main.broker.waitToStart(s.name, name) })
}

// wakeAt sets the timer. The caller holds mu.
func (w *workerFleet) wakeAt(at time.Duration) {
	switch {
	case at == fleet.Never:
		w.timer.Stop()
	case w.timer == nil:
		w.timer = time.AfterFunc(at-w.now(), w.tick)
	default:
		w.timer.Reset(at - w.now())
	}
}

// tick runs on the timer's goroutine. It may come when the time has been changed meanwhile, which
// does no harm.
func (w *workerFleet) tick() { w.happens(func() { w.rules.Tick(w.now()) }, nil) }

// exit tells that the end of the program was asked for.
func (w *workerFleet) exit(mode ShutdownMode) {
	w.happens(func() { w.rules.Exit(fleet.Mode(mode)) }, nil)
}

// end ends all workers, after exit.
func (w *workerFleet) end() { w.happens(w.rules.End, nil) }

// resize changes the size of a pool, and reports whether it did: not if the program ends.
func (w *workerFleet) resize(p *pool, n int) (did bool) {
	w.happens(func() {
		if did = w.rules.Resize(p.id, n); !did {
			return
		}
		slots := p.list()
		if n >= len(slots) {
			return
		}
		for _, s := range slots[n:] {
			s.leaving.Store(true)
			if s.over {
				delete(w.slots, s.id)
			}
		}
		left, removed := slots[:n:n], slots[n:]
		p.slots.Store(&left)
		w.main.broker.resize(p, nil, removed)
	}, nil)
	return did
}

// restart asks for the replacement of an instance. The answer comes when the replacement is ready,
// or will never be. forget takes the request back.
func (w *workerFleet) restart(s *slot) (answer <-chan error, forget func()) {
	var ask fleet.Ask
	c := make(chan error, 1)
	w.happens(func() {
		ask = w.rules.Restart(s.id)
		w.answers[ask] = c
	}, nil)
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.rules.Forget(s.id, ask)
		delete(w.answers, ask)
	}
}

// started tells that the process of a life is there, and that its start has been told.
func (w *workerFleet) started(s *slot) { w.happens(func() { w.rules.Started(s.id) }, nil) }

// greeted tells that a worker has said hello.
func (w *workerFleet) greeted(s *slot) { w.happens(func() { w.rules.Greeted(s.id) }, nil) }

// up tells that a worker is ready; tell tells those who watch.
func (w *workerFleet) up(s *slot, tell func()) {
	w.happens(func() { w.rules.Up(s.id, w.now()) }, tell)
}

// idle tells that a worker that is retired holds nothing any more.
func (w *workerFleet) idle(s *slot) { w.happens(func() { w.rules.Idle(s.id) }, nil) }

// ended tells that nothing is left of a life.
func (w *workerFleet) ended(s *slot, how fleet.How) {
	w.happens(func() { w.rules.Ended(s.id, how, w.now()) }, nil)
}

// errorOf is the error of a reason that concerns an instance; nil if there is none.
func (m *Main) errorOf(s *slot, r *fleet.Reason) error {
	if r.Kind == fleet.None || r.Kind == fleet.Replace {
		return nil
	}
	return m.errorFor(s.pool, s.index, r)
}

// errorFor is errorOf for an instance that may have been forgotten: number i of a pool.
func (m *Main) errorFor(p *pool, i int, r *fleet.Reason) error {
	name := instanceName(p.name, i)
	switch r.Kind {
	case fleet.Failed:
		return r.Cause.(error)
	case fleet.Quit:
		return fmt.Errorf("multiprolab: worker %s ended by itself, without an error", name)
	case fleet.NeedGone:
		need := m.pools[r.Pool]
		return &StartError{
			Worker:    name,
			Reason:    fmt.Sprintf("it needs worker %q, which has ended for good", need.name),
			Err:       m.errorFor(need, r.Index, r.Behind),
			permanent: true,
		}
	case fleet.Limit:
		e := &RestartLimitError{
			Worker:    name,
			Restarts:  r.Restarts,
			Window:    p.cfg.RestartWindow,
			Permanent: r.Permanent,
		}
		for _, cause := range r.Causes {
			e.Err = m.errorFor(p, i, &cause)
			e.Causes = append(e.Causes, e.Err)
		}
		return e
	case fleet.Fellow:
		fellow := m.pools[r.Pool]
		return &fellowError{instanceName(fellow.name, r.Index), m.errorFor(fellow, r.Index, r.Behind)}
	case fleet.Ended:
		return m.stopCause()
	}
	return fmt.Errorf("multiprolab: worker %s has left: %w", name, ErrStopped)
}

// fellowError is why a worker was ended that has not failed itself.
type fellowError struct {
	worker string
	err    error
}

func (e *fellowError) Error() string {
	return fmt.Sprintf("multiprolab: worker %s of the same group failed: %s", e.worker, brief(e.err))
}

func (e *fellowError) Unwrap() []error { return []error{ErrStopped, e.err} }
