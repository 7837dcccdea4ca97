package queue

import "slices"

// This file is the dead letters: tasks that have used up their attempts, and wait for somebody to
// look at them. A dead letter is no task of the queue any more, and counts for no limit.

// Dead returns the dead letters, the oldest first.
func (q *Queue) Dead() []*Task { return slices.Collect(q.dead.All()) }

// RetryDead puts the dead letters with the ids back into their queues, with all their attempts
// before them. Without ids it puts all dead letters back. They keep their ids, and nobody waits for
// their outcomes. It returns how many were put back. A dead letter that cannot be put back stays
// where it is, and refused is told why.
func (q *Queue) RetryDead(ids []ID, refused func(t *Task, why Refusal)) (n int) {
	named := amongst(ids)
	for range q.dead.Len() { // those that stay keep their order
		t, _ := q.dead.Pop()
		if !named(t) {
			q.dead.Push(t)
			continue
		}
		was := t.lane
		if why := q.revive(t); why.Refused() {
			q.dead.Push(t)
			refused(t, why)
			continue
		}
		q.letters(was, -1)
		n++
	}
	q.handOut()
	return n
}

// revive puts a dead letter back into its queue.
func (q *Queue) revive(t *Task) Refusal {
	if q.stopped {
		return Refusal{Kind: RefusedStop}
	}
	was := *t
	t.Number, t.From, t.origin = 0, 0, revived
	t.state, t.condemned, t.front, t.kept = fresh, spared, false, false
	t.attempts, t.sat, t.paid = 0, 0, false
	why := q.enlist(t, was.lane.Lane, nil, true, q.timers.now)
	if why.Refused() {
		*t = was
	}
	return why
}

// DropDead removes the dead letters with the ids; without ids all. It returns their number.
func (q *Queue) DropDead(ids []ID) int {
	named, before := amongst(ids), q.dead.Len()
	q.dead.Remove(func(t *Task) bool {
		if named(t) {
			q.letters(t.lane, -1)
			return true
		}
		return false
	})
	return before - q.dead.Len()
}

// Bury puts a dead letter of an earlier program behind those in the list, with the id that it has
// there or, with 0, one of its own. It does nothing, and returns false, if the list takes none.
func (q *Queue) Bury(t *Task, to Lane, id ID) bool {
	if q.cfg.DeadLimit <= 0 {
		return false
	}
	q.Enrol(t, to, id)
	q.keepDead(t, OldLetter)
	return true
}

// Enrol gives a task that the queue does not take an id, that of an earlier program or, with 0, one
// of its own, and the place where it would be.
func (q *Queue) Enrol(t *Task, to Lane, id ID) {
	if id == 0 {
		id = q.lastID + 1
	}
	q.CountFrom(id)
	of := tallied{queue: q.queues.of(to.Queue), typ: q.types.of(to.Type)}
	t.id, t.state, t.lane = id, ended, &lane{laneKey: laneKey{Lane: to}, tallied: of}
}

// LastID returns the id of the last task that has one.
func (q *Queue) LastID() ID { return q.lastID }

// CountFrom has the ids of all tasks to come be greater than one.
func (q *Queue) CountFrom(last ID) { q.lastID = max(q.lastID, last) }

// amongst returns a function that reports whether a task has one of these ids. Without ids it
// reports true for every task.
func amongst(ids []ID) func(t *Task) bool {
	if len(ids) == 0 {
		return func(*Task) bool { return true }
	}
	sorted := slices.Sorted(slices.Values(ids))
	return func(t *Task) bool {
		_, ok := slices.BinarySearch(sorted, t.id)
		return ok
	}
}
