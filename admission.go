package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the part of the broker, in main, that takes tasks from their submitters into the queue, and takes them out again when they are cancelled.

// submit takes a task. It returns an error if it was not accepted; else the outcome will come.
func (b *broker) submit(j *job, typ string, wait bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped != nil {
		return b.stopped
	}
	key := laneKey{cmp.Or(j.meta.Queue, DefaultQueue), typ, j.meta.Priority}
	if err := b.servable(key.queue, typ); err != nil {
		return err
	}
	if j.meta.Waits && b.onlyWaits(key.queue, typ, j.meta.Chain) {
		return &sentinelError{fmt.Sprintf("multiprolab: task %q would wait for itself: every worker that takes it waits for its outcome (%s): have more workers, or submit it without waiting",
			typ, strings.ReplaceAll(j.meta.Chain, ",", " -> ")), ErrCallCycle}
	}
	full := b.waiting >= b.limit || b.blocked.len() > 0
	if full && !wait {
		return &sentinelError{fmt.Sprintf("multiprolab: task %q was not taken: the queue holds %d tasks already (Config.QueueLimit)", typ, b.waiting), ErrQueueFull}
	}
	b.lastID++
	j.id, j.lane = b.lastID, b.lane(key)
	b.jobs[j.id] = j
	if j.submitterID != 0 {
		b.submitted[submissionKey{j.submitter, j.submitterID}] = j
	}
	b.stats.Received += uint64(j.size())
	if full {
		b.blocked.push(j)
		return nil
	}
	b.admit(j)
	return nil
}

// admit puts a job into the queue, and hands it to a worker that is free.
func (b *broker) admit(j *job) {
	if j.submitter != nil {
		j.submitter.grant(j.cost, 1)
	}
	t := QueuedTask{Queue: j.lane.name, Type: j.lane.typ, job: j}
	if j.meta.Delay > 0 {
		t.NotBefore = time.Now().Add(j.meta.Delay)
	}
	j.state = queued
	b.waiting++
	if b.store != nil {
		b.store.put(j, t) // which says when it is accepted
		return
	}
	b.accept(j)
	if _, err := b.source.Enqueue(context.Background(), t); err != nil {
		b.finish(j, &reply{err: fmt.Errorf("multiprolab: %v could not be queued: %w", j, err)})
		return
	}
	if b.first(j.lane) == j { // else those before it wait for the same workers
		b.place(j.lane)
	}
}

// accept tells the submitter that the queue has the task.
func (b *broker) accept(j *job) {
	if j.admitted != nil {
		close(j.admitted)
		j.admitted = nil
	}
	if j.submitter != nil {
		_ = j.submitter.link.post(&wire.Frame{Kind: wire.Accepted, ID: j.submitterID})
	}
}

// ripened is called when tasks of a lane have become due.
func (b *broker) ripened(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.inOrder {
		if l.name == name {
			b.place(l)
		}
	}
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

// cancel cancels a job for its submitter.
func (b *broker) cancel(submitter *peer, id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.submitted[submissionKey{submitter, id}]
	switch {
	case j == nil:
	case j.holder == nil:
		b.finish(j, &reply{err: ErrCancelled})
		b.freeKey(j)
	default:
		b.condemn(j, ErrCancelled, 0)
	}
}

// cancelPending cancels what no worker has been given, of one queue or, with "", of all.
func (b *broker) cancelPending(queue string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ended []*job
	for _, j := range b.jobs {
		if j.holder == nil && (queue == "" || j.lane.queue == queue) {
			b.finish(j, &reply{err: ErrCancelled})
			ended = append(ended, j)
		}
	}
	for _, j := range ended {
		b.freeKey(j) // it may have been the next to run
	}
	return len(ended)
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
	admitted := make(chan struct{})
	j := &job{payload: payloadOf(f).Own(), meta: meta, submitterID: s.id, admitted: admitted, batch: s.batch}
	if err := b.submit(j, f.Type, f.Flags&wire.FlagWait != 0); err != nil {
		return err
	}
	defer stall(ctx)()
	select {
	case <-admitted:
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
