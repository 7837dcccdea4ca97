package multiprolab

import (
	"cmp"
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the part of the broker, in main, that takes tasks from their submitters into the
// queue, and takes them out again when they are cancelled.

// submit takes a task. It returns an error if it was not accepted; else the outcome will come.
func (b *broker) submit(j *job, typ string, wait bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.admission(j, typ, wait)
}

// admission is submit. The caller holds the mutex.
func (b *broker) admission(j *job, typ string, wait bool) error {
	if b.stopped != nil {
		return b.stopped
	}
	by := submissionKey{j.submitter, j.submitterID}
	if j.submitter != nil && (by.id == 0 || b.submitted[by] != nil) {
		return lie("it submitted a task under the number %d, which it has used, or which is none", by.id)
	}
	key := laneKey{queue: cmp.Or(j.meta.Queue, DefaultQueue), typ: typ, priority: j.meta.Priority}
	var waited []*taskWorker
	key.waiters, waited = b.waitersOf(j.submitter.name(), key.queue, &j.meta)
	if err := b.servable(key, waited); err != nil {
		return err
	}
	full := b.full(j, typ)
	if full != nil && !wait {
		return full
	}
	if j.id == 0 {
		b.lastID++
		j.id = b.lastID
	}
	l := b.lane(key, waited)
	if j.meta.Waits && j.submitterID != 0 && b.store == nil {
		j.lane = l
		what := fmt.Sprintf("task %q", typ)
		if err := b.beginWaitLocked(j.submitter.name(), j.submitterID, b.forJob(j), what); err != nil {
			b.dropLane(l)
			return err
		}
	}
	b.enlist(j, l)
	b.stats.Received += uint64(j.size())
	b.move(j, blocked)
	if full != nil {
		b.blocked.push(j)
	} else {
		b.admit(j)
	}
	return nil
}

// enlist takes a job into the books.
func (b *broker) enlist(j *job, l *lane) {
	j.lane, j.alarm.job = l, j
	l.total++
	b.jobs[j.id] = j
	if j.submitterID != 0 {
		b.submitted[submissionKey{j.submitter, j.submitterID}] = j
	}
}

// full returns why a job has to wait for room, or nil. It does not overtake those that wait, unless
// it needs nothing that the first of them waits for.
func (b *broker) full(j *job, typ string) error {
	first := b.blocked.first
	switch {
	case !b.hasBytes(j), first != nil && !b.hasBytes(first):
		text := fmt.Sprintf("multiprolab: task %q of %d bytes was not taken: the queue holds %d bytes already "+
			"(Config.QueueBytes)", typ, len(j.payload.Data), b.bytes)
		return &sentinelError{text, ErrQueueFull}
	case j.meta.Delay == 0 && (first != nil || b.waiting >= b.limit):
		text := fmt.Sprintf("multiprolab: task %q was not taken: the queue holds %d tasks already (Config.QueueLimit)",
			typ, b.waiting)
		return &sentinelError{text, ErrQueueFull}
	}
	return nil
}

// hasBytes reports whether there is memory for a job. One that is larger than all that there may be
// needs to be alone.
func (b *broker) hasBytes(j *job) bool { return b.bytes == 0 || j.bytes() <= b.byteLimit-b.bytes }

// hasRoom reports whether the queue takes a job.
func (b *broker) hasRoom(j *job) bool {
	return b.hasBytes(j) && (j.meta.Delay > 0 || b.waiting < b.limit)
}

// admit puts a job into the queue.
func (b *broker) admit(j *job) {
	if j.submitter != nil {
		j.submitter.grant(j.cost)
	}
	to := stored
	if j.meta.Delay > 0 {
		to = delayed
	}
	if b.store != nil {
		b.move(j, to)
		b.store.put(j) // which says when it is accepted
		return
	}
	b.accept(j)
	if to == stored {
		b.lineUp(j, false)
		return
	}
	b.move(j, delayed)
	b.agenda.set(&j.alarm, ripens, later(b.clock.now(), j.meta.Delay))
}

// accept tells the submitter that the queue has the task.
func (b *broker) accept(j *job) {
	if j.admitted != nil {
		close(j.admitted)
		j.admitted = nil
	}
	if j.submitter != nil {
		j.submitter.tell(&wire.Frame{Kind: wire.Accepted, ID: j.submitterID})
	}
}

// unblock lets submissions that wait for room into the queue.
func (b *broker) unblock() {
	for j := b.blocked.first; j != nil && !b.halted && b.hasRoom(j); j = b.blocked.first {
		b.blocked.remove(j)
		b.admit(j)
	}
}

// cancel cancels a job for its submitter: since the deadline of that one has passed, if soft is
// set.
func (b *broker) cancel(submitter *client, id uint64, soft bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.submitted[submissionKey{submitter, id}]
	b.waits.End(submitter.name(), id)
	switch {
	case j == nil: // it has its outcome
	case j.holder == nil:
		b.finish(j, &reply{err: ErrCancelled})
	default:
		b.condemn(j, ErrCancelled, softly(soft), b.clock.now())
	}
}

// cancelPending cancels what no worker has been given, of one queue or, with "", of all: what it
// finds, and nothing that goes on meanwhile.
func (b *broker) cancelPending(queue string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.unheld(func(j *job) bool { return queue == "" || j.lane.queue == queue })
	for _, j := range found {
		b.finish(j, &reply{err: ErrCancelled})
	}
	return len(found)
}

// mainSubmit is the uplink's submit for tasks of main itself: it waits while the queue is full,
// unless the submission says that it stands in line.
func (b *broker) mainSubmit(ctx context.Context, s *Submission, f *wire.Frame) error {
	meta, err := unmarshalTaskMeta(f.Meta)
	if err != nil {
		return err
	}
	payload := payloadOf(f)
	if s.batch == 0 { // else it stays as it is until there is an outcome
		payload = payload.Own()
	}
	j := &job{payload: payload, meta: meta, limit: limitIn(f), submitterID: s.id, admitted: s.accepted, batch: s.batch}
	if err := b.submit(j, f.Type, f.Flags&wire.FlagWait != 0); err != nil || s.lines {
		return err
	}
	defer stall(ctx)()
	if scopeOf(ctx) != nil && !meta.Waits {
		b.mu.Lock()
		if j.state == blocked {
			what := fmt.Sprintf("task %q, for room in the queue,", f.Type)
			if err := b.beginWaitLocked(MainName, j.submitterID, b.forRoom(), what); err != nil {
				j.submitterID = 0 // who submitted it gets the error here
				delete(b.submitted, submissionKey{nil, s.id})
				b.finish(j, &reply{err: ErrCancelled})
				b.mu.Unlock()
				return err
			}
		}
		b.mu.Unlock()
		defer b.endWait(MainName, s.id)
	}
	select {
	case <-s.accepted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if j.state != blocked {
		return nil // it was admitted in the same moment
	}
	b.finish(j, &reply{err: ErrCancelled})
	return fmt.Errorf("multiprolab: task %q waited for room in the queue: %w", f.Type, causeOf(ctx))
}
