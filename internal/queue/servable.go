package queue

import "slices"

// servable returns nothing if a worker takes the tasks of a lane, or may turn out to do so, and
// else why none does: a worker that is to become ready, be it for the first time or again, may take
// whatever it likes.
func (q *Queue) servable(l *lane) Refusal {
	if l.served() || q.coming(l) > 0 {
		return Refusal{}
	}
	r := Refusal{Kind: RefusedType}
	for _, p := range q.pools {
		if !p.takesFrom(l.Queue) {
			continue
		}
		for _, s := range p.slots {
			switch w := s.worker; {
			case s.kind != nil && !s.kind.takes(l.Queue, l.Type):
			case w != nil && l.isWaitedBy(w): // it is not replaced before the task has its outcome
				r = Refusal{Kind: RefusedCircle}
			case (w == nil || w.retiring && s.leaving) && r.Kind != RefusedCircle:
				r = Refusal{Kind: RefusedLost, Cause: s.cause}
			}
		}
	}
	if r.Kind == RefusedCircle {
		for _, w := range l.waiters {
			r.Waiting = append(r.Waiting, w.id)
		}
	}
	return r
}

// coming counts the slots that are to have another life, which may take the tasks of a lane. The
// next life of a worker that waits for the tasks does not come before they have their outcomes.
func (q *Queue) coming(l *lane) int {
	n := 0
	for _, p := range q.pools {
		if p.coming > 0 && p.takesFrom(l.Queue) {
			n += p.coming
		}
	}
	for _, w := range l.waiters {
		if w.slot.worker == w && w.slot.coming && w.slot.pool.takesFrom(l.Queue) {
			n--
		}
	}
	return n
}

// waitersOf returns the present lives of those slots that wait for a task and might get it, in
// order: those of pools that take from its queue. A life that has ended does not wait any more.
func (q *Queue) waitersOf(queue string, waiting []Slot) []*worker {
	var waiters []*worker
	for _, id := range waiting {
		s := q.slots[id]
		if s == nil || s.worker == nil || s.removed || !s.pool.takesFrom(queue) {
			continue
		}
		if !slices.Contains(waiters, s.worker) {
			waiters = append(waiters, s.worker)
		}
	}
	slices.SortFunc(waiters, func(a, b *worker) int { return int(a.slot.id) - int(b.slot.id) })
	return waiters
}
