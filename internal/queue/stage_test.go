package queue

import (
	"slices"
	"testing"
	"time"
)

// stage is a Queue with its caller, for tests that say by themselves what happens: it carries out
// the effects, and keeps them. It is played by TestTable and TestStories.
type stage struct {
	testing.TB
	q        *Queue
	now      Time
	wake     Time
	effects  []Effect // since the last look
	lives    Worker
	slots    map[string]Slot
	workers  map[string]Worker // lives that are there, by their slots
	last     Slot
	store    []*storedTask // what a Backend has, in order
	credit   map[Lane]int
	outcomes map[*Task][]Verdict
}

// storedTask is a task in the Backend, which is quick.
type storedTask struct {
	*Task
	due    Time
	leased bool
	told   []string // ends of its leases
}

func newStage(t testing.TB, c Config) *stage {
	c.Rand = func() float64 { return 0 }
	if c.LimitBytes == 0 {
		c.LimitBytes = 1 << 30
	}
	return &stage{
		TB: t, q: New(c), wake: never, slots: map[string]Slot{}, workers: map[string]Worker{}, credit: map[Lane]int{},
		outcomes: map[*Task][]Verdict{},
	}
}

// addPool adds a pool with slots that have names.
func (s *stage) addPool(o PoolOptions, slots ...string) {
	id := Pool(len(s.q.pools) + 1)
	s.q.AddPool(id, o)
	for _, name := range slots {
		s.last++
		s.slots[name] = s.last
		s.q.AddSlot(s.last, id)
	}
}

// enter has a slot's next life become ready, which takes some types.
func (s *stage) enter(slot string, handles, pulls []string) Worker {
	s.lives++
	s.workers[slot] = s.lives
	if lie := s.q.Enter(s.lives, s.slots[slot], handles, pulls); lie.Told() {
		s.Fatalf("%s is accused of %d", slot, lie.Kind)
	}
	s.carryOut()
	return s.lives
}

// die ends the life of a slot, if it has one.
func (s *stage) die(slot string) bool {
	w := s.workers[slot]
	delete(s.workers, slot)
	blamed := s.q.Leave(w, Death{Cause: "killed"}, s.now)
	s.carryOut()
	return blamed
}

// pass lets time pass.
func (s *stage) pass(d time.Duration) {
	end := s.now + d
	for s.wake <= end {
		s.now, s.wake = max(s.now, s.wake), never
		s.q.Tick(s.now)
		s.carryOut()
	}
	s.now = end
}

// carryOut carries out what is to be done.
func (s *stage) carryOut() {
	for {
		effects := s.q.Effects(nil)
		s.effects = append(s.effects, effects...)
		again := false
		for i := range effects {
			again = s.apply(&effects[i]) || again
		}
		if !again && !s.deliver() && len(effects) == 0 {
			return
		}
	}
}

// apply carries out an effect, and reports whether there was an event by it.
func (s *stage) apply(e *Effect) bool {
	switch e.Kind {
	case Outcome:
		s.outcomes[e.Task] = append(s.outcomes[e.Task], e.Verdict)
	case Wake:
		if e.At > s.now {
			s.wake = e.At
			return false
		}
		if e.At > 0 {
			s.wake = never
		}
		s.q.Tick(s.now)
		return true
	case Store:
		s.store = append(s.store, &storedTask{Task: e.Task, due: s.now + e.After})
		s.q.Stored(e.Task, true, nil)
		return true
	case Draw:
		s.credit[*e.Lane] += int(e.N)
	case DrawLess:
		s.credit[*e.Lane] -= int(e.N)
	case DrawNoMore:
		delete(s.credit, *e.Lane)
	case EndLease:
		s.endLease(e)
	case Token:
		b, _ := e.Gate.Data.(*fakeBucket)
		if b == nil {
			b = &fakeBucket{}
			e.Gate.Data = b
		}
		b.set(e.Gate.Limits())
		b.full = max(b.full, s.now) + Time(e.N)*b.each
		s.q.Refilled(e.Gate, b.left(s.now), b.next(), b.full, s.now)
		return true
	}
	return false
}

// endLease tells the Backend about the end of a lease.
func (s *stage) endLease(e *Effect) {
	i := slices.IndexFunc(s.store, func(it *storedTask) bool { return it.Task == e.Task })
	it := s.store[i]
	if it.leased {
		ends := [...]string{Remove: "ack", Keep: "retry", GiveUp: "dead", Later: "retry", Return: "back"}
		it.told = append(it.told, ends[e.LeaseEnd])
	}
	if it.leased = false; e.LeaseEnd == Later {
		it.due = s.now + e.After
	} else {
		it.due = never
	}
}

// deliver has tasks come from the Backend that were asked for.
func (s *stage) deliver() bool {
	for _, it := range s.store {
		if l := it.lane.Lane; !it.leased && it.due <= s.now && s.credit[l] > 0 {
			s.credit[l]--
			it.leased = true
			s.q.Came(l)
			s.q.Arrived(it.Task)
			return true
		}
	}
	return false
}

// submit submits a task of main, which waits for room if it must.
func (s *stage) submit(t *Task, to Lane, waiting ...Slot) Refusal {
	r, lie := s.q.Submit(t, to, waiting, true, s.now)
	if lie.Told() {
		s.Fatalf("the submission is taken for the lie %d", lie.Kind)
	}
	s.carryOut()
	return r
}
