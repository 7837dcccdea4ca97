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
	"github.com/multiprolab/multiprolab/internal/outbox"
	"github.com/multiprolab/multiprolab/internal/recorder"
)

// workerFleet carries out what the rules of lives say, which are in internal/fleet. It exists in
// main. Any goroutine may tell it of an event, if it holds neither mu nor a mutex that comes after
// mu in the order.
//
// To tell an event is to lock mu, to tell the rules, and to take over what follows. New slots are
// made, and the timer is set, at once. Everything else is added to the end of todo, and is done
// without mu: by the goroutine that has told the event or, if another goroutine is busy with todo,
// by that one. So everything is done one after the other, in the order in which the rules have said
// it: those who watch hear of the end of a worker before they hear of the start of its next life.
// Nothing in todo waits, apart from the Logger of the user.
//
// The order of the mutexes is: mu, the mutex of the broker, those of outboxes and accounts, those
// of a link.
type workerFleet struct {
	// host is the Main of the workers. It never changes.
	host fleetHost
	// registry is the pools and groups of the workers. It never changes.
	registry *registry
	// desk is what the slots know of main. It never changes.
	desk *desk
	// broker has to know which slots there are. It never changes.
	broker *broker
	epoch  time.Time // when the time of the rules begins; open sets it
	// lives are the goroutines of the lives, one each. No life begins once AllGone has come.
	lives sync.WaitGroup

	// mu guards every field from rules to timer, apart from present.
	mu    lockorder.Mutex[lockorder.Fleet]
	rules *recorder.Lives // the rules of lives
	// slots finds a slot by its number: all that are in their pools, and those that have left their
	// pool and still have a life.
	slots map[fleet.Slot]*slot
	fleetLives
	// answers are the channels, with room for one, on which calls of Restart wait.
	answers map[fleet.Ask]chan error
	effects []fleet.Effect // memory for the effects of one event
	todo    []func()       // what follows from the events so far and has not been done, in order
	// busy says that a goroutine does what is in todo or, between open and run, that nobody does it
	// yet.
	busy bool
	// timer calls tick at the time that the rules have asked for last; nil before the first time.
	timer *time.Timer
}

// fleetLives is the lives of a workerFleet. It exists in main.
type fleetLives struct {
	// present are the lives that begin, go on, or have ended while those who watch have not been
	// told. Only the goroutine that does what is in todo may touch it, without mu.
	present map[fleet.Slot]*lifetime
	fleetHolders
}

// fleetHolders is the lives of a workerFleet as the rules of lives know them. It exists in main;
// the mutex of workerFleet guards it.
type fleetHolders struct {
	holders map[fleet.Slot]*lifetime // from Spawn to Down
}

// fleetHost is what Main does for its workerFleet.
type fleetHost interface {
	// newLife returns a life of an instance that has not begun.
	newLife(s *slot, number int) *lifetime
	// place makes a spare the next life of an instance.
	place(p *peer, from, s *slot, life int)
	// lend has a spare work on the tasks of an instance whose life is being killed.
	lend(p *peer, from, s *slot, life int)
	// bury ends the instance for good: everything that waits for it fails with err.
	bury(s *slot, err error)
	// everyoneReady notes that every instance has become ready once, or never will.
	everyoneReady()
	// everyoneGone notes that no process of a worker is left.
	everyoneGone()
	// releaseLoop lets the actions of main begin.
	releaseLoop()
	// fail requests the end of the program because of an error.
	fail(err error)
}

// newWorkerFleet returns a fleet that knows no pools before open.
func newWorkerFleet(
	host fleetHost, r *registry, d *desk, b *broker, record *recorder.Counter,
) *workerFleet {
	return &workerFleet{
		host:     host,
		registry: r,
		desk:     d,
		broker:   b,
		rules:    recorder.NewLives(record, fleet.Config{Rand: rand.Float64}),
		slots:    map[fleet.Slot]*slot{},
		fleetLives: fleetLives{
			present:      map[fleet.Slot]*lifetime{},
			fleetHolders: fleetHolders{map[fleet.Slot]*lifetime{}},
		},
		answers: map[fleet.Ask]chan error{},
	}
}

// open tells the rules of the pools and groups, and makes the slots. No life begins before run. It
// returns an error if a pool needs a pool that does not exist, or needs itself by way of others.
func (w *workerFleet) open() error {
	r := w.registry
	w.mu.Lock()
	defer w.mu.Unlock()
	descs := make([]fleet.PoolDesc, len(r.pools))
	for i, p := range r.pools {
		d, err := r.describe(p)
		if err != nil {
			return err
		}
		descs[i] = d
	}
	for i, p := range r.pools {
		p.id = w.rules.Add(descs[i])
	}
	for _, g := range r.groups {
		var members []fleet.Pool
		for _, p := range g.members {
			members = append(members, p.id)
		}
		w.rules.Group(g.strategy, members...)
	}
	if circle := w.rules.Check(); circle != nil {
		var names []string
		for _, id := range circle {
			names = append(names, r.pools[id].name)
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

// run begins the first lives. Only conduct calls it, once.
func (w *workerFleet) run() {
	w.mu.Lock()
	w.doAll()
}

// now returns the time as the rules of lives count it.
func (w *workerFleet) now() time.Duration { return time.Since(w.epoch) }

// happens tells the rules of an event, and sees to what follows from it. first is done before that,
// unless it is nil.
func (w *workerFleet) happens(event func(), first func()) {
	w.mu.Lock()
	if !w.epoch.IsZero() {
		w.rules.Tell(w.now())
	}
	event()
	w.takeOver(first)
	if w.busy {
		w.mu.Unlock()
		return
	}
	w.busy = true
	w.doAll()
}

// doAll does what is in todo, until nothing is left, and unlocks mu, which the caller has locked.
// Only run, and a goroutine that has set busy, may call it.
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

// then adds something to do to the end of todo. The caller holds mu.
func (w *workerFleet) then(do func()) { w.todo = append(w.todo, do) }

// takeOver takes over what the rules have said to an event: first is done before it, unless first
// is nil. The caller holds mu.
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
	clear(w.effects) // the reasons in them would keep errors in memory
}

// follow carries out one effect, or adds it to todo. The caller holds mu.
func (w *workerFleet) follow(e *fleet.Effect) {
	s, effect := w.slots[e.Slot], *e
	switch e.Kind {
	case fleet.Place: // takeOver has made the slot
	case fleet.Wake:
		w.wakeAt(e.At)
	case fleet.Spawn:
		w.beginLife(s, e.Life)
	case fleet.Promote:
		w.promote(w.slots[e.From], s, e.Life)
	case fleet.Lend:
		l, from := w.holders[e.From], w.slots[e.From]
		w.then(func() { w.host.lend(l.peer, from, s, effect.Life) })
	case fleet.Retire:
		w.then(func() { s.retire() })
	case fleet.LeadOut:
		w.then(func() { w.present[s.id].leadOut(s, &effect, w.registry.errorOf(s, &effect.Reason, w.desk.stopCause)) })
	case fleet.Down:
		delete(w.holders, s.id)
		w.then(func() {
			w.tellDown(s, &effect)
			delete(w.present, s.id)
		})
	case fleet.Bury:
		delete(w.holders, s.id)
		if s.over = true; !s.pool.has(s) {
			w.forget(s)
		}
		w.then(func() {
			delete(w.present, s.id) // a life that was told to end before it had a process
			w.host.bury(s, w.registry.errorOf(s, &effect.Reason, w.desk.stopCause))
		})
	case fleet.Replaced:
		answer := w.answers[e.Ask]
		delete(w.answers, e.Ask)
		w.then(func() { answer <- w.registry.errorOf(s, &effect.Reason, w.desk.stopCause) })
	case fleet.AllUp:
		w.then(w.host.everyoneReady)
	case fleet.Release:
		w.then(w.host.releaseLoop)
	case fleet.EndProgram:
		w.then(func() { w.host.fail(w.registry.errorOf(s, &effect.Reason, w.desk.stopCause)) })
	case fleet.AllGone:
		w.then(w.host.everyoneGone)
	default:
		panic(fmt.Sprintf("multiprolab: nobody knows what effect %d of the rules of lives is", e.Kind))
	}
}

// beginLife begins the next life of an instance, on a goroutine of its own. That goroutine ends
// with the life, and conduct waits for it. The caller holds mu.
func (w *workerFleet) beginLife(s *slot, number int) {
	l := w.host.newLife(s, number)
	w.holders[s.id] = l
	w.then(func() {
		w.present[s.id] = l
		w.lives.Go(l.run)
	})
}

// promote gives a spare the place of another slot. The caller holds mu.
func (w *workerFleet) promote(from, s *slot, life int) {
	s.account, from.account = from.account, s.account
	s.pool.accounts[s.index], s.pool.spareAccounts[-1-from.index] = s.account, from.account
	l := w.holders[from.id]
	delete(w.holders, from.id)
	l.at, w.holders[s.id] = s.id, l
	w.then(func() {
		delete(w.present, from.id)
		w.present[s.id] = l
		w.host.place(l.peer, from, s, life)
	})
}

// forget forgets an instance that is in no pool any more, and has no life. The caller holds mu.
func (w *workerFleet) forget(s *slot) {
	delete(w.slots, s.id)
	handled, _ := s.out.Traffic()
	w.desk.left(handled)
}

// tellDown announces the end of the present life of an instance or, if there is none, that no life
// could begin. The rules have said what follows.
func (w *workerFleet) tellDown(s *slot, e *fleet.Effect) {
	if l := w.present[s.id]; l != nil {
		l.tellDown(s, e)
		return
	}
	w.desk.emit(&WorkerFailed{ // the instance needs another worker, which is gone for good
		cause:   CauseStart,
		Worker:  s.name,
		Life:    e.Life,
		Err:     w.registry.errorOf(s, &e.Reason, w.desk.stopCause),
		Restart: e.Restart,
		After:   e.After,
	})
}

// place makes a new slot. It gets the account of the slots that have had its name before. The
// caller holds mu.
func (w *workerFleet) place(e *fleet.Effect) {
	p := w.registry.pools[e.Pool]
	accounts, index := &p.accounts, e.Index
	if e.Spare {
		accounts, index = &p.spareAccounts, -1-e.Index
	}
	if e.Index == len(*accounts) {
		*accounts = append(*accounts, outbox.NewAccount(int64(w.desk.cfg.Window)))
	}
	s := newSlot(w.desk, p, e.Slot, index, (*accounts)[e.Index])
	w.slots[s.id] = s
	if e.Spare {
		return
	}
	slots := append(slices.Clip(p.list()), s)
	p.slots.Store(&slots)
	w.broker.resize(p, []*slot{s}, nil)
}

// noteWaits tells the broker which slots wait for another slot before their next life begins, and
// which of them do not wait any more. The caller holds mu.
func (w *workerFleet) noteWaits() {
	for i := range w.effects {
		e := &w.effects[i]
		if e.Kind == fleet.Spawn || e.Kind == fleet.Promote || e.Kind == fleet.Bury {
			w.noteWait(w.slots[e.Slot], 0)
		}
	}
	for id, other := range w.rules.Waiting {
		w.noteWait(w.slots[id], other)
	}
}

// noteWait tells the broker for whom one slot waits: for another slot, or for nobody if other is 0.
// The caller holds mu.
func (w *workerFleet) noteWait(s *slot, other fleet.Slot) {
	if s.awaits == other {
		return
	}
	s.awaits = other
	name := ""
	if other != 0 {
		name = w.slots[other].name
	}
	w.then(func() { w.broker.waitToStart(s.name, name) })
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

// tick tells the rules the time. It runs on a goroutine of the timer. The timer may have been set
// to another time meanwhile; then tick does no harm.
func (w *workerFleet) tick() { w.happens(func() { w.rules.Tick(w.now()) }, nil) }

// exit tells the rules that the end of the program was requested.
func (w *workerFleet) exit(mode ShutdownMode) {
	w.happens(func() { w.rules.Exit(fleet.Mode(mode)) }, nil)
}

// end tells the rules to end all workers. It is called after exit.
func (w *workerFleet) end() { w.happens(w.rules.End, nil) }
