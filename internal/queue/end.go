package queue

import "slices"

// This file is the steps in which a task comes back from a worker, and in which it ends. All ends
// of a task go through endAs, which takes it out of whatever it is in: that is why a task has one
// outcome, and leaves nothing behind.

// release takes a task from its holder, if it has one, and lets others with its key go on.
func (q *Queue) release(t *Task) {
	w := t.holder
	if w == nil {
		return
	}
	q.timers.drop(t)
	if t.state == running && t.Items > 0 {
		q.batches = slices.DeleteFunc(q.batches, func(o *Task) bool { return o == t })
	}
	w.held.remove(t)
	delete(q.out, t.id)
	w.forget(t.id)
	if t.condemned != spared {
		w.suspect--
	}
	if t.recalled { // whom it was for may not get it
		q.look()
	}
	t.holder, t.recalled, t.cut = nil, false, false
	q.wake(w)
	if !t.isFree() {
		q.comeBack(t)
	}
}

// forget forgets which request of the worker a task has answered.
func (w *worker) forget(id ID) {
	if len(w.answered) > 0 {
		w.answered = slices.DeleteFunc(w.answered, func(f fetch) bool { return f.task == id })
	}
}

// giveBack puts a task that its holder has not begun with to the front of its lane.
func (q *Queue) giveBack(t *Task) {
	w := t.holder.id
	q.release(t)
	if q.halted {
		q.end(t, Verdict{Kind: Stopped}, w)
		return
	}
	q.lineUp(t, true)
	q.failLost(t)
}

// end gives a task its outcome. The Backend keeps what ends with the program, and what nobody in
// this run has submitted.
func (q *Queue) end(t *Task, v Verdict, w Worker) {
	how := Remove
	if v.Kind == Stopped || t.origin == found && (v.Kind == NoWorker || v.Kind == Unknown) {
		how = Keep
	}
	q.endAs(t, v, w, how, 0)
}

// endAs gives a task its outcome, wherever the task is. It is the only place that does. due is when
// another program that goes on with the task is to do so, or 0 if the task knows.
func (q *Queue) endAs(t *Task, v Verdict, w Worker, how LeaseEnd, due Time) {
	if t.state == ended {
		return
	}
	if t.state == delayed {
		due = t.at
	}
	held, begun := t.holder != nil, t.state == running
	q.release(t)
	q.leaveLine(t)
	q.tally(t, v)
	leased := q.cfg.Stored && t.state != blocked
	q.move(t, ended)
	if !held {
		q.freeKey(q.keyOf(t), t)
	}
	t.lane.total--
	q.dropLane(t.lane)
	t.kept = how == Keep
	letter := NoLetter
	switch {
	case how == GiveUp:
		letter = q.keepDead(t, NewLetter)
	case t.origin == revived && v.Kind != Done && v.Kind != Cancelled:
		letter = q.keepDead(t, OldLetter)
	case t.origin == resumed && v.Kind != Done && v.Kind != Cancelled && how != Keep:
		letter = q.keepDead(t, NewLetter)
	}
	if leased {
		if how == Keep && !begun && due == 0 {
			how = Return
		}
		q.emit(Effect{Kind: EndLease, Task: t, Worker: w, LeaseEnd: how, Verdict: v, At: due})
	}
	if t.From != 0 && t.Number != 0 {
		delete(q.submitted, submission{t.From, t.Number})
	}
	q.emit(Effect{Kind: Outcome, Task: t, Worker: w, Verdict: v, Letter: letter, At: due})
	if q.live--; q.live == 0 {
		q.emit(Effect{Kind: Idle})
	}
}

// keepDead puts a task that ends into the list of dead letters.
func (q *Queue) keepDead(t *Task, as Letter) Letter {
	if q.cfg.DeadLimit <= 0 {
		return NoLetter
	}
	for q.dead.Len() >= q.cfg.DeadLimit {
		old, _ := q.dead.Pop()
		q.letters(old.lane, -1)
	}
	q.dead.Push(t)
	q.letters(t.lane, 1)
	return as
}

// failLost ends a task that has come back, and for which no worker is left.
func (q *Queue) failLost(t *Task) {
	if r := q.servable(t.lane); r.Refused() {
		q.end(t, r.verdict(), 0)
	}
}

// failUnservable gives the tasks of lanes that no worker takes, nor will take, their outcomes. It
// is a step of each event after which it is other workers that take tasks.
func (q *Queue) failUnservable() {
	var lost []*lane
	var why []Verdict
	for _, l := range q.lanes {
		if l.total == 0 {
			continue
		}
		if r := q.servable(l); r.Refused() {
			lost, why = append(lost, l), append(why, r.verdict())
		}
	}
	if len(lost) > 0 {
		for _, t := range q.unheld(func(l *lane) bool { return slices.Contains(lost, l) }) {
			q.end(t, why[slices.Index(lost, t.lane)], 0)
		}
	}
	q.emit(Effect{Kind: Takers})
}
