package multiprolab

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// pool is what one RegisterWorker registered: identical workers. It exists in main, and in a worker
// as far as needed to find its setup function.
type pool struct {
	name  string
	setup func(ctx context.Context, w *Worker) error
	cfg   WorkerConfig
	group *group // or nil
	site  *site
	turn  atomic.Uint32
	slots atomic.Pointer[[]*slot] // replaced as a whole, never changed; written under mu

	mu     sync.Mutex
	latest map[int]*slot // by index: the last that was there
}

// mostLooks is at how many instances leastBusy looks: a message to a thousand workers costs no more
// than one to these.
const mostLooks = 32

// leastBusy returns an instance with nothing to do, or the one with the least to do among those
// that come next, mostLooks of them; of several that are alike, each in its turn. Instances that
// have ended for good come last.
func (p *pool) leastBusy() *slot {
	slots := p.list()
	if len(slots) == 1 {
		return slots[0]
	}
	first := int(p.turn.Add(1)) % len(slots)
	var best *slot
	var bestLoad int
	for i, looks := 0, 0; i < len(slots) && looks < mostLooks; i++ {
		s := slots[(first+i)%len(slots)]
		load := s.load()
		if best == nil || load < bestLoad {
			best, bestLoad = s, load
		}
		if load == 0 {
			break
		}
		if load < loadOfEnded {
			looks++
		}
	}
	return best
}

// list returns the instances. The caller must not change it.
func (p *pool) list() []*slot {
	if slots := p.slots.Load(); slots != nil {
		return *slots
	}
	return nil
}

// has reports whether the instance is in the pool still.
func (p *pool) has(s *slot) bool {
	slots := p.list()
	return s.index < len(slots) && slots[s.index] == s
}

// resize makes the pool have n instances, and returns those that are new and those that are not in
// it any more. An instance whose number was in use before begins when that one has ended, and
// counts its lives on.
func (p *pool) resize(m *Main, n int) (added, removed []*slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slots := p.list()
	if n < len(slots) {
		removed = slots[n:]
		slots = slots[:n:n]
		p.slots.Store(&slots)
		m.broker.resize(p, nil, removed)
		return nil, removed
	}
	for i := len(slots); i < n; i++ {
		s := newSlot(m, p, i)
		if s.before = p.latest[i]; s.before != nil {
			s.account = s.before.account
		}
		p.latest[i] = s
		added = append(added, s)
	}
	slots = append(slots[:len(slots):len(slots)], added...)
	p.slots.Store(&slots)
	m.broker.resize(p, added, nil)
	return added, nil
}

// gone returns nil if an instance is there or will be, else why the last one is not.
func (p *pool) gone() error {
	var err error
	for _, s := range p.list() {
		if err = s.whyGone(); err == nil {
			return nil
		}
	}
	return err
}

// slot is the place of one instance, such as "thumbnailer/2". It outlasts the processes that fill
// it one after the other. It exists in main; one goroutine, Main.supervise, starts and ends them.
type slot struct {
	main    *Main
	pool    *pool
	index   int
	name    string
	out     *outbox
	account *account

	number queue.Slot // by which the rules of the queue know it; the broker gives it, before the first life

	before   *slot           // that had the number earlier, or nil
	ended    chan struct{}   // closed when supervise has returned
	lives    int             // so far; used by supervise only
	leaving  atomic.Bool     // the pool shrinks: it is not to be replaced
	stopping context.Context // ends when the worker must be ended: with the program, or when the pool shrinks
	stop     context.CancelCauseFunc
	initial  bool          // it was there at the start of the program, which waits for it
	previous *slot         // that starts before it; nil for the first, and for one that was added later
	turn     chan struct{} // closed when the next may start; by hadTurn
	turnOnce sync.Once

	live   atomic.Pointer[peer] // current, to be read without mu
	buried atomic.Bool          // gone is set

	mu       sync.Mutex
	gone     error // why there will be no further life
	current  *peer
	endLife  context.CancelCauseFunc // of the current life
	up       bool                    // the current life is ready, and not being ended
	shakes   int                     // how often it was to be restarted with others of its group
	settled  int                     // how many of these its last life has come after
	shakenBy error
	starting bool // the next life is about to begin
}

func newSlot(m *Main, p *pool, i int) *slot {
	s := &slot{
		main:    m,
		pool:    p,
		index:   i,
		ended:   make(chan struct{}),
		turn:    make(chan struct{}),
		name:    instanceName(p.name, i),
		out:     newOutbox(int64(m.cfg.Window), true),
		account: newAccount(int64(m.cfg.Window)),
	}
	s.stopping, s.stop = context.WithCancelCause(m.stopping)
	return s
}

// leave takes the instance away: between two of its tasks if it is ready, and else at once.
func (s *slot) leave() {
	s.leaving.Store(true)
	s.mu.Lock()
	p := s.current
	s.mu.Unlock()
	if p == nil || !s.main.broker.retire(p) {
		s.stop(s.left())
	}
	s.main.changes.announce()
}

// tell sends a frame that always fits to the worker, if there is one.
func (s *slot) tell(f *wire.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		s.current.link.Tell(link.Soon, f)
	}
}

// ending reports whether the worker must be ended, and not replaced.
func (s *slot) ending() bool { return s.stopping.Err() != nil }

func (s *slot) alive() bool { return s.whyGone() == nil }

// whyGone returns nil if there is a life of the instance or will be, and else why not.
func (s *slot) whyGone() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// loadOfEnded is the load of an instance that has ended for good: more than any other.
const loadOfEnded = 1 << 30

// load is a measure of what the instance has to do: messages, calls and tasks. It takes no lock,
// for it is asked of many instances for one message.
func (s *slot) load() int {
	if s.buried.Load() {
		return loadOfEnded
	}
	n := s.pending()
	if p := s.live.Load(); p != nil {
		n += int(p.holds.Load())
	}
	return n
}

// pending is the number of messages and calls that the instance has to handle. It takes no lock.
func (s *slot) pending() int { return s.out.load() }

// owes reports whether somebody waits for the instance to answer a call or to finish a task.
func (s *slot) owes() bool {
	if s.out.asks() {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current != nil && s.current.holds.Load() > 0
}

// newCall returns the entry of a call to the instance, nil for one of main.
func (s *slot) newCall(origin *client, f *wire.Frame) *callEntry {
	return &callEntry{origin: origin, id: f.ID, callee: s, typ: f.Type, loops: f.Meta != ""}
}

// cancelCall passes the cancellation of a call on to the worker, unless the call has its reply.
func (s *slot) cancelCall(e *callEntry, soft bool) {
	number, ok := s.out.numberOf(e)
	if !ok {
		return
	}
	from := MainName
	if e.origin != nil {
		from = e.origin.slot.name
	}
	s.tell(&wire.Frame{Kind: wire.Cancel, Flags: softly(soft), Type: "call", ID: number, From: from})
}

// failCalls answers calls to the instance that will have no reply. If a life has ended that they
// were written to, begun is set.
func (s *slot) failCalls(calls []*callEntry, err error, begun bool) {
	for _, e := range calls {
		cause := err
		if begun {
			cause = during(err, `call "`+e.typ+`"`)
		}
		s.main.router.replied(e, &reply{err: cause}, nil).Push()
	}
}

// during returns a copy of how a worker died that says what it was doing; any other error as it is.
func during(how error, what string) error {
	switch how := how.(type) {
	case *WorkerDiedError:
		d := *how
		d.During = what
		return &d
	case *MemoryLimitError:
		m := *how
		m.Died = during(m.Died, what).(*WorkerDiedError)
		return &m
	case *HangError:
		h := *how
		h.Died = during(h.Died, what).(*WorkerDiedError)
		return &h
	}
	return how
}

// bury ends the instance for good: everything that waits for it fails with err.
func (s *slot) bury(err error) {
	s.mu.Lock()
	s.gone = err
	s.mu.Unlock()
	s.buried.Store(true)
	lost, calls := s.out.close(err)
	s.failCalls(calls, err, false)
	s.deadLetters(lost, err)
	s.main.broker.bury(s, err)
	s.main.changes.announce()
}

// deadLetters reports the messages that the end of one life, or of the instance, has lost.
func (s *slot) deadLetters(lost []letter, err error) {
	reason := err.Error()
	events := make([]*DeadLetter, len(lost))
	for i, l := range lost {
		events[i] = &DeadLetter{Sender: l.from, Receiver: s.name, Type: l.typ, Size: l.size, Reason: reason}
	}
	s.main.emitLost(events)
}
