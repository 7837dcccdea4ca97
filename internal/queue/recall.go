package queue

// This file is the steps that take back tasks that workers have been given and have not begun. A
// task is only asked for: it stays with its holder until the holder says Returned, or is gone. So
// whatever crosses on the way, no task is with two workers.

// recall asks the holder of a task to give it back unless the holder has begun with it. The holder
// is to split a batch with which it has begun.
func (q *Queue) recall(t *Task) {
	t.recalled = true
	q.emit(Effect{Kind: Recall, Worker: t.holder.id, Task: t})
}

// recallAhead has a worker give back all that it has not begun.
func (q *Queue) recallAhead(w *worker) {
	for _, t := range heldBy(w) {
		if t.state == assigned && !t.recalled {
			q.recall(t)
		}
	}
}

// recallFor finds the worker that has the most tasks that it has not begun and that w takes, and
// asks it for half of them. A worker that has been given a single task is about to begin with it.
// If it has not begun after some time, the task is taken back as well.
func (q *Queue) recallFor(w *worker) {
	var victim *worker
	most := 0
	candidates := q.ready
	if q.assigned == 0 {
		candidates = nil
	}
	for _, v := range candidates {
		if v == w || v.held.n == 0 || v.held.n == 1 && most > 0 {
			continue
		}
		n := v.spare(w)
		switch {
		case n == 0:
		case n == 1 && v.held.n == 1 && (!v.isAway() || w.isAway()):
			q.watchAll(v, w)
		case w.isAway() && !v.isAway() && v.sound() && v.held.n <= v.window():
			q.watchAll(v, w) // it would get at once what it gives back, for a message may keep w
		case n > most:
			victim, most = v, n
		}
	}
	if victim == nil {
		q.splitFor(w)
		return
	}
	skip := most / 2 // the last half, in their order, so that they come back in it
	for _, t := range heldBy(victim) {
		if !t.isSpare(w) {
			continue
		}
		if skip--; skip < 0 {
			q.recall(t)
		}
	}
}

// spare counts the tasks of the worker that it could give to another one.
func (v *worker) spare(w *worker) (n int) {
	for t := v.held.first; t != nil; t = t.next {
		if t.isSpare(w) {
			n++
		}
	}
	return n
}

// watchAll watches the tasks of a worker that it could give to another one.
func (q *Queue) watchAll(v, w *worker) {
	for t := v.held.first; t != nil; t = t.next {
		if t.isSpare(w) {
			q.watch(t)
		}
	}
}

// isSpare reports whether a task could be taken from its holder for another worker.
func (t *Task) isSpare(w *worker) bool {
	return t.state == assigned && !t.recalled && w.mayHave(t.lane)
}

// watch has it looked whether a worker begins with the task that it has been given.
func (q *Queue) watch(t *Task) {
	if t.state == assigned && t.condemned == spared && t.what == unset {
		q.timers.sit(t)
	}
}

// takeBack has a task that a worker has not begun for some time recalled, if another one has
// nothing to do. Of those from which tasks were taken so, the first gets the next one: it goes
// round, and not back to who has just given it up.
func (q *Queue) takeBack(t *Task) {
	if !t.recalled && q.idleFor(t) {
		q.aways++
		t.holder.away = q.aways
		t.sat = min(t.sat+1, 10)
		q.recall(t)
	}
}

// splitFor asks a worker that has been at a batch for some time to give back the rest of it, if w
// takes it. One that has just begun is looked at again later, for whoever has nothing to do by
// then.
func (q *Queue) splitFor(w *worker) {
	for _, t := range q.batches {
		if t.recalled || !w.mayHave(t.lane) {
			continue
		}
		if old := after(t.began, splitTime); old > q.timers.now {
			q.lookAt(old)
			continue
		}
		q.recall(t)
		return
	}
}

// A batch is looked at twice: when a worker runs out of work, in splitFor, and when the batch is
// known to run, in watchBatch. One of the two comes last.
//
// watchBatch has a batch that has just begun looked at later if a worker has nothing to do: it had
// not, before this was known to run.
func (q *Queue) watchBatch(t *Task) {
	if t.Items > 1 && !q.halted && !t.recalled && q.idleFor(t) {
		q.lookAt(after(t.began, splitTime))
	}
}

// lookAt has it looked at a moment, if not before, whether workers with nothing to do can have
// something that others hold.
func (q *Queue) lookAt(at Time) { q.timers.lookout = min(q.timers.lookout, at) }

// leadOut takes back what a retiring worker has not begun, and tells once it holds nothing.
func (q *Queue) leadOut(w *worker) {
	for _, f := range w.fetches {
		q.emit(Effect{Kind: NoTask, Worker: w.id, N: uint64(f.id)})
	}
	w.fetches = nil
	q.recallAhead(w)
	if w.held.n == 0 {
		q.emit(Effect{Kind: Retired, Worker: w.id})
	}
}

// retire gives a worker nothing new.
func (q *Queue) retire(w *worker) {
	w.retiring = true
	q.wake(w)
	w.slot.count()
	q.rehome()
	if !w.slot.coming { // it will not be replaced
		q.failUnservable()
	}
}
