package queue

// This file is what the user's Backend says. It says so by way of the caller, who knows which task
// has which id and lease there.
//
// Without a Backend, a task that gets room is lined up. With a Backend the task goes there instead
// (Store), and comes back when a worker has room for a task of its lane (Draw, Arrived). From then
// on the task is leased, and waits in its lane as any other. The lease ends with the attempt:
// EndLease says how. Draw is credit: a task that was asked for and has not come yet counts as room
// that is taken. If there is less room than that, since a request was answered from another lane or
// taken back, a worker is gone or a queue is paused, DrawLess takes credit back. A request that
// does not wait is no room: for it the Backend is asked for what it has now, one lane after the
// other (Try, Tried).

// Stored notes that the Backend has a task, or why not. Each Store is answered so once, those of a
// task in their order. A task that was a dead letter meanwhile, and was put back, is stored anew:
// what is said of an earlier Store does not concern it.
func (q *Queue) Stored(t *Task, ok bool, cause any) {
	t.storing--
	switch {
	case t.state == ended, t.storing > 0, t.state == blocked:
	case ok:
		q.emit(Effect{Kind: Admitted, Task: t})
	default:
		q.end(t, Verdict{Kind: Failed, Final: true, Cause: cause}, 0)
	}
	q.handOut()
}

// Arrived notes that a task of this run was fetched: it is leased from now on. It reports whether
// this lease takes the place of an earlier one, which was lost.
func (q *Queue) Arrived(t *Task) (again bool) {
	switch t.state {
	case ended: // while it was on its way
		how := Remove
		if t.kept {
			how = Return
		}
		q.emit(Effect{Kind: EndLease, Task: t, LeaseEnd: how, Verdict: Verdict{Kind: Stopped}})
	case delayed, stored:
		q.leaveLine(t)
		q.lineUp(t, false)
	default:
		again = true
	}
	q.handOut()
	return again
}

// Found takes a task of an earlier run, or of another main, that was fetched: nobody waits for it.
// attempts have begun before. If it is refused, its lease is to be given back.
func (q *Queue) Found(t *Task, to Lane, attempts int) Refusal {
	defer q.handOut()
	if q.halted {
		return Refusal{Kind: RefusedStop}
	}
	l := q.laneOf(to, nil, 0) // it may have been dropped, and be there again
	if r := q.servable(l); r.Refused() {
		q.dropLane(l)
		return r
	}
	t.origin, t.attempts, t.began = found, int32(attempts), q.timers.now
	q.enter(t, l)
	q.lineUp(t, false)
	return Refusal{}
}

// Came notes that one of the tasks that Draw has asked for is here. Arrived, Found or Missed
// follows.
func (q *Queue) Came(of Lane) {
	if l := q.byLane[laneKey{Lane: of}]; l != nil && l.drawn > 0 {
		l.drawn--
		q.reckon()
	}
}

// Missed notes that what has come does not concern the rules: it has ended and was forgotten, or
// cannot be read.
func (q *Queue) Missed() { q.handOut() }

// Unstored ends a task that was to wait in the Backend for its next attempt, for that could not be
// told. One that was fetched all the same goes on.
func (q *Queue) Unstored(t *Task, cause any) {
	if t.state == stored || t.state == delayed {
		q.end(t, Verdict{Kind: Failed, Final: true, Cause: cause}, 0)
		q.handOut()
	}
}
