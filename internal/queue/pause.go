package queue

import (
	"iter"
	"slices"
)

// Pause stops handing out the tasks of a queue or, with "", of every queue, or goes on with it:
// with "" whatever was paused.
func (q *Queue) Pause(queue string, on bool) {
	if on {
		q.setPause(queue, never)
	} else {
		q.endPauses(func(p queuePause) bool { return queue == "" || p.queue == queue })
	}
}

// PauseUntil is Pause up to a moment, whatever was said of the queue before. A moment that has
// passed ends the pause.
func (q *Queue) PauseUntil(queue string, until, now Time) {
	q.timers.tell(now)
	if until > q.timers.now {
		q.setPause(queue, until)
	} else {
		q.endPauses(func(p queuePause) bool { return p.queue == queue || p.until <= q.timers.now })
	}
}

// Pauses calls fn for each pause: with its queue or, of all queues, "", and with the moment at
// which it ends, or 0 if that is left to Pause.
func (q *Queue) Pauses(fn func(queue string, until Time)) {
	for _, p := range q.pauses {
		if p.until == never {
			p.until = 0
		}
		fn(p.queue, p.until)
	}
}

// setPause pauses a queue, or every queue.
func (q *Queue) setPause(queue string, until Time) {
	i := slices.IndexFunc(q.pauses, func(p queuePause) bool { return p.queue == queue })
	if i < 0 {
		i = len(q.pauses)
		q.pauses = append(q.pauses, queuePause{})
	}
	q.pauses[i] = queuePause{queue, until}
	q.pausesChanged()
	q.reckon()
	for _, w := range q.ready {
		for _, t := range heldBy(w) {
			if t.state == assigned && !t.recalled && t.lane.paused {
				q.recall(t)
			}
		}
	}
	q.handOut()
}

// endPauses ends the pauses for which over is true.
func (q *Queue) endPauses(over func(queuePause) bool) {
	q.pauses = slices.DeleteFunc(q.pauses, over)
	q.pausesChanged()
	for _, w := range q.ready {
		q.wake(w)
	}
	q.handOut()
}

// pausesChanged notes which lanes are paused, and when the next pause ends.
func (q *Queue) pausesChanged() {
	for _, l := range q.lanes {
		if is := q.isPaused(l.Queue); is != l.paused {
			l.paused = is
			q.changed(l)
		}
	}
	q.timers.resumes = never
	if q.halted { // nothing is handed out any more
		return
	}
	for _, p := range q.pauses {
		q.timers.resumes = min(q.timers.resumes, p.until)
	}
}

// Stop refuses new tasks. Unless drain is set, those that no worker has end.
func (q *Queue) Stop(drain bool) {
	q.stopped = true
	if !drain {
		q.halted = true
		for t := range q.inTurn(q.unheld(func(*lane) bool { return true })) {
			q.end(t, Verdict{Kind: Stopped}, 0)
		}
		q.endThrottles()
		q.reckon()
	}
	q.handOut()
}

// End ends every task that is left. It is called when no worker is left.
func (q *Queue) End() {
	q.stopped, q.halted = true, true
	left := q.unheld(func(*lane) bool { return true })
	for _, w := range q.ready {
		left = w.held.appendTo(left)
	}
	sortByAge(left)
	for t := range q.inTurn(left) {
		w := Worker(0)
		if t.holder != nil {
			w = t.holder.id
		}
		q.end(t, Verdict{Kind: Stopped}, w)
	}
	q.timers.lookout, q.timers.resumes = never, never
	q.endThrottles()
	q.handOut()
}

// inTurn yields tasks that the program leaves behind: with a Backend the youngest first, because
// each goes to the front of its queue there, and they are to stand in their order at last.
func (q *Queue) inTurn(tasks []*Task) iter.Seq[*Task] {
	if q.cfg.Stored {
		return func(yield func(*Task) bool) { slices.Backward(tasks)(func(_ int, t *Task) bool { return yield(t) }) }
	}
	return slices.Values(tasks)
}
