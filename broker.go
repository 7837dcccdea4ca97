package multiprolab

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

const (
	// maxTaskTypes is how many types of tasks one worker may take.
	maxTaskTypes = 1 << 16
	// aheadTime is how much work a worker is given ahead of time, measured by how long its tasks
	// took.
	aheadTime = 4 * time.Millisecond
)

// broker owns the task queue. It exists in main. Any goroutine may call it, and nothing under its
// mutex waits. What becomes of a job, and what each event does in each of its states, is in job.go;
// this file is the events of workers. The others of the broker's files: admission.go takes tasks
// in, dispatch.go hands them out and takes them back, pulls.go answers GetTask, lane.go and keys.go
// are where they wait, agenda.go is what waits for a time, store.go is the way to a Backend of the
// user's.
//
// A worker holds the job that it works on and, while its jobs are short, a few more, so that it
// need not wait for main between two of them. What it has not started is taken back when another
// worker has nothing to do.
//
// An event changes the state of jobs and workers, and notes which lanes have a new first job and
// which workers may have room. Its last step, when the mutex is let go, hands out what can be: no
// event leaves a job in its lane beside a worker that could have it.
type broker struct {
	node      *node
	limit     int // Config.QueueLimit
	byteLimit int // Config.QueueBytes
	deadLimit int
	store     *store // the way to a Backend of the user; nil: tasks wait in the lanes

	mu        brokerMutex
	clock     clock
	agenda    agenda
	lastID    uint64
	jobs      map[uint64]*job // that have not ended
	submitted map[submissionKey]*job
	lanes     map[laneKey]*lane
	kinds     []*kind // of the workers that are ready
	keys      map[string]*keyState
	waiting   int     // jobs that count for limit
	bytes     int     // of the jobs that count for byteLimit
	blocked   jobList // that wait for room
	workers   []*taskWorker
	stirred   []*lane        // that have a new first job
	woken     []*taskWorker  // that may have room, or nothing to do
	inState   [ended + 1]int // jobs in each state but the first and the last
	batches   []*job         // that run, of several items
	lookout   alarm          // looks again for workers that have nothing to do
	pools     []*pool
	paused    map[string]bool // queues; "" is all of them
	stats     TaskStats
	dead      []*DeadTask
	waits     mail.Waits[string]           // of loops, by the names of their processes
	under     map[string]map[uint64]string // the chains of calls among these waits, as far as others are in them
	stopped   error                        // why no new task is taken
	halted    bool                         // no queued task is handed out either
	joiners   []chan struct{}
}

// brokerMutex is the broker's mutex, in main. Who lets it go hands out what can be handed out.
// Tasks that were assigned under it are in the links of their workers; who lets it go writes them,
// so that nobody has to be woken for it.
type brokerMutex struct {
	lockorder.Mutex[lockorder.Tasks]
	broker *broker
	posted []*link.Link // with tasks that are to be written
}

// Unlock implements sync.Locker. It never waits for a pipe.
func (m *brokerMutex) Unlock() {
	m.broker.handOut()
	m.broker.clock.wind(m.broker.agenda, m.broker.tick)
	posted := m.posted
	m.posted = nil
	m.Mutex.Unlock()
	for _, l := range posted {
		l.Push()
	}
}

type submissionKey struct {
	submitter *client
	id        uint64
}

// TaskStats counts tasks. At any moment Received = Succeeded + Failed + Cancelled + Queued +
// Running.
type TaskStats struct {
	Received  uint64 // accepted by the queue, or waiting for room in it
	Succeeded uint64
	Failed    uint64
	Cancelled uint64 // by their submitters, or because the program ends
	Queued    uint64 // not started on a worker
	Running   uint64
}

func newBroker(n *node, cfg *Config) *broker {
	b := &broker{node: n, limit: cfg.QueueLimit, byteLimit: cfg.QueueBytes, deadLimit: cfg.DeadLimit,
		clock: clock{epoch: time.Now()},
		jobs:  map[uint64]*job{}, submitted: map[submissionKey]*job{}, lanes: map[laneKey]*lane{},
		keys: map[string]*keyState{}, paused: map[string]bool{}, under: map[string]map[uint64]string{}}
	b.mu.broker = b
	if cfg.Backend != nil {
		b.store = newStore(b, cfg)
	}
	return b
}

// open gives the broker the workers that there will be. Tasks are taken from then on.
func (b *broker) open(pools []*pool) {
	b.pools = pools
	if b.byteLimit == 0 {
		b.byteLimit = defaultQueueBytes()
	}
	if b.store != nil {
		b.store.open()
	}
}

// enter makes a worker known that has become ready.
func (b *broker) enter(p *peer, r *readiness) error {
	if n := len(r.Tasks) + len(r.Pulls); n > maxTaskTypes {
		return lie("it takes %d types of tasks, and %d are allowed", n, maxTaskTypes)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	cfg := &p.slot.pool.cfg
	w := &taskWorker{peer: p, most: cfg.Prefetch, held: map[uint64]*job{}}
	if err := b.joinKind(w, cfg.Queues, r.Tasks, r.Pulls); err != nil {
		return err
	}
	p.tasks, p.slot.worker, p.slot.kind = w, w, w.kind
	b.workers = append(b.workers, w)
	if b.store != nil {
		for _, queue := range cfg.Queues { // tasks of earlier runs may wait there
			for _, typ := range slices.Concat(r.Tasks, r.Pulls) {
				for priority := PriorityLow; priority <= PriorityHigh; priority++ {
					b.store.fetch(b.lane(laneKey{queue: queue, typ: typ, priority: priority}, nil))
				}
			}
		}
	}
	b.wake(w)
	b.failUnservable()
	return nil
}

// leave takes a worker away that has ended. What it held and had not started goes back to the front
// of the queue; an attempt that it had started has failed. how is nil if it said goodbye. It
// reports whether the worker was working on one.
func (b *broker) leave(p *peer, how error) (blamed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := p.tasks
	if w == nil || w.gone {
		return false
	}
	w.gone, w.fetches = true, nil
	b.workers = slices.DeleteFunc(b.workers, func(o *taskWorker) bool { return o == w })
	b.leaveKind(w)
	p.slot.worker = nil
	for _, j := range slices.SortedFunc(maps.Values(w.held), byAge) {
		switch {
		case j.state == running:
			blamed = true
			r := &reply{err: endOfAttempt(how, p, j)}
			if j.batch > 0 && j.id == p.unfinished { // what it had finished stands
				r.payload.Data = batch.OutcomesOf(p.outcomes, j.batch).Body
				r.vouch, r.died = p.vouchError, true
			}
			b.conclude(j, r)
		case j.condemned != nil: // it was cancelled before it had begun
			b.conclude(j, &reply{err: j.condemned})
		default:
			b.giveBack(j)
		}
	}
	return blamed
}

// endOfAttempt says what the end of a worker means for a job that it had started. Each job has its
// own copy.
func endOfAttempt(how error, p *peer, j *job) error {
	what := fmt.Sprintf("task %q (attempt %d of %d)", j.lane.typ, j.attempts, max(1, j.meta.Attempts))
	var died *WorkerDiedError
	var timeout *TimeoutError
	switch {
	case errors.As(j.condemned, &timeout):
		if errors.As(how, &died) {
			timeout.Killed, timeout.Stderr, timeout.Stopped = true, cmp.Or(p.dumped(), died.Stderr), died.Stopped
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

// reconsider is called when an instance has ended for good: jobs that nobody will ever take fail.
func (b *broker) reconsider() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failUnservable()
}

// failUnservable gives the jobs of lanes that no worker takes, nor will take, their outcomes: the
// same for all of a lane. It ends the waits as well that never end since the workers are other
// ones.
func (b *broker) failUnservable() {
	var why map[*lane]error
	for _, l := range b.lanes {
		if l.total == 0 || l.served() {
			continue
		}
		if err := b.servable(l.laneKey, l.waited); err != nil {
			if why == nil {
				why = map[*lane]error{}
			}
			why[l] = err
		}
	}
	if why != nil {
		for _, j := range b.unheld(func(j *job) bool { return why[j.lane] != nil }) {
			b.finish(j, &reply{err: why[j.lane]})
		}
	}
	b.breakCircles()
}

// unheld returns the jobs, of those that ok is true for, that no worker has, in the order of their
// submission.
func (b *broker) unheld(ok func(j *job) bool) []*job {
	var found []*job
	for _, j := range b.jobs {
		if j.holder == nil && ok(j) {
			found = append(found, j)
		}
	}
	slices.SortFunc(found, byAge)
	return found
}

// served reports whether a worker is ready that takes the jobs of the lane.
func (l *lane) served() bool {
	for _, o := range l.offers {
		for _, w := range o.kind.workers {
			if !w.retiring && !slices.Contains(l.waited, w) {
				return true
			}
		}
	}
	return false
}

// servable returns nil if a worker takes the jobs of a lane, or may turn out to do so: an instance
// that is to become ready, be it for the first time or again, may register whatever it likes.
func (b *broker) servable(key laneKey, waited []*taskWorker) error {
	if l := b.lanes[key]; l != nil && l.served() {
		return nil
	}
	circle, gone := false, error(nil)
	for _, p := range b.pools {
		if !slices.Contains(p.cfg.Queues, key.queue) {
			continue
		}
		for _, s := range p.list() {
			w, took := s.worker, s.kind == nil || s.kind.takes(key.queue, key.typ)
			if w == nil {
				err := s.whyGone()
				if err == nil {
					return nil
				}
				if took {
					gone = err
				}
				continue
			}
			switch waits := slices.Contains(waited, w); {
			case waits: // if it is to be replaced, then not before the job has its outcome
				circle = circle || took
			case w.retiring && !s.leaving.Load(), !w.retiring && took:
				return nil
			}
		}
	}
	switch {
	case circle:
		return callCycle(key.typ, waited)
	case gone != nil:
		return &NoWorkerError{Type: key.typ, Err: gone}
	}
	return &UnknownTypeError{Verb: "task", Type: key.typ, Queue: key.queue, Known: b.knownTypes(key.queue)}
}

// callCycle is the outcome of a task that only workers take that wait for it.
func callCycle(typ string, waited []*taskWorker) error {
	var names []string
	for _, w := range waited {
		names = append(names, w.peer.slot.name)
	}
	text := fmt.Sprintf("multiprolab: task %q would wait for itself: every worker that takes it waits for its "+
		"outcome (%s): have more workers, or submit it without waiting", typ, strings.Join(names, ", "))
	return &sentinelError{text, ErrCallCycle}
}

// knownTypes returns the types of tasks that workers take, or took, from a queue, in order.
func (b *broker) knownTypes(queue string) []string {
	var known []string
	for _, p := range b.pools {
		for _, s := range p.list() {
			if s.kind != nil && slices.Contains(p.cfg.Queues, queue) {
				known = append(append(known, s.kind.handles...), s.kind.pulls...)
			}
		}
	}
	slices.Sort(known)
	return slices.Compact(known)
}

// takers returns how many workers of a pool take tasks of a type, or may turn out to do so, and
// whether one of them asks for them with GetTask.
func (b *broker) takers(p *pool, typ string) (n int, ask bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range p.list() {
		takes := s.worker == nil && s.alive()
		if s.worker != nil {
			var place int
			place, takes = s.kind.types[typ]
			ask = ask || takes && place != given
		}
		if takes {
			n++
		}
	}
	return n, ask
}

// heldBy finds a job that a worker speaks of, and has: nothing but the worker's own word, or its
// death, takes a job from it.
func (b *broker) heldBy(p *peer, id uint64, did string) (*job, error) {
	if p.tasks == nil {
		return nil, lie("it %s a task before it was ready", did)
	}
	j := p.tasks.held[id]
	if j == nil {
		return nil, lie("it %s a task (id %d) that it does not have", did, id)
	}
	return j, nil
}

// started notes that a worker has begun with a task.
func (b *broker) started(p *peer, id uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.heldBy(p, id, "started")
	if err != nil {
		return err
	}
	if j.state != assigned {
		return lie("it started %v twice", j)
	}
	b.start(j)
	b.watchBatch(j)
	return nil
}

// recovered notes that a worker that is gone had begun with a task, as its black box says. What it
// says of a task that has ended meanwhile, or of which main knows already, is no news.
func (b *broker) recovered(p *peer, id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.tasks == nil {
		return
	}
	if j := p.tasks.held[id]; j != nil && j.state == assigned {
		b.start(j)
	}
}

// result takes the outcome of an attempt from its worker.
func (b *broker) result(p *peer, id uint64, r *reply, batch bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.heldBy(p, id, "ended")
	if err != nil {
		return err
	}
	if err := j.lies(r, batch); err != nil {
		if j.state == assigned { // it has begun all the same: the death that follows costs the task this attempt
			b.start(j)
		}
		return err
	}
	if batch {
		r.vouch = p.vouchError
	}
	w := j.holder
	if w.doomed && j.condemned != nil {
		return nil // too late: the worker is being killed for it, and the death is how the attempt ends
	}
	if j.state == running {
		if took := b.clock.now() - j.began; w.took == 0 {
			w.took = took
		} else {
			w.took += (took - w.took) / 8
		}
	}
	if j.condemned != nil {
		r = &reply{err: j.condemned}
	} else if r.late && j.state == running && j.meta.Timeout > 0 { // the clock of the worker was before the one of main
		r = &reply{err: j.timedOut()}
	}
	w.done += j.size()
	if most := p.slot.pool.cfg.MaxTasks; most > 0 && w.done >= most {
		w.retiring = true
	}
	w.batches = j.batch > 1
	b.conclude(j, r)
	return nil
}

// lies returns why an outcome of the job cannot come from an honest worker, or nil. A worker
// answers the cancellation of a job that it has not begun with ErrCancelled, without a Start.
func (j *job) lies(r *reply, many bool) error {
	if j.state != running && !(j.condemned != nil && errors.Is(r.err, ErrCancelled)) {
		return lie("it ended %v, which it had not begun", j)
	}
	if r.err != nil {
		return nil
	}
	if many != (j.batch > 0) {
		return lie("%v is a batch, or it is none, and its result is not", j)
	}
	if !many {
		return nil
	}
	switch n, wellFormed := batch.Count(r.payload.Data); {
	case !wellFormed:
		return lie("the result of %v, which is %d tasks, is garbled or has no outcome", j, j.batch)
	case n > j.batch:
		return lie("the result of %v, which is %d tasks, has %d outcomes", j, j.batch, n)
	}
	return nil
}

// progress passes news of a running job on to its submitter. What comes when the job has ended, or
// waits for another attempt, is dropped: the handler may have left a goroutine behind. News that
// cannot be sent change nothing about the task, which goes on: they are a dead letter.
// They hold n bytes of the credit of the worker as long as they wait for who waits for the outcome.
func (b *broker) progress(p *peer, f *wire.Frame, n int64) error {
	news := &Message{Sender: p.slot.name, Receiver: MainName, Type: f.Type, payload: payloadOf(f), size: n,
		left: p.client.leave, scope: scope{node: b.node}}
	by, err := b.submitterOf(p, f.ID)
	switch {
	case err != nil:
		return err
	case by == nil: // nobody waits, nor will
	case by.submission != nil:
		by.submission.addProgress(news)
		return nil
	default:
		f.ID, f.From = by.id, p.slot.name
		if err := by.client.pass(f); err != nil {
			p.slot.main.emit(&DeadLetter{Sender: f.From, Receiver: by.client.name(), Type: f.Type, Size: len(f.Body),
				Reason: err.Error()})
		}
	}
	news.leaveInbox()
	return nil
}

// submitter is who has submitted a task: a submission in main, or one of a worker, by its number
// there.
type submitter struct {
	submission *Submission
	client     *client
	id         uint64
}

// submitterOf returns who has submitted a task that the worker runs, or nil if there is none. It
// returns an error if the worker cannot be honest.
func (b *broker) submitterOf(p *peer, id uint64) (*submitter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.tasks == nil {
		return nil, lie("it reported on a task before it was ready")
	}
	j := p.tasks.held[id]
	if j == nil || j.state != running {
		return nil, nil
	}
	if j.submitter != nil {
		return &submitter{client: j.submitter, id: j.submitterID}, nil
	}
	if s := b.node.submission(j.submitterID, false); s != nil {
		return &submitter{submission: s}, nil
	}
	return nil, nil
}

// pause stops handing out the tasks of a queue or, with "", of every queue, or goes on with it.
func (b *broker) pause(queue string, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case on:
		b.paused[queue] = true
	case queue == "":
		clear(b.paused)
	default:
		delete(b.paused, queue)
	}
	for _, l := range b.lanes {
		if is := b.isPaused(l.queue); is != l.paused {
			l.paused = is
			l.changed()
		}
	}
	if !on {
		for _, w := range b.workers {
			b.wake(w)
		}
		return
	}
	for _, w := range b.workers {
		for _, j := range slices.SortedFunc(maps.Values(w.held), byAge) {
			if j.state == assigned && !j.recalled && j.lane.paused {
				b.recall(j)
			}
		}
	}
}

func (b *broker) isPaused(queue string) bool { return b.paused[""] || b.paused[queue] }

// stop refuses new tasks with err. Unless drain is set, those that no worker has end with err as
// well.
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
	for _, j := range b.unheld(func(*job) bool { return true }) {
		b.finish(j, &reply{err: err})
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
	for _, j := range slices.SortedFunc(maps.Values(b.jobs), byAge) {
		b.finish(j, &reply{err: b.stopped})
	}
	b.agenda.drop(&b.lookout)
	b.clock.stop()
	b.mu.Unlock()
	if b.store != nil {
		b.store.close()
	}
}

func (b *broker) count() TaskStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats
}
