package multiprolab

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how the broker, in main, carries out what the rules of tasks say. All of it runs
// under the broker's mutex, and nothing in it waits.

// maxSpare is the largest number of effects whose memory is kept for later events.
const maxSpare = 1 << 10

// carryOut carries out the effects of the events since the last call, in their order, and then
// those that follow from that, until there are none. The caller holds the mutex.
func (b *broker) carryOut() {
	for {
		effects := b.rules.Effects(b.spare)
		b.spare = effects
		if len(effects) == 0 {
			return
		}
		for i := range effects {
			b.carry(&effects[i])
		}
		if cap(effects) > maxSpare {
			b.spare = nil
		}
	}
}

// carry carries out one effect.
func (b *broker) carry(e *queue.Effect) {
	switch e.Kind {
	case queue.Admitted:
		b.accept(jobOf(e.Task))
	case queue.Assign:
		b.assign(e)
	case queue.Recall:
		b.tell(e.Worker, &wire.Frame{Kind: wire.Recall, ID: uint64(e.Task.ID())})
	case queue.Cancel:
		f := &wire.Frame{Kind: wire.Cancel, Type: "task", ID: uint64(e.Task.ID()), Flags: wire.Softly(e.Soft)}
		b.tell(e.Worker, f)
	case queue.NoTask:
		b.tell(e.Worker, &wire.Frame{Kind: wire.NoTask, ID: e.N})
	case queue.Dump, queue.Kill, queue.Retired:
		b.lead(e)
	case queue.Shrunk:
		if s := jobOf(e.Task).sub; s != nil && s.split != nil {
			s.split(int(e.N))
		}
	case queue.Again:
		b.again(jobOf(e.Task), e)
	case queue.Outcome:
		b.giveOutcome(jobOf(e.Task), e)
	case queue.Store:
		j := jobOf(e.Task)
		b.giveBack(j)
		b.store.Put(&j.Entry, backend.Task{Body: b.node.codec.Pack(j.payload), Options: j.stored()}, e.After)
	case queue.EndLease:
		b.endLease(jobOf(e.Task), e)
	case queue.Draw:
		b.store.Draw(*e.Lane, int(e.N))
	case queue.DrawLess:
		b.store.DrawLess(*e.Lane, int(e.N))
	case queue.DrawNoMore:
		b.store.DrawNoMore(*e.Lane)
	case queue.Try:
		b.store.Try(*e.Lane, e.Worker, queue.FetchID(e.N))
	case queue.Wake:
		if e.At == 0 || b.wake(e.At) {
			b.rules.Tick(b.now())
		}
	case queue.Token:
		b.refill(e)
	case queue.Takers:
		b.breakCircles()
	case queue.Idle:
		for _, done := range b.joiners {
			close(done)
		}
		b.joiners = nil
	}
}

// tell sends a worker a frame for which no room is needed.
func (b *broker) tell(w queue.Worker, f *wire.Frame) {
	if p := b.staff.peers[w]; p != nil {
		p.link.Tell(link.Soon, f)
	}
}

// lead carries out an effect that brings a worker nearer to its end: it asks for stacks, has the
// worker killed with its task, or says that a retired worker holds no task.
func (b *broker) lead(e *queue.Effect) {
	p := b.staff.peers[e.Worker]
	switch {
	case p == nil:
	case e.Kind == queue.Dump:
		p.askStacks()
	case e.Kind == queue.Retired:
		goroutine.Wake(p.retired)
	default:
		j := jobOf(e.Task)
		why := fmt.Sprintf("%v did not return within the grace of %v: %s", j, j.Grace(), brief(b.errorOf(j, e)))
		b.mu.doomed = append(b.mu.doomed, doomed{p, why})
	}
}

// assign sends a worker a task.
func (b *broker) assign(e *queue.Effect) {
	p, j := b.staff.peers[e.Worker], jobOf(e.Task)
	p.holds.Add(1)
	f := &wire.Frame{Kind: wire.Task, ID: uint64(j.ID()), From: j.by(), Type: j.Lane().Type, Header: j.header()}
	if e.N != 0 {
		f.ForFetch(e.N)
	}
	timeout := j.timeout()
	if attempt := j.Attempt(); attempt > 1 || j.chain != "" || timeout > 0 {
		f.Meta = meta.Task{Attempt: attempt, Chain: j.chain, Timeout: timeout}.Marshal()
	}
	f.Left = j.limit.Left()
	link.SetBody(f, j.payload)
	if j.Items > 0 {
		f.Flags |= wire.FlagBatch
	}
	if timeout > 0 {
		f.Flags |= wire.FlagTimed
	}
	j.sendLast(p)
	how := link.Quietly
	if j.Items == 0 && !e.First { // more tasks may follow, and are written together with this one
		how = link.Soon
	}
	switch err := p.link.Post(how, f); {
	case err == link.ErrClosed: // the worker is gone: broker.leave gives its jobs to others
	case err != nil: // the task cannot be sent to any worker: this worker has done nothing wrong
		err = fmt.Errorf("multiprolab: %v could not be sent to worker %s: %w", j, p.slot().name, err)
		b.rules.Unsent(e.Worker, j.ID(), err)
	case how == link.Quietly && !slices.Contains(b.mu.posted, p.link):
		b.mu.posted = append(b.mu.posted, p.link)
	}
}

// sendLast sends a worker the last checkpoint of a job that it is about to get.
func (j *job) sendLast(p *peer) {
	if j.past == nil || j.past.checkpoint == nil {
		return
	}
	f := &wire.Frame{Kind: wire.Checkpoint, ID: uint64(j.ID())}
	link.SetBody(f, *j.past.checkpoint)
	p.link.Tell(link.Quietly, f) // who sends the task pushes it
}

// mostVoid is of how many runs of a stream that begins again the pieces hold no credit any more
// while they wait for a slow range. Those of further runs hold it, so that they have a bound.
const mostVoid = 8

// again notes how an attempt at a job has ended that is followed by another attempt.
func (b *broker) again(j *job, e *queue.Effect) {
	b.released(e.Worker)
	if v := &e.Verdict; v.Kind != queue.Failed || v.After == 0 { // an attempt that the worker puts off does not count
		h := j.history()
		h.failures = append(h.failures, b.errorOf(j, e))
	} else if j.streams() { // its pieces come again
		j.history().putOff++
	}
	switch {
	case !j.streams() || j.run() > mostVoid:
	case j.sub != nil:
		j.sub.giveAllBack()
	case j.client != nil:
		j.client.streams.Again(j.Number)
	}
}

// released notes that a worker has one task less.
func (b *broker) released(w queue.Worker) {
	if p := b.staff.peers[w]; p != nil {
		p.holds.Add(-1)
	}
}

// giveOutcome gives a job its outcome.
func (b *broker) giveOutcome(j *job, e *queue.Effect) {
	b.released(e.Worker)
	r := b.outcome(j, e)
	if e.Letter == queue.NewLetter {
		r = &reply{err: b.lastOf(j, e)}
		b.addDead(j)
	}
	if b.heir != nil && j.promised() && j.Kept() {
		b.heir(j, max(0, e.At-b.now()))
	}
	b.giveBack(j)
	j.letGo()
	if !j.client.over() {
		b.loops.waits.End(j.by(), j.Number)
	}
	sub, client, run := j.sub, j.client, 0
	if j.streams() {
		run = j.run()
	}
	j.forget()
	switch {
	case sub != nil:
		if sub.giveAllBack(); sub.streams {
			r = &reply{payload: r.payload, err: r.err, run: int32(run)}
		}
		b.node.resolve(sub.id, r)
	case client != nil:
		f := replyFrame(wire.Result, j.Number, r)
		if j.stream && r.err == nil {
			f.Meta = meta.MarshalAttempt(run)
		}
		client.answer(link.Soon, f)
		if j.stream {
			client.streams.End(j.Number)
		}
	}
}

// lastOf returns the error of a job that has no attempt left. Further calls return the same error.
func (b *broker) lastOf(j *job, e *queue.Effect) *AttemptsError {
	h := j.history()
	if h.all == nil {
		h.all = &AttemptsError{Type: j.Lane().Type, Attempts: append(h.failures, b.errorOf(j, e))}
		h.failures = nil
	}
	return h.all
}

// endLease tells the Backend how the lease of a job ends.
func (b *broker) endLease(j *job, e *queue.Effect) {
	switch e.LeaseEnd {
	case queue.GiveUp:
		b.store.EndLease(&j.Entry, e.LeaseEnd, 0, brief(b.lastOf(j, e)))
	case queue.Later:
		b.store.PutBack(&j.Entry, e.After, brief(b.errorOf(j, e)))
	case queue.Keep, queue.Return:
		why := cmp.Or(b.errorOf(j, e), ErrStopped)
		b.store.EndLease(&j.Entry, e.LeaseEnd, max(0, e.At-b.now()), brief(why))
	default:
		b.store.EndLease(&j.Entry, e.LeaseEnd, 0, "")
	}
}
