package queue

// Pause stops handing out the tasks of a queue or, with "", of every queue, or goes on with it:
// with "" whatever was paused.
func (q *Queue) Pause(queue string, on bool) {
	switch {
	case queue == "":
		q.allPaused = on
		if !on {
			clear(q.paused)
		}
	case on:
		q.paused[queue] = true
	default:
		delete(q.paused, queue)
	}
	for _, l := range q.lanes {
		if is := q.isPaused(l.Queue); is != l.paused {
			l.paused = is
			q.changed(l)
		}
	}
	for _, w := range q.ready {
		if !on {
			q.wake(w)
			continue
		}
		for _, t := range heldBy(w) {
			if t.state == assigned && !t.recalled && t.lane.paused {
				q.recall(t)
			}
		}
	}
	q.handOut()
}

// Stop refuses new tasks. Unless drain is set, those that no worker has end.
func (q *Queue) Stop(drain bool) {
	q.stopped = true
	if !drain {
		q.halted = true
		for _, t := range q.unheld(func(*lane) bool { return true }) {
			q.end(t, Verdict{Kind: Stopped}, 0)
		}
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
	for _, t := range left {
		w := Worker(0)
		if t.holder != nil {
			w = t.holder.id
		}
		q.end(t, Verdict{Kind: Stopped}, w)
	}
	q.timers.lookout = never
	q.handOut()
}
