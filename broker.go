package multiprolab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/wire"
)

const (
	// maxFetches is how many calls of GetTask of one worker may wait at a time.
	maxFetches = 1024
	// aheadTime is how much work a worker is given ahead of time, measured by how long its tasks took.
	aheadTime = 4 * time.Millisecond
)

// broker owns the task queue. It exists in main. Which worker works on which job is in dispatch.go; what becomes of a job is in job.go. Any goroutine
// may call it; nothing under its mutex waits, as long as its source does not.
//
// A worker holds the job that it works on and, while its jobs are short, a few more, so that it need not wait for main between two of them. What it has not
// started is taken back when another worker has nothing to do.
type broker struct {
	node      *node
	limit     int
	deadLimit int
	source    *MemoryBackend // nil if there is a store
	store     *store         // the way to a Backend of the user, or nil

	mu        brokerMutex
	lastID    uint64
	jobs      map[uint64]*job // that have not ended
	submitted map[submissionKey]*job
	lanes     map[laneKey]*lane
	inOrder   []*lane // by priority, then by age
	keys      map[string]*keyState
	waiting   int // jobs that are queued or parked
	blocked   queue[*job]
	workers   []*taskWorker
	pools     []*pool
	paused    map[string]bool // queues
	stats     TaskStats
	dead      []*DeadTask
	stopped   error // why no new task is taken
	halted    bool  // no queued task is handed out either
	joiners   []chan struct{}
}

// brokerMutex is the broker's mutex, in main. Tasks that were assigned under it are in the links of their workers; who lets it go writes them, so that nobody has to be woken for it.
type brokerMutex struct {
	sync.Mutex
	posted []*link // with tasks that are to be written
}

// Unlock implements sync.Locker. It never waits for a pipe.
func (m *brokerMutex) Unlock() {
	posted := m.posted
	m.posted = nil
	m.Mutex.Unlock()
	for _, l := range posted {
		l.push()
	}
}

type submissionKey struct {
	submitter *peer
	id        uint64
}

type laneKey struct {
	queue, typ string
	priority   Priority
}

// lane is the tasks of one type and priority of a queue: what the source knows as one queue.
type lane struct {
	laneKey
	name     string
	returned queue[*job] // before those in the source; with their leases
}

// TaskStats counts tasks. At any moment Received = Succeeded + Failed + Cancelled + Queued + Running.
type TaskStats struct {
	Received  uint64 // accepted by the queue, or waiting for room in it
	Succeeded uint64
	Failed    uint64
	Cancelled uint64 // by their submitters, or because the program ends
	Queued    uint64 // not started on a worker
	Running   uint64
}

func newBroker(n *node, cfg *Config) *broker {
	b := &broker{node: n, limit: cfg.QueueLimit, deadLimit: cfg.DeadLimit, jobs: map[uint64]*job{},
		submitted: map[submissionKey]*job{}, lanes: map[laneKey]*lane{}, keys: map[string]*keyState{}, paused: map[string]bool{}}
	if cfg.Backend != nil {
		b.store = newStore(b, cfg)
	} else {
		b.source = NewMemoryBackend()
		b.source.due = b.ripened
	}
	return b
}

// lane returns the lane of a key.
func (b *broker) lane(key laneKey) *lane {
	l := b.lanes[key]
	if l == nil {
		l = &lane{laneKey: key, name: fmt.Sprintf("%s/%s/%d", key.queue, key.typ, key.priority)}
		b.lanes[key] = l
		b.inOrder = append(b.inOrder, l)
		slices.SortStableFunc(b.inOrder, func(x, y *lane) int { return cmp.Compare(y.priority, x.priority) })
	}
	return l
}

// enter makes a worker known that has become ready.
func (b *broker) enter(p *peer, r *readiness) {
	b.mu.Lock()
	defer b.mu.Unlock()
	cfg := &p.slot.pool.cfg
	if b.store != nil {
		defer b.store.demand()
		for _, queue := range cfg.Queues { // tasks of earlier runs may wait there
			for _, typ := range slices.Concat(r.Tasks, r.Pulls) {
				for priority := PriorityLow; priority <= PriorityHigh; priority++ {
					b.store.fetch(b.lane(laneKey{queue, typ, priority}))
				}
			}
		}
	}
	p.tasks = &taskWorker{peer: p, handles: r.Tasks, queues: cfg.Queues, most: cfg.Prefetch, held: map[uint64]*job{}}
	b.workers = append(b.workers, p.tasks)
	b.feed(p.tasks)
	b.failUnservable()
}

// leave takes a worker away that has ended. What it held and had not started goes back to the front of the queue; an attempt that it had started has
// failed. how is nil if it said goodbye. It reports whether the worker was working on one.
func (b *broker) leave(p *peer, how error) (blamed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := p.tasks
	if w == nil || w.gone {
		return false
	}
	w.gone = true
	b.workers = slices.DeleteFunc(b.workers, func(o *taskWorker) bool { return o == w })
	held := make([]*job, 0, len(w.held))
	for _, j := range w.held {
		held = append(held, j)
	}
	slices.SortFunc(held, func(x, y *job) int { return cmp.Compare(y.id, x.id) }) // so that the oldest ends up at the front
	for _, j := range held {
		if j.state == running || j.condemned != nil {
			blamed = true
			r := &reply{err: endOfAttempt(how, p, j)}
			if j.batch > 0 && j.id == p.unfinished { // what it had finished stands
				r.payload.Data, r.vouch, r.died = p.outcomes, p.vouchError, true
			}
			b.conclude(j, r)
		} else {
			b.giveBack(j)
		}
	}
	return blamed
}

// endOfAttempt says what the end of a worker means for a job that it had started. Each job has its own copy.
func endOfAttempt(how error, p *peer, j *job) error {
	what := fmt.Sprintf("task %q (attempt %d of %d)", j.lane.typ, j.attempts, max(1, j.meta.Attempts))
	var died *WorkerDiedError
	var timeout *TimeoutError
	switch {
	case errors.As(j.condemned, &timeout):
		if errors.As(how, &died) {
			timeout.Killed, timeout.Stderr = true, cmp.Or(p.dumped(), died.Stderr)
		}
		return timeout
	case j.condemned != nil:
		return j.condemned
	case errors.As(how, &died): // perhaps in another that says more
		return during(how, what)
	}
	return &WorkerDiedError{Worker: p.slot.name, PID: p.pid(), Life: p.life, During: what,
		Reason: "it ended without an outcome for the task: end each task from GetTask with Done or Fail"}
}

// reconsider is called when an instance has ended for good: queued jobs that nobody will ever take fail.
func (b *broker) reconsider() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failUnservable()
}

func (b *broker) failUnservable() {
	var failed []*job
	for _, l := range b.inOrder {
		if err := b.servable(l.queue, l.typ); err != nil {
			for _, j := range b.jobs {
				if j.lane == l && (j.state == queued || j.state == parked) {
					b.finish(j, &reply{err: err})
					failed = append(failed, j)
				}
			}
		}
	}
	for _, j := range failed {
		b.freeKey(j) // it may have been the next to run
	}
}

// servable returns nil if a worker takes the type from the queue, or may turn out to do so once it is ready.
func (b *broker) servable(queue, typ string) error {
	var known []string
	var gone error
	for _, p := range b.pools {
		if !slices.Contains(p.cfg.Queues, queue) {
			continue
		}
		types, learned := p.taskTypes()
		known = append(known, types...)
		if learned && !slices.Contains(types, typ) {
			continue
		}
		if gone = p.gone(); gone == nil {
			return nil
		}
	}
	if gone != nil {
		return &NoWorkerError{Type: typ, Err: gone}
	}
	slices.Sort(known)
	return &UnknownTypeError{Verb: "task", Type: typ, Queue: queue, Known: slices.Compact(known)}
}

// onlyWaits reports whether every instance that takes the type from the queue is in chain.
func (b *broker) onlyWaits(queue, typ, chain string) bool {
	for _, p := range b.pools {
		types, learned := p.taskTypes()
		if !slices.Contains(p.cfg.Queues, queue) || learned && !slices.Contains(types, typ) {
			continue
		}
		for _, s := range p.list() {
			if s.alive() && !inChain(chain, s.name) {
				return false
			}
		}
	}
	return true
}

// heldBy finds a job that a worker speaks of.
func (b *broker) heldBy(p *peer, id uint64) (*job, error) {
	if p.tasks == nil {
		return nil, &wireViolation{"it spoke of a task before it was ready"}
	}
	return p.tasks.held[id], nil // one that it does not hold has ended: what comes late is dropped
}

// started notes that a worker has begun with a task.
func (b *broker) started(p *peer, id uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.heldBy(p, id)
	if j == nil {
		return err
	}
	if j.state != assigned {
		return &wireViolation{fmt.Sprintf("it started %v twice", j)}
	}
	b.start(j, p)
	if i := slices.IndexFunc(b.workers, func(w *taskWorker) bool { return w.sound() && len(w.held) == 0 }); i >= 0 && j.batch > 1 && !b.halted {
		b.splitFor(b.workers[i]) // it had nothing to do before this was known to run
	}
	return nil
}

// result takes the outcome of an attempt from its worker.
func (b *broker) result(p *peer, id uint64, r *reply, batch bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.heldBy(p, id)
	if j == nil {
		return err
	}
	if r.err == nil && batch != (j.batch > 0) {
		return &wireViolation{fmt.Sprintf("%v is a batch, or it is none, and its result is not", j)}
	}
	if batch {
		r.vouch = p.vouchError
	}
	if j.state == running {
		if took := time.Since(j.began); j.holder.took == 0 {
			j.holder.took = took
		} else {
			j.holder.took += (took - j.holder.took) / 8
		}
	}
	if j.condemned != nil {
		r = &reply{err: j.condemned}
	}
	w := j.holder
	w.done += j.size()
	if most := p.slot.pool.cfg.MaxTasks; most > 0 && w.done >= most {
		w.retiring = true
	}
	w.batches = j.batch > 1
	b.conclude(j, r)
	b.retireIfIdle(w)
	return nil
}

// progress passes news of a running job on to its submitter.
func (b *broker) progress(p *peer, f *wire.Frame) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.heldBy(p, f.ID)
	if j == nil {
		return err
	}
	if j.submitter != nil {
		f.ID, f.From = j.submitterID, p.slot.name
		_ = j.submitter.link.post(f)
		return nil
	}
	if s := b.node.submission(j.submitterID, false); s != nil {
		s.addProgress(&Message{Sender: p.slot.name, Receiver: MainName, Type: f.Type, payload: payloadOf(f), scope: scope{node: b.node}})
	}
	return nil
}

// fetch answers a GetTask: at once if it can or must, else when a task comes.
func (b *broker) fetch(p *peer, id uint64, types []string, wait bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := p.tasks
	switch {
	case w == nil:
		return &wireViolation{"it asked for a task before it was ready"}
	case len(w.fetches) >= maxFetches:
		return &wireViolation{fmt.Sprintf("it asked for more than %d tasks at a time", maxFetches)}
	}
	if !b.halted && !w.retiring {
		if w.sound() {
			if j := b.next(w, types); j != nil {
				b.assign(j, w, strconv.FormatUint(id, 10))
				return nil
			}
		}
		if wait {
			w.fetches = append(w.fetches, fetch{id, types})
			if b.store != nil {
				b.store.demand()
			}
			return nil
		}
	}
	_ = p.link.post(&wire.Frame{Kind: wire.NoTask, ID: id})
	return nil
}

// cancelFetch takes a waiting GetTask back. If a task was sent meanwhile, that is the answer.
func (b *broker) cancelFetch(p *peer, id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.tasks == nil {
		return
	}
	if i := slices.IndexFunc(p.tasks.fetches, func(f fetch) bool { return f.id == id }); i >= 0 {
		p.tasks.fetches = slices.Delete(p.tasks.fetches, i, i+1)
		_ = p.link.post(&wire.Frame{Kind: wire.NoTask, ID: id})
	}
}

// pause stops handing out the tasks of a queue, or goes on with it.
func (b *broker) pause(queue string, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused[queue] = on
	if b.store != nil {
		b.store.demand()
	}
	for _, l := range b.inOrder {
		if l.queue == queue && !on {
			b.place(l)
		}
	}
	for _, j := range b.jobs {
		if on && j.state == assigned && !j.recalled && j.lane.queue == queue {
			b.recall(j)
		}
	}
}

// stop refuses new tasks with err. Unless drain is set, those that no worker has started end with err as well.
func (b *broker) stop(err error, drain bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped == nil {
		b.stopped = err
	}
	if drain {
		return
	}
	b.halted = true
	for _, j := range b.jobs {
		if j.holder == nil {
			b.finish(j, &reply{err: err})
		}
	}
}

// join returns a channel that is closed when no task is left.
func (b *broker) join() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := make(chan struct{})
	if len(b.jobs) == 0 {
		close(done)
	} else {
		b.joiners = append(b.joiners, done)
	}
	return done
}

// end gives every job that is left the outcome err. It is called when no worker is left.
func (b *broker) end(err error) {
	b.mu.Lock()
	b.stopped, b.halted = cmp.Or(b.stopped, err), true
	for _, j := range b.jobs {
		b.finish(j, &reply{err: b.stopped})
	}
	b.mu.Unlock()
	if b.store != nil {
		b.store.close()
	} else {
		_ = b.source.Close(context.Background())
	}
}

func (b *broker) count() TaskStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	for _, j := range b.jobs {
		if j.state == running {
			s.Running += uint64(j.size())
		} else {
			s.Queued += uint64(j.size())
		}
	}
	return s
}
