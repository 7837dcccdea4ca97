package queue

import (
	"fmt"
	"slices"
	"time"
)

// This file is a fleet that a test plays: workers that do what comes to their minds, submitters
// and, perhaps, a Backend, over a Queue. It carries out the effects, and keeps of each task and
// worker what it must be by what has been said: that is the model, in model_test.go.

// judge is who hears of what is wrong: a *testing.T or a *rapid.T.
type judge interface {
	Helper()
	Fatalf(format string, args ...any)
}

// dice returns a number from 0 on, below n.
type dice func(n int) int

// day is one Queue and all that happens to it.
type day struct {
	judge
	dice
	q       *Queue
	cfg     Config
	spare   []Effect
	now     Time // of the world
	told    Time // that the queue knows
	wake    Time // of the nearest Wake, or never
	atOnce  bool // there was one for now
	drain   bool
	halted  bool
	retired int // ids of lives and slots, so far
	serial  int // of what lines up

	pools   []*fakePool
	slots   []*fakeSlot
	workers []*fakeWorker // that live
	tasks   []*fakeTask   // that have not ended
	options []*Options
	dead    []*fakeTask
	paused  map[string]Time // until when, by the queues; "" is all
	store   *fakeBackend    // or nil
	unsent  []*fakeTask     // that were assigned and could not be sent

	throttles  []*throttle
	buckets    []*fakeBucket
	asked      []*fakeBucket // that are to answer
	everShared bool          // a throttle has allowed several tasks of a key at a time

	want   Stats // as the model counts
	queues sums  // scratch of lookAtCounts
	types  sums  // scratch of lookAtCounts
	events int
	log    [24]string // the last events
}

type fakePool struct {
	id Pool
	PoolOptions
}

type fakeSlot struct {
	id   Slot
	pool *fakePool
	life *fakeWorker
	kind []string // types that the last life took; nil: none was ready
	gone bool
	last bool // the present life is the last
	out  bool // of its pool
	// index is its number among the slots that were in its pool when it was added.
	index int
	born  bool // a life of it has become ready since
}

// frame is something that a worker has been sent and has not read.
type frame struct {
	kind EffectKind
	task *fakeTask
	id   FetchID
}

// fakeWorker is a life: what it has been told, what it does, and what main must think of it.
type fakeWorker struct {
	id        Worker
	slot      *fakeSlot
	handles   []string
	pulls     []string
	inbox     []frame
	waiting   []*fakeTask // that it has read and not begun
	active    []*fakeTask
	fetches   map[FetchID]*fakeFetch
	lastFetch FetchID
	lastTask  uint64 // number of its submissions
	lied      bool
	killed    bool
	retired   bool // told so
	// as the model has it:
	held     []*fakeTask
	took     time.Duration
	done     int
	retiring bool
	batches  bool
	fetching []*fakeFetch // that main must answer
}

type fakeFetch struct {
	id    FetchID
	types []string
	wait  bool
}

// fakeTry is a request that does not wait, for which a lane is looked at.
type fakeTry struct {
	worker Worker
	id     FetchID
	lane   Lane
}

// place is where a task is.
type place uint8

const (
	forRoom place = iota + 1
	forTime       // or with a Backend there
	there         // in the Backend, and due
	inLine        // queued or parked
	out           // with a worker
	over
)

// fakeTask is a task as the model has it.
type fakeTask struct {
	*Task
	where     place
	waits     []*fakeWorker // lives that must not get it
	serial    int           // of when it lined up last
	been      bool          // it has been out
	due       Time
	worker    *fakeWorker
	begun     bool // on it
	beganAt   Time
	recalled  bool
	cutBy     bool
	gaveNone  bool // there was nothing to cut off
	doom      Kind // of this attempt, or Done
	doomAt    Time
	dumped    bool
	killAt    Time
	pulled    bool
	counted   int // attempts
	outcomes  int
	verdict   Verdict
	leaseOver bool
	revived   bool
	resumed   bool // an earlier program has accepted it
	saved     int  // the size of its checkpoint in KiB
	foreign   bool
	item      *fakeItem
	tokens    []*throttle // from which it has tokens since it is about to go out
	paidFor   bool        // it has been out since, and was not begun
}

func (m *fakeTask) String() string {
	return fmt.Sprintf("task %d (%v, state %d)", m.id, m.lane.Lane, m.state)
}

var dayTypes = []string{"a", "b", "c", "p", "r"} // of which p and r are pulled

func newDay(j judge, roll dice) *day {
	d := &day{judge: j, dice: roll, wake: never, paused: map[string]Time{}, now: time.Second}
	d.cfg = Config{
		Limit: 1 + d.dice(12), LimitBytes: taskCost * (4 + d.dice(20)), DeadLimit: d.dice(4),
		Stored: d.dice(4) == 0,
		Rand:   func() float64 { return float64(d.dice(8)) / 8 },
		Busy:   func(Worker) int { return d.dice(3) },
	}
	if d.cfg.Stored {
		d.store = &fakeBackend{d: d}
	}
	d.q = New(d.cfg)
	all := []PoolOptions{
		{Queues: []string{"x"}, Prefetch: 64, Seed: 1},
		{Queues: []string{"x", "y"}, Prefetch: 2, MaxTasks: 6, Seed: 2},
		{Queues: []string{"y"}, Prefetch: 0},
	}
	for i, o := range all[:1+d.dice(3)] {
		p := &fakePool{id: Pool(i + 1), PoolOptions: o}
		d.pools = append(d.pools, p)
		d.q.AddPool(p.id, o)
		for range 1 + d.dice(3) {
			d.addSlot(p)
		}
	}
	for range d.dice(3) * d.dice(2) {
		d.throttle()
	}
	for range 8 {
		d.options = append(d.options, d.someOptions())
	}
	return d
}

func (d *day) someOptions() *Options {
	if d.dice(3) == 0 {
		return nil
	}
	o := &Options{Attempts: d.dice(4), On: Fault(d.dice(8))}
	if d.dice(3) == 0 {
		o.Key = []string{"k", "l"}[d.dice(2)]
		o.Sticky = !d.cfg.Stored && d.dice(2) == 0
	}
	if d.dice(4) == 0 {
		o.Delay = time.Duration(1+d.dice(1000)) * time.Millisecond
	}
	if d.dice(3) == 0 {
		o.Timeout = time.Duration(1+d.dice(300)) * time.Millisecond
	}
	if d.dice(3) == 0 {
		o.Grace = time.Duration(1+d.dice(300)) * time.Millisecond
	}
	if d.dice(2) == 0 {
		o.First = 1 // at once
	}
	return o
}

func (d *day) wrong(format string, args ...any) {
	d.Helper()
	text := ""
	for i := range d.log {
		if s := d.log[(d.events+i)%len(d.log)]; s != "" {
			text += "\n  " + s
		}
	}
	d.Fatalf("event %d: %s\nlast events:%s", d.events, fmt.Sprintf(format, args...), text)
}

// did notes an event that is about to happen.
func (d *day) did(what string, of ...any) {
	d.log[d.events%len(d.log)] = ""
	d.events++
	if logs {
		what += " " + fmt.Sprint(of...)
	}
	d.log[(d.events-1)%len(d.log)] = what
}

// logs is set when a day is played again, so that events say what they are about.
var logs bool

func (d *day) addSlot(p *fakePool) {
	d.retired++
	s := &fakeSlot{id: Slot(d.retired), pool: p}
	for _, o := range d.slots {
		if o.pool == p && !o.out {
			s.index++
		}
	}
	d.slots = append(d.slots, s)
	d.q.AddSlot(s.id, p.id)
}

// tell is the time for an event that has it.
func (d *day) tell() Time {
	d.told = d.now
	return d.now
}

// fakeItem is a task in the Backend.
type fakeItem struct {
	task     *fakeTask // nil: of an earlier run
	of       *fakeTask // that it was stored for
	lane     Lane
	due      Time
	attempts int
	leased   bool
	dropped  bool // its task has ended, and it is removed when it comes
}

// fakeBackend is a Backend that is slow.
type fakeBackend struct {
	d     *day
	puts  []*fakeItem // that are to be stored
	items []*fakeItem
	lanes []Lane // with credit
	n     []int
	tries []fakeTry
}

func (b *fakeBackend) credit(l Lane) *int {
	i := slices.Index(b.lanes, l)
	if i < 0 {
		i = len(b.lanes)
		b.lanes, b.n = append(b.lanes, l), append(b.n, 0)
	}
	return &b.n[i]
}

func (b *fakeBackend) drop(it *fakeItem) {
	b.items = slices.DeleteFunc(b.items, func(o *fakeItem) bool { return o == it })
}

// step does one thing, and reports whether there was something to do.
func (b *fakeBackend) step(fails bool) bool {
	d := b.d
	if len(b.tries) > 0 && d.dice(2) == 0 {
		return b.try()
	}
	if len(b.puts) > 0 && d.dice(2) == 0 {
		it := b.puts[0]
		m := it.of
		b.puts = b.puts[1:]
		ok := !fails || d.dice(20) > 0
		d.did("stored", m.id, ok)
		old := m.item != it // it was a dead letter meanwhile, and is stored anew if it is stored at all
		switch {
		case ok:
			b.items = append(b.items, it)
		case !old:
			m.item = nil
		}
		before := m.outcomes
		d.q.Stored(m.Task, ok, "disk")
		d.carryOut()
		if m.where == over && before == 0 && (ok || old || m.verdict.Kind != Failed) {
			d.wrong("%v ends with %v when it is stored", m, m.verdict)
		}
		return true
	}
	for i, l := range b.lanes {
		if b.n[i] == 0 {
			continue
		}
		for _, it := range b.items {
			if it.lane == l && !it.leased && it.due <= d.now {
				b.n[i]--
				d.q.Came(l)
				b.deliver(it)
				return true
			}
		}
	}
	if len(b.puts) > 0 {
		return b.step(fails)
	}
	return len(b.tries) > 0 && b.try()
}

// try looks whether a lane has something now.
func (b *fakeBackend) try() bool {
	d, t := b.d, b.tries[0]
	b.tries = b.tries[1:]
	i := slices.IndexFunc(b.items, func(it *fakeItem) bool {
		return it.lane == t.lane && !it.leased && it.due <= d.now
	})
	if i >= 0 {
		b.deliver(b.items[i])
	}
	d.did("tried", t.worker, t.id)
	d.q.Tried(t.worker, t.id)
	d.carryOut()
	return true
}

// isTried reports whether the Backend is being asked for a request.
func (b *fakeBackend) isTried(w *fakeWorker, f *fakeFetch) bool {
	return b != nil && slices.ContainsFunc(b.tries, func(t fakeTry) bool { return t.worker == w.id && t.id == f.id })
}

func (b *fakeBackend) deliver(it *fakeItem) {
	d := b.d
	switch m := it.task; {
	case it.dropped:
		d.did("missed")
		b.drop(it)
		d.q.Missed()
	case m != nil:
		d.did("arrived", m.id)
		it.leased = true
		if m.where == forTime || m.where == there {
			d.lineUp(m, false)
		}
		if d.q.Arrived(m.Task) {
			d.wrong("%v was not leased, and arrives again", m)
		}
	default:
		d.did("found")
		m := &fakeTask{Task: &Task{Size: 10}, item: it, foreign: true, counted: it.attempts}
		m.lane = &lane{laneKey: laneKey{Lane: it.lane}}
		want := d.refusal(it.lane, nil, true)
		if d.halted {
			want = RefusedStop
		}
		m.Data = m
		r := d.q.Found(m.Task, it.lane, it.attempts)
		if r.Kind != want {
			d.wrong("a task was found and the answer is %v, should be %v", r.Kind, want)
		}
		if r.Refused() {
			it.due = d.now + time.Minute
			break
		}
		it.task, it.leased = m, true
		d.tasks = append(d.tasks, m)
		d.want.Received++
		d.lineUp(m, false)
	}
	d.carryOut()
}

// endLease takes in what is told of a lease.
func (b *fakeBackend) endLease(m *fakeTask, e *Effect) {
	it := m.item
	if m.leaseOver && e.LeaseEnd != Later {
		b.d.wrong("%v is told of its end twice", m)
	}
	if it == nil {
		return
	}
	m.leaseOver = e.LeaseEnd != Later
	switch e.LeaseEnd {
	case Keep, Return:
		it.leased, it.task, it.due = false, nil, never // it is the next run's
		m.item = nil
	case Later:
		it.leased, it.due = false, b.d.now+e.After
	default:
		if it.leased {
			b.drop(it)
		}
		it.dropped = true
	}
}
