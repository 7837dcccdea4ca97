package queue

import (
	"cmp"
	"time"
)

// This file is the steps in which a task gets room in the queue. A task that is due counts for the
// limit of tasks until a worker has it. Due and delayed tasks count for the limit of bytes. A task
// that a worker holds counts for neither, because it may submit further tasks, for which room must
// come. A task that comes back, or becomes due, needs no room, and may bring the queue above its
// limits.

// Allow sets Config.LimitBytes, if that was 0, before the first Submit.
func (q *Queue) Allow(bytes int) { q.cfg.LimitBytes = cmp.Or(q.cfg.LimitBytes, bytes) }

// full returns why a task has to wait for room, or none. The task does not overtake tasks that wait
// for room, unless it needs nothing that the first of them waits for.
func (q *Queue) full(t *Task) Refusal {
	first := q.blocked.first
	switch {
	case !q.hasBytes(t), first != nil && !q.hasBytes(first):
		return Refusal{Kind: RefusedBytes, Tasks: q.waiting, Bytes: q.bytes}
	case t.delay() == 0 && (first != nil || q.waiting >= q.cfg.Limit):
		return Refusal{Kind: RefusedFull, Tasks: q.waiting, Bytes: q.bytes}
	}
	return Refusal{}
}

// hasBytes reports whether there is memory for a task. A task that is larger than the limit gets
// memory when it is alone.
func (q *Queue) hasBytes(t *Task) bool { return q.bytes == 0 || t.bytes() <= q.cfg.LimitBytes-q.bytes }

// hasRoom reports whether the queue takes a task.
func (q *Queue) hasRoom(t *Task) bool {
	return q.hasBytes(t) && (t.delay() > 0 || q.waiting < q.cfg.Limit)
}

// admit puts a task into the queue.
func (q *Queue) admit(t *Task) {
	delay := t.delay()
	if q.cfg.Stored {
		q.waitFor(t, delay)
		t.storing++
		q.emit(Effect{Kind: Store, Task: t, After: delay})
		q.drawFor(t.lane.Lane)
		return
	}
	q.emit(Effect{Kind: Admitted, Task: t})
	if delay == 0 || t.at <= q.timers.now { // the task may have waited for room longer than its delay
		q.lineUp(t, false)
		return
	}
	q.wait(t, delayed)
	q.timers.set(t, ripens, t.at)
}

// waitFor has a task wait in the Backend.
func (q *Queue) waitFor(t *Task, d time.Duration) {
	if d > 0 {
		q.wait(t, delayed)
	} else {
		q.wait(t, stored)
	}
}

// drawFor has tasks of a lane fetched from the Backend, as long as workers take them.
func (q *Queue) drawFor(to Lane) {
	base := q.laneOf(to, nil, 0)
	switch {
	case len(base.offers) == 0: // tasks of the lane are fetched once a worker takes them: see Enter
		q.dropLane(base)
	case !base.draws:
		base.draws, q.demands = true, true
	}
}

// unblock lets tasks that wait for room into the queue.
func (q *Queue) unblock() {
	for t := q.blocked.first; t != nil && !q.halted && q.hasRoom(t); t = q.blocked.first {
		q.blocked.remove(t)
		q.admit(t)
	}
}
