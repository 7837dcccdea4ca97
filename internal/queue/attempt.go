package queue

import (
	"slices"
	"time"
)

// This file is what a worker says of the tasks that it has. Nothing but the worker's own word, or
// its end, takes a task from it.

// heldTask returns a task that a worker speaks of and has.
func (q *Queue) heldTask(w Worker, id ID) (*Task, Lie) {
	if q.workers[w] == nil {
		return nil, Lie{Kind: NotReady}
	}
	t := q.out[id]
	if t == nil || t.holder.id != w {
		return nil, Lie{Kind: NotHeld, N: uint64(id)}
	}
	return t, Lie{}
}

// Began notes that a worker has begun with a task.
func (q *Queue) Began(w Worker, id ID, now Time) Lie {
	t, lie := q.heldTask(w, id)
	if lie.Told() {
		return lie
	}
	if t.state != assigned {
		return Lie{Kind: BegunTwice, Task: t}
	}
	q.begin(t, now)
	q.watchBatch(t)
	q.handOut()
	return Lie{}
}

// Recovered notes that a worker that is gone, but has not left, had begun with a task. If the task
// has ended meanwhile, or is known to have begun, nothing changes.
func (q *Queue) Recovered(w Worker, id ID, now Time) {
	if t, lie := q.heldTask(w, id); !lie.Told() && t.state == assigned {
		q.begin(t, now)
		q.handOut()
	}
}

// begin notes that the holder has begun; the time of the attempt runs from now on.
func (q *Queue) begin(t *Task, now Time) {
	q.timers.tell(now)
	q.timers.drop(t)
	q.move(t, running)
	q.waited(t)
	w := t.holder
	w.away, t.sat = 0, 0
	t.paid = false // another attempt takes other tokens
	w.forget(t.id)
	t.began = q.timers.now
	t.attempts++
	if t.Items > 1 {
		q.batches = append(q.batches, t)
	} else if t.recalled { // the recall came too late: the worker that it was for needs another task
		q.look()
	}
	if t.condemned != spared {
		q.allowGrace(t) // its cancellation came too late to keep it from beginning
	} else if d := t.options().Timeout; d > 0 {
		q.timers.set(t, timesOut, after(q.timers.now, d))
	}
}

// Ended takes the outcome of an attempt from its worker. The outcome of a task that is not batched
// has no Items.
func (q *Queue) Ended(id Worker, task ID, v Verdict, now Time) Lie {
	t, lie := q.heldTask(id, task)
	if lie.Told() {
		return lie
	}
	if lie := t.disproves(v); lie.Told() {
		if t.state == assigned { // it has begun all the same: the death that follows costs it this attempt
			q.begin(t, now)
			q.handOut()
		}
		return lie
	}
	w := t.holder
	if w.doomed && t.condemned != spared {
		return Lie{} // the outcome is too late: the worker is being killed for the task
	}
	q.timers.tell(now)
	if t.state == running {
		w.learn(q.timers.now - t.began)
	}
	switch {
	case t.condemned != spared:
		v = t.condemned.verdict()
	case v.Late && t.state == running && t.options().Timeout > 0: // the worker's clock was before main's
		v = Verdict{Kind: TimedOut}
	}
	w.done += t.count()
	w.batches = t.Items > 1
	if most := w.slot.pool.MaxTasks; most > 0 && w.done >= most {
		q.retire(w)
	}
	q.endAttempt(t, v)
	q.handOut()
	return Lie{}
}

// disproves returns the lie that an outcome of the task is, or none. A worker answers the
// cancellation of a task that it has not begun with Cancelled.
func (t *Task) disproves(v Verdict) Lie {
	if t.state != running && !(t.condemned != spared && v.Kind == Cancelled) {
		return Lie{Kind: NotBegun, Task: t}
	}
	switch n := v.Items.count(); {
	case v.Kind != Done:
		return Lie{}
	case v.Batch != (t.Items > 0):
		return Lie{Kind: NotABatch, Task: t}
	case v.Batch && n == 0:
		return Lie{Kind: NoOutcomes, Task: t}
	case v.Batch && n > int(t.Items):
		return Lie{Kind: TooMany, Task: t, N: uint64(n)}
	}
	return Lie{}
}

// endAttempt ends an attempt of a task: with a result, with another attempt to come, or with its
// last failure.
func (q *Queue) endAttempt(t *Task, v Verdict) {
	w := t.holder.id
	if t.state == running {
		q.ran(t, v)
	}
	q.release(t)
	retries := t.retries(v)
	later := v.Kind == Failed && v.After > 0
	switch {
	case v.Kind == Cancelled:
		q.end(t, Verdict{Kind: Cancelled, Cause: v.Cause}, w)
	case v.Kind == Done:
		q.end(t, v, w)
	case later && q.halted:
		t.attempts--
		q.endAs(t, v, w, Keep, after(q.timers.now, v.After))
	case later:
		t.attempts--
		q.again(t, v, w, v.After)
	case retries && t.allowed() > t.attempts && q.halted:
		// a later run has the attempts that are left, if somebody keeps the task for it
		q.endAs(t, v, w, Keep, after(q.timers.now, q.pause(t)))
	case retries && t.allowed() > t.attempts:
		t.lane.retried(t.count())
		q.again(t, v, w, q.pause(t))
	case (retries || t.origin == revived) && t.allowed() > 1:
		q.endAs(t, v, w, GiveUp, 0)
	default:
		q.end(t, v, w)
	}
}

// retries reports whether a failure is worth another attempt.
func (t *Task) retries(v Verdict) bool {
	on := t.options().On
	if on == 0 {
		on = Deaths | Timeouts | Errors
	}
	switch v.Kind {
	case Died:
		return on&Deaths != 0
	case TimedOut:
		return on&Timeouts != 0
	case Failed:
		return on&Errors != 0 && !v.Final
	}
	return false
}

// pause returns the time before the next attempt. Half of it is random, so that tasks that failed
// together do not come back together.
func (q *Queue) pause(t *Task) time.Duration {
	o := t.options()
	first, factor, most := o.First, o.Factor, o.Max
	if first == 0 {
		first = defaultFirst
	}
	if factor == 0 {
		factor = 2
	}
	if most == 0 {
		most = defaultMax
	}
	d := float64(first)
	for n := int32(1); n < t.attempts && d < float64(most) && factor > 1; n++ {
		d *= factor
	}
	d = min(d, float64(most))
	return time.Duration(d/2 + q.cfg.Rand()*d/2)
}

// again puts a task back into its queue, to be due after a time.
func (q *Queue) again(t *Task, v Verdict, w Worker, d time.Duration) {
	t.condemned, t.began = spared, after(q.timers.now, d)
	q.emit(Effect{Kind: Again, Task: t, Worker: w, Verdict: v, After: d})
	switch {
	case q.cfg.Stored:
		q.waitFor(t, d)
		q.emit(Effect{Kind: EndLease, Task: t, Worker: w, LeaseEnd: Later, After: d, Verdict: v})
	case d > 0:
		q.wait(t, delayed)
		q.timers.set(t, ripens, after(q.timers.now, d))
	default:
		q.lineUp(t, true)
	}
	q.failLost(t)
}

// Returned takes back a task that was recalled.
func (q *Queue) Returned(w Worker, id ID) Lie {
	t, lie := q.heldTask(w, id)
	switch {
	case lie.Told():
		return lie
	case t.state != assigned:
		return Lie{Kind: ReturnedBegun, Task: t}
	case !t.recalled:
		return Lie{Kind: NotRecalled, Task: t}
	case t.condemned != spared:
		q.endAttempt(t, t.condemned.verdict())
	default:
		q.giveBack(t)
	}
	q.handOut()
	return Lie{}
}

// Split takes back the items of a batch that a worker has not begun with: those from number from
// on. The worker answers a Recall so once, and before the result; it may have begun with all.
func (q *Queue) Split(w Worker, id ID, from uint64) Lie {
	t, lie := q.heldTask(w, id)
	switch {
	case lie.Told():
		return lie
	case t.state != running || t.Items == 0 || !t.recalled:
		return Lie{Kind: NotRecalled, Task: t}
	case t.cut:
		return Lie{Kind: SplitTwice, Task: t}
	case from < 1 || from > uint64(t.Items):
		return Lie{Kind: SplitBeyond, Task: t, N: from}
	}
	t.cut = true
	rest := int(t.Items) - int(from)
	switch {
	case rest == 0: // the worker that the recall was for needs something else
		q.look()
	case t.condemned == spared:
		for _, f := range q.figuresOf(t.lane) {
			f.received -= rest
			f.at[running] -= rest
		}
		t.Items = int32(from)
		q.emit(Effect{Kind: Shrunk, Task: t, N: from})
	}
	q.handOut()
	return Lie{}
}

// Unsent ends a task that could not be sent to the worker that it was assigned to: no worker can be
// sent it, and this one has done nothing wrong. Its request for a task waits on.
func (q *Queue) Unsent(id Worker, task ID, cause any) {
	t, lie := q.heldTask(id, task)
	if lie.Told() || t.state != assigned {
		return
	}
	w := t.holder
	i := slices.IndexFunc(w.answered, func(f fetch) bool { return f.task == task })
	var f fetch
	if i >= 0 {
		f = w.answered[i]
		f.task = 0
		w.fetches = slices.Insert(w.fetches, 0, f)
	}
	q.end(t, Verdict{Kind: Failed, Final: true, Cause: cause}, w.id)
	if i >= 0 && !f.wait && !q.answer(w, 0) {
		q.noTask(w, f.id)
	}
	q.handOut()
}
