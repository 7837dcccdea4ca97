package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// defaultGrace is the default of TaskOptions.Grace.
const defaultGrace = time.Second

// maxFetches is how many calls of GetTask of one worker may wait at a time.
const maxFetches = 1024

type jobState int

const (
	blocked  jobState = iota // waits for room in the queue
	queued                   // waits for a worker
	assigned                 // sent to a worker
	running                  // the worker has said that it began
	ended
)

// job is a task as main sees it: from its submission to its one outcome. The broker's mutex guards it.
type job struct {
	id          uint64 // in order of submission
	typ         string
	payload     codec.Payload
	meta        taskMeta
	submitter   *peer // nil for main
	submitterID uint64
	cost        int64         // what it holds of its submitter's credit while it is blocked
	admitted    chan struct{} // closed when it is queued or has ended; only for a submitter in main
	state       jobState
	holder      *taskWorker
	condemned   error // the outcome that is certain, while its handler still runs
	timer       *time.Timer
}

func (j *job) String() string { return fmt.Sprintf("task %q (id %d)", j.typ, j.id) }

// taskWorker is what the broker knows of one life of a worker.
type taskWorker struct {
	peer    *peer
	handles []string
	window  int // tasks it may hold
	held    map[uint64]*job
	fetches []fetch
	gone    bool
	suspect int // held jobs that are condemned: it may be killed soon, and gets nothing new
}

func (w *taskWorker) hasRoom() bool { return !w.gone && w.suspect == 0 && len(w.held) < w.window }

// fetch is a GetTask that waits.
type fetch struct {
	id    uint64
	types []string
}

// broker owns the task queue. It exists in main. Every task has one outcome, and finish is the only place that gives it. Any goroutine
// may call it; nothing under its mutex waits.
type broker struct {
	node  *node
	limit int

	mu      sync.Mutex
	lastID  uint64
	jobs    map[submissionKey]*job // that have not ended
	lanes   map[string]*queue[*job]
	waiting int // jobs in state queued
	blocked queue[*job]
	workers []*taskWorker
	pools   []*pool
	stats   TaskStats
	stopped error // why no new task is taken
	halted  bool  // no queued task is handed out either
	joiners []chan struct{}
}

type submissionKey struct {
	submitter *peer
	id        uint64
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

func newBroker(n *node, limit int) *broker {
	return &broker{node: n, limit: limit, jobs: map[submissionKey]*job{}, lanes: map[string]*queue[*job]{}}
}

// submit takes a task. It returns an error if it was not accepted; else the outcome will come.
func (b *broker) submit(j *job, wait bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped != nil {
		return b.stopped
	}
	if err := b.servable(j.typ); err != nil {
		return err
	}
	full := b.waiting >= b.limit || b.blocked.len() > 0
	if full && !wait {
		return &sentinelError{fmt.Sprintf("multiprolab: task %q was not taken: the queue holds %d tasks already (Config.QueueLimit)", j.typ, b.waiting), ErrQueueFull}
	}
	b.lastID++
	j.id = b.lastID
	b.jobs[submissionKey{j.submitter, j.submitterID}] = j
	b.stats.Received++
	if full {
		b.blocked.push(j)
		return nil
	}
	b.admit(j)
	return nil
}

// admit puts a job into its lane, or hands it to a worker that is free.
func (b *broker) admit(j *job) {
	if j.admitted != nil {
		close(j.admitted)
	}
	if j.submitter != nil {
		if j.state == blocked {
			j.submitter.grant(j.cost, 1)
		}
		_ = j.submitter.link.post(&wire.Frame{Kind: wire.Accepted, ID: j.submitterID})
	}
	b.enqueue(j, false)
}

// enqueue puts a job into its lane: at the end, or, if a worker gave it back, at the front.
func (b *broker) enqueue(j *job, front bool) {
	j.state, j.holder = queued, nil
	b.waiting++
	lane := b.lanes[j.typ]
	if lane == nil {
		lane = &queue[*job]{}
		b.lanes[j.typ] = lane
	}
	if front {
		lane.pushFront(j)
	} else {
		lane.push(j)
	}
	if front || lane.len() == 1 { // else those before it wait for the same workers
		b.place(j.typ)
	}
}

// place hands queued jobs of a type to the workers that have room, those with the fewest first.
func (b *broker) place(typ string) {
	for !b.halted && b.first(typ) != nil {
		var best *taskWorker
		bestFetch := -1
		for _, w := range b.workers {
			if w.gone || w.suspect > 0 {
				continue
			}
			if i := slices.IndexFunc(w.fetches, func(f fetch) bool { return slices.Contains(f.types, typ) }); i >= 0 {
				best, bestFetch = w, i
				break
			}
			if w.hasRoom() && slices.Contains(w.handles, typ) && (best == nil || len(w.held) < len(best.held)) {
				best = w
			}
		}
		if best == nil {
			return
		}
		var fetchID string
		if bestFetch >= 0 {
			fetchID = strconv.FormatUint(best.fetches[bestFetch].id, 10)
			best.fetches = slices.Delete(best.fetches, bestFetch, bestFetch+1)
		}
		b.assign(typ, best, fetchID)
	}
}

// feed hands a worker that has room the oldest jobs that it handles.
func (b *broker) feed(w *taskWorker) {
	for !b.halted && w.hasRoom() {
		typ, ok := b.oldest(w.handles)
		if !ok {
			return
		}
		b.assign(typ, w, "")
	}
}

// answerFetch hands a worker a task that it waits for in GetTask, and reports whether there was one: it got none while it was suspect.
func (b *broker) answerFetch(w *taskWorker) bool {
	if b.halted || w.gone || w.suspect > 0 {
		return false
	}
	for i, f := range w.fetches {
		if typ, ok := b.oldest(f.types); ok {
			w.fetches = slices.Delete(w.fetches, i, i+1)
			b.assign(typ, w, strconv.FormatUint(f.id, 10))
			return true
		}
	}
	return false
}

// oldest returns the type, of those given, whose first queued job is the oldest.
func (b *broker) oldest(types []string) (typ string, ok bool) {
	var best *job
	for _, t := range types {
		if j := b.first(t); j != nil && (best == nil || j.id < best.id) {
			best = j
		}
	}
	if best == nil {
		return "", false
	}
	return best.typ, true
}

// first returns the first queued job of a type, and drops those before it that ended where they were.
func (b *broker) first(typ string) *job {
	lane := b.lanes[typ]
	if lane == nil {
		return nil
	}
	for lane.len() > 0 {
		if j := lane.items[lane.head]; j.state == queued {
			return j
		}
		lane.pop()
	}
	return nil
}

// assign sends the first job of a type to a worker.
func (b *broker) assign(typ string, w *taskWorker, fetchID string) {
	j, _ := b.lanes[typ].pop()
	b.waiting--
	j.state, j.holder = assigned, w
	w.held[j.id] = j
	meta := j.meta
	meta.Attempt++
	from := MainName
	if j.submitter != nil {
		from = j.submitter.slot.name
	}
	f := &wire.Frame{Kind: wire.Task, ID: j.id, To: fetchID, From: from, Type: j.typ,
		Meta: taskMeta{Attempt: meta.Attempt, Attempts: meta.Attempts, Chain: meta.Chain}.marshal()}
	setPayload(f, j.payload)
	_ = w.peer.link.post(f) // it fails only when the worker is gone: leave gives the job to another
	b.unblock()
}

// unblock lets submissions that wait for room into the queue.
func (b *broker) unblock() {
	for !b.halted && b.waiting < b.limit {
		j, ok := b.blocked.pop()
		if !ok {
			return
		}
		if j.state == blocked {
			b.admit(j)
		}
	}
}

// finish gives a job its outcome.
func (b *broker) finish(j *job, r *reply) {
	if j.state == ended {
		return
	}
	switch {
	case r.err == nil:
		b.stats.Succeeded++
	case errors.Is(r.err, ErrCancelled), errors.Is(r.err, ErrStopped):
		b.stats.Cancelled++
	default:
		b.stats.Failed++
	}
	if j.state == queued {
		b.waiting--
	}
	if j.state == blocked {
		if j.admitted != nil {
			close(j.admitted)
		}
		if j.submitter != nil {
			j.submitter.grant(j.cost, 1)
		}
	}
	j.state = ended
	if j.timer != nil {
		j.timer.Stop()
	}
	delete(b.jobs, submissionKey{j.submitter, j.submitterID})
	w := j.holder
	if w != nil {
		delete(w.held, j.id)
		if j.condemned != nil {
			w.suspect--
		}
		for b.answerFetch(w) {
		}
	}
	if j.submitter == nil {
		b.node.resolve(j.submitterID, r)
	} else {
		_ = j.submitter.link.post(replyFrame(wire.Result, j.submitterID, r)) // if it is gone, nobody waits
	}
	if w != nil {
		b.feed(w)
	}
	b.unblock()
	if len(b.jobs) == 0 {
		for _, done := range b.joiners {
			close(done)
		}
		b.joiners = nil
	}
}

// enter makes a worker known that has become ready.
func (b *broker) enter(p *peer, r *readiness, prefetch int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.tasks = &taskWorker{peer: p, handles: r.Tasks, window: 1 + prefetch, held: map[uint64]*job{}}
	b.workers = append(b.workers, p.tasks)
	b.feed(p.tasks)
	b.failUnservable()
}

// leave takes a worker away that has ended. What it held and had not started goes back to the front of the queue; what it had started
// has used up an attempt. died is nil if it said goodbye.
func (b *broker) leave(p *peer, died *WorkerDiedError) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := p.tasks
	if w == nil || w.gone {
		return
	}
	w.gone = true
	b.workers = slices.DeleteFunc(b.workers, func(o *taskWorker) bool { return o == w })
	held := make([]*job, 0, len(w.held))
	for _, j := range w.held {
		held = append(held, j)
	}
	slices.SortFunc(held, func(x, y *job) int { return int(y.id) - int(x.id) }) // so that the oldest ends up at the front
	for _, j := range held {
		delete(w.held, j.id)
		j.holder = nil
		if j.timer != nil {
			j.timer.Stop()
		}
		started := j.state == running
		if started {
			j.meta.Attempt++
		}
		var timeout *TimeoutError
		switch {
		case errors.As(j.condemned, &timeout) && died != nil:
			timeout.Killed, timeout.Stderr = true, died.Stderr
			b.finish(j, &reply{err: timeout})
		case j.condemned != nil:
			b.finish(j, &reply{err: j.condemned})
		case started && j.meta.Attempt >= max(1, j.meta.Attempts):
			b.finish(j, &reply{err: diedDuring(died, p, j)})
		case b.halted:
			b.finish(j, &reply{err: b.stopped})
		default:
			b.enqueue(j, true)
		}
	}
}

// diedDuring says which job a death cost, in a copy: each job has its own.
func diedDuring(died *WorkerDiedError, p *peer, j *job) error {
	if died == nil {
		return &WorkerDiedError{Worker: p.slot.name, PID: p.pid(), Life: p.life, During: j.String(),
			Reason: "it ended without an outcome for the task: end each task from GetTask with Done or Fail"}
	}
	d := *died
	d.During = fmt.Sprintf("task %q (attempt %d of %d)", j.typ, j.meta.Attempt, max(1, j.meta.Attempts))
	return &d
}

// reconsider is called when an instance has ended for good, or one has become ready: queued jobs that nobody will ever take fail.
func (b *broker) reconsider() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failUnservable()
}

func (b *broker) failUnservable() {
	for typ := range b.lanes {
		for j := b.first(typ); j != nil; j = b.first(typ) {
			err := b.servable(typ)
			if err == nil {
				break
			}
			b.finish(j, &reply{err: err})
		}
	}
}

// servable returns nil if a worker takes the type, or may turn out to do so once it is ready.
func (b *broker) servable(typ string) error {
	var known []string
	var gone error
	for _, p := range b.pools {
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
	return &UnknownTypeError{Verb: "task", Type: typ, Known: slices.Compact(known)}
}

// started notes that a worker has begun with a task; its time runs from now on.
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
	j.state = running
	if j.condemned != nil {
		b.allowGrace(j) // its cancellation came too late to keep it from starting
	} else if j.meta.Timeout > 0 {
		j.timer = time.AfterFunc(j.meta.Timeout, func() { b.expire(j, p) })
	}
	return nil
}

// heldBy finds a job that a worker speaks of.
func (b *broker) heldBy(p *peer, id uint64) (*job, error) {
	if p.tasks == nil {
		return nil, &wireViolation{"it spoke of a task before it was ready"}
	}
	return p.tasks.held[id], nil // one that it does not hold has ended: what comes late is dropped
}

// expire ends the time of a running job: its context is cancelled, and after the grace its worker killed.
func (b *broker) expire(j *job, p *peer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j.state != running || j.holder != p.tasks {
		return
	}
	b.condemn(j, &TimeoutError{Worker: p.slot.name, PID: p.pid(), Type: j.typ, Timeout: j.meta.Timeout}, wire.FlagSoft)
}

// condemn cancels a job on its worker; its outcome is certain now.
func (b *broker) condemn(j *job, outcome error, flags wire.Flags) {
	if j.condemned != nil {
		return
	}
	p := j.holder.peer
	j.condemned = outcome
	j.holder.suspect++
	_ = p.link.post(&wire.Frame{Kind: wire.Cancel, Type: "task", ID: j.id, Flags: flags})
	if j.timer != nil {
		j.timer.Stop()
	}
	if j.state == running { // else the worker drops it, whatever else it does
		b.allowGrace(j)
	}
}

// allowGrace gives a condemned job, which runs, the time to end by itself.
func (b *broker) allowGrace(j *job) {
	p := j.holder.peer
	grace := j.meta.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	j.timer = time.AfterFunc(grace, func() {
		b.mu.Lock()
		stuck := j.state != ended && j.holder == p.tasks
		b.mu.Unlock()
		if stuck {
			p.kill(fmt.Sprintf("%v did not return within the grace of %v: %s", j, grace, strings.TrimPrefix(j.condemned.Error(), "multiprolab: ")))
		}
	})
}

// cancel cancels a job for its submitter.
func (b *broker) cancel(submitter *peer, id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.jobs[submissionKey{submitter, id}]
	switch {
	case j == nil:
	case j.holder == nil:
		b.finish(j, &reply{err: ErrCancelled})
	default:
		b.condemn(j, ErrCancelled, 0)
	}
}

// result takes the outcome of a job from its worker.
func (b *broker) result(p *peer, id uint64, r *reply) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	j, err := b.heldBy(p, id)
	if j == nil {
		return err
	}
	if j.condemned != nil {
		r = &reply{err: j.condemned}
	}
	b.finish(j, r)
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
		s.addProgress(&Message{Sender: p.slot.name, Receiver: MainName, Type: f.Type, payload: payloadOf(f), codec: b.node.codec})
	}
	return nil
}

// fetch answers a GetTask: at once if it can or must, else when a task comes.
func (b *broker) fetch(p *peer, id uint64, types []string, wait bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.tasks == nil {
		return &wireViolation{"it asked for a task before it was ready"}
	}
	if typ, ok := b.oldest(types); ok && !b.halted && p.tasks.suspect == 0 {
		b.assign(typ, p.tasks, strconv.FormatUint(id, 10))
		return nil
	}
	if len(p.tasks.fetches) >= maxFetches {
		return &wireViolation{fmt.Sprintf("it asked for more than %d tasks at a time", maxFetches)}
	}
	if wait && !b.halted {
		p.tasks.fetches = append(p.tasks.fetches, fetch{id, types})
		return nil
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
		if j.state == queued || j.state == blocked {
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
	defer b.mu.Unlock()
	b.stopped, b.halted = err, true
	for _, j := range b.jobs {
		b.finish(j, &reply{err: err})
	}
}

// heldAt returns the number of tasks that an instance holds.
func (b *broker) heldAt(s *slot) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, w := range b.workers {
		if w.peer.slot == s {
			n += len(w.held)
		}
	}
	return n
}

func (b *broker) count() TaskStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	for _, j := range b.jobs {
		if j.state == running {
			s.Running++
		} else {
			s.Queued++
		}
	}
	return s
}

// mainSubmit is the uplink's submit for tasks of main itself: it waits while the queue is full.
func (b *broker) mainSubmit(ctx context.Context, s *Submission, f *wire.Frame, o *TaskOptions) error {
	if o != nil {
		s.progress = o.OnProgress
	}
	meta, err := unmarshalTaskMeta(f.Meta)
	if err != nil {
		return err
	}
	j := &job{typ: f.Type, payload: payloadOf(f), meta: meta, submitterID: s.id, admitted: make(chan struct{})}
	if err := b.submit(j, f.Flags&wire.FlagWait != 0); err != nil {
		return err
	}
	defer stall(ctx)()
	select {
	case <-j.admitted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if j.state != blocked {
		return nil // it was admitted in the same moment
	}
	b.finish(j, &reply{err: ErrCancelled})
	return fmt.Errorf("multiprolab: task %q waited for room in the queue: %w", f.Type, context.Cause(ctx))
}
