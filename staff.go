package multiprolab

import (
	"bytes"
	"strings"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the part of the broker, in main, that knows the workers and hears what they say of
// tasks: that they begin with a task, end it, give it back, or ask for one. A worker is not
// trusted: if it says what no honest worker says, that is an error, which ends the worker.

// addPool makes a pool and its instances known to the rules. The caller holds the mutex.
func (b *broker) addPool(p *pool) {
	b.staff.pools = append(b.staff.pools, p)
	o := queue.PoolOptions{Queues: p.cfg.Queues, Prefetch: p.cfg.Prefetch, MaxTasks: p.cfg.MaxTasks}
	o.Seed = queue.Seed(p.name)
	b.rules.AddPool(b.staff.poolNumber(p), o)
	b.addSlots(p, p.list())
}

// addSlots makes new instances of a pool known to the rules. The caller holds the mutex.
func (b *broker) addSlots(p *pool, added []*slot) {
	number := b.staff.poolNumber(p)
	for _, s := range added {
		b.staff.last.slot++
		s.number = b.staff.last.slot
		b.staff.slots[s.number] = s
		b.rules.AddSlot(s.number, number)
	}
}

// resize makes the new instances of a pool known, and takes away those that the pool has no more.
// Before open it does nothing, because open makes all instances known.
func (b *broker) resize(p *pool, added, removed []*slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.staff.poolNumber(p) == 0 {
		return
	}
	b.addSlots(p, added)
	for _, s := range removed {
		b.rules.Remove(s.number)
		b.mu.carryOut()
		if s.gone.Load() != nil { // otherwise bury forgets it
			delete(b.staff.slots, s.number)
		}
	}
}

// bury notes that there will be no further life of an instance, and why.
func (b *broker) bury(s *slot, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules.Gone(s.number, why)
	b.mu.carryOut()
	if !s.pool.has(s) {
		delete(b.staff.slots, s.number)
	}
}

// enter makes a worker known that has become ready.
func (b *broker) enter(p *peer, r *readiness) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.left { // it was given up before this was read
		return link.ErrClosed
	}
	s := &b.staff
	s.last.worker++
	p.worker = s.last.worker
	s.peers[p.worker] = p
	if lies := b.rules.Enter(p.worker, p.slot().number, r.Tasks, r.Pulls); lies.Told() {
		delete(s.peers, p.worker)
		p.worker = 0
		return accuse(lies, "takes")
	}
	return nil
}

// enterFrom is enter for a spare that has got its place. It was the spare of the slot from.
func (b *broker) enterFrom(p *peer, from *slot) error {
	b.mu.Mutex.Lock()
	if b.loops.clients[from.name] == p.client {
		delete(b.loops.clients, from.name)
		b.loops.clients[p.slot().name] = p.client
	}
	b.mu.Mutex.Unlock()
	return b.enter(p, p.readiness)
}

// leave takes a worker away that has ended. The tasks that it had not begun go back to the front of
// the queue; an attempt that it had begun has failed. how is nil if the worker has said goodbye.
// leave reports whether the worker was working on a task.
func (b *broker) leave(p *peer, how error) (blamed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.left = true
	if b.staff.peers[p.worker] != p {
		return false
	}
	end := &death{peer: p, how: how}
	d := queue.Death{Unfinished: queue.ID(p.unfinished), Cause: end}
	if t, _ := b.rules.Running(p.worker, d.Unfinished); t != nil && t.Items > 0 {
		// The items that it had finished have their outcomes.
		o := batch.OutcomesOf(p.outcomes, int(t.Items))
		end.outcomes, d.Items = o.Body, tallyOf(&o)
	}
	blamed = b.rules.Leave(p.worker, d, b.now())
	b.mu.carryOut() // while staff still knows the worker
	delete(b.staff.peers, p.worker)
	p.holds.Store(0)
	return blamed
}

// worked reports whether a worker that has not left has ended an attempt at a task.
func (b *broker) worked(p *peer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rules.Worked(p.worker)
}

// retire gives a worker nothing new; the tasks that it has not begun go to others. When it holds no
// task any more, the rules of lives replace it. retire reports false if the worker cannot be
// retired, because it is not ready or has ended.
func (b *broker) retire(p *peer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.staff.peers[p.worker] != p {
		return false
	}
	if p.slot().leaving.Load() {
		b.rules.Last(p.slot().number)
	}
	return b.rules.Retire(p.worker)
}

// takers returns how many workers of a pool take tasks of a type, or may turn out to take them, and
// whether one of them gets them with TaskQueue.Get.
func (b *broker) takers(p *pool, typ string) (n int, ask bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rules.Takers(b.staff.poolNumber(p), typ)
}

// started notes that a worker has begun with a task.
func (b *broker) started(p *peer, id uint64) error {
	now := b.now() // before Lock, so that the mutex is held for a shorter time
	b.mu.Lock()
	defer b.mu.Unlock()
	return accuse(b.rules.Began(p.worker, queue.ID(id), now), "started")
}

// recovered notes that a worker that has ended had begun with a task, as its black box says. If the
// task has ended meanwhile, or main knew that it had begun, nothing changes.
func (b *broker) recovered(p *peer, id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules.Recovered(p.worker, queue.ID(id), b.now())
}

// result takes the outcome of an attempt at a task, or at a batch if many is set, from its worker.
func (b *broker) result(p *peer, id uint64, r *reply, many bool) error {
	v := verdictOf(r, many)
	if many {
		r.vouch = p.vouchError
	}
	now := b.now() // before Lock, so that the mutex is held for a shorter time
	b.mu.Lock()
	defer b.mu.Unlock()
	return accuse(b.rules.Ended(p.worker, queue.ID(id), v, now), "ended")
}

// returned takes back a task that was recalled from its worker.
func (b *broker) returned(p *peer, id uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	lies := b.rules.Returned(p.worker, queue.ID(id))
	b.mu.carryOut()
	p.holds.Store(int32(b.rules.Held(p.worker)))
	return accuse(lies, "gave back")
}

// split takes back the items of a batch from this index on, which the worker has not begun.
func (b *broker) split(p *peer, id uint64, from uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	lies := b.rules.Split(p.worker, queue.ID(id), from)
	if lies.Kind == queue.NotRecalled {
		return lie("it split %s, which it was not asked to", taskText(lies.Task))
	}
	return accuse(lies, "split")
}

// fetch answers a TaskQueue.Get of a worker: at once if there is a task, or if the worker does not
// want to wait; otherwise when a task comes.
func (b *broker) fetch(p *peer, id uint64, types string, wait bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	lies := b.rules.Fetch(p.worker, queue.FetchID(id), strings.SplitSeq(types, ","), wait)
	if lies.Kind == queue.AskedForMany {
		n := strings.Count(types, ",") + 1
		return lie("it asked for a task of one of %d types, and has declared %d in PullTasks", n, lies.N-1)
	}
	return accuse(lies, "asked for")
}

// cancelFetch takes a waiting TaskQueue.Get back. If a task was sent meanwhile, that is the answer,
// and nothing is left to be cancelled.
func (b *broker) cancelFetch(p *peer, id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules.CancelFetch(p.worker, queue.FetchID(id))
}

// checkpointed keeps a checkpoint of a worker.
func (b *broker) checkpointed(p *peer, f *wire.Frame) error {
	if len(f.Body) > MaxCheckpoint {
		return lie("the checkpoint of a task has %d bytes, and %d are allowed", len(f.Body), MaxCheckpoint)
	}
	saved := link.Body(f)
	saved.Data, saved.Lent = bytes.Clone(f.Body), false // f may share its memory with others, and would keep it
	b.mu.Lock()
	defer b.mu.Unlock()
	t, lies := b.rules.Checkpoint(p.worker, queue.ID(f.ID), len(f.Body))
	if t != nil {
		j := jobOf(t)
		j.history().checkpoint = &saved
		if lease := j.Lease(); lease != nil {
			lease.Checkpoint(b.node.codec.Pack(saved))
		}
	}
	return accuse(lies, "saved a checkpoint of")
}

// progress passes news of a running job on to its submitter. What comes when the job has ended, or
// waits for another attempt, is dropped: the handler may have left a goroutine behind. News that
// cannot be sent change nothing about the task, which goes on: they are a dead letter.
// They hold n bytes of the credit of the worker as long as they wait for who waits for the outcome.
func (b *broker) progress(p *peer, f *wire.Frame, n int64) error {
	news := &Message{Sender: p.slot().name, Receiver: MainName, Type: f.Type, payload: link.Body(f),
		left: p.client.leave, scope: scope{stage: &b.node.stage}}
	news.size.Store(n)
	by, err := b.submitterOf(p, f.ID)
	switch {
	case err != nil:
		return err
	case by == nil: // nobody waits for the outcome
	case by.stream != (f.Flags&wire.FlagStream != 0): // reports are no pieces, and pieces no reports
	case by.submission != nil:
		news.attempt = int32(by.attempt)
		by.submission.addProgress(news)
		return nil
	default:
		f.ID, f.From = by.id, p.slot().name
		if by.stream {
			f.Meta = meta.MarshalAttempt(by.attempt)
			if by.client.streams.Hold(by.id, p.client, n) {
				news.left = nil
			}
		}
		if err := by.client.pass(f); err != nil {
			p.slot().desk.emit(&DeadLetter{Sender: f.From, Receiver: by.client.name(), Type: f.Type, Size: len(f.Body),
				Reason: err.Error()})
			if by.stream { // it would go on without this piece
				by.client.streams.Took(by.id)
				b.cancel(by.client, by.id, false)
			}
		}
	}
	news.leaveInbox()
	return nil
}

// submitter is who has submitted a task: a submission of main, or a life of a worker. It exists in
// main, and never changes.
type submitter struct {
	// submission is the submission of main, or nil.
	submission *submission
	// client is the life of the worker, or nil.
	client *client
	// id is the number that the worker has given the task.
	id uint64
	// attempt is the number of the run, see job.run.
	attempt int
	// stream says that the submitter takes the outcome in pieces.
	stream bool
}

// submitterOf returns who has submitted a task that a worker runs, or nil if nobody waits for its
// outcome. It returns an error if no honest worker would ask.
func (b *broker) submitterOf(p *peer, id uint64) (*submitter, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, lies := b.rules.Running(p.worker, queue.ID(id))
	switch {
	case lies.Told():
		return nil, accuse(lies, "reported on")
	case t == nil:
		return nil, nil
	}
	switch j := jobOf(t); {
	case j.client != nil:
		return &submitter{client: j.client, id: j.Number, attempt: j.run(), stream: j.stream}, nil
	case j.sub != nil:
		return &submitter{submission: j.sub, attempt: j.run(), stream: j.sub.streams}, nil
	}
	return nil, nil
}
