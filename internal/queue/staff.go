package queue

import "slices"

// This file is who is there to work. Pools have slots, and a slot has one life after the other.
// What counts for a task is whether a worker is ready that takes it and, if none is, whether one
// may come: a slot without a life will have one, of which nobody knows what it takes, until Gone
// says that it will not.

// MaxTypes is how many types of tasks one worker may take.
const MaxTypes = 1 << 16

// AddPool makes a pool known, without slots.
func (q *Queue) AddPool(p Pool, o PoolOptions) {
	q.pools = append(q.pools, &pool{PoolOptions: o, id: p})
}

// AddSlot puts a slot behind the others of its pool. A life of it is to become ready.
func (q *Queue) AddSlot(s Slot, in Pool) {
	for _, p := range q.pools {
		if p.id == in {
			added := &slot{id: s, pool: p, index: len(p.slots)}
			p.slots = append(p.slots, added)
			q.slots[s] = added
			added.count()
		}
	}
	q.rehome()
}

// Remove takes a slot out of its pool, which shrinks. Its present life is its last: one that is not
// ready yet may become so all the same, and is retired from its beginning.
func (q *Queue) Remove(id Slot) {
	s := q.slots[id]
	if s == nil {
		return
	}
	s.removed, s.leaving = true, true
	s.pool.slots = slices.DeleteFunc(s.pool.slots, func(o *slot) bool { return o == s })
	q.forgetSlot(s)
	q.staffed(s)
}

// Last notes that the present life of a slot is its last.
func (q *Queue) Last(id Slot) {
	if s := q.slots[id]; s != nil {
		s.leaving = true
		q.staffed(s)
	}
}

// Gone notes that there will be no further life of a slot, and why.
func (q *Queue) Gone(id Slot, cause any) {
	if s := q.slots[id]; s != nil {
		s.gone, s.cause = true, cause
		q.forgetSlot(s)
		q.staffed(s)
	}
}

// forgetSlot forgets a slot that is in no pool, and of which nothing is to come.
func (q *Queue) forgetSlot(s *slot) {
	if s.removed && s.gone && s.worker == nil {
		delete(q.slots, s.id)
		for _, k := range q.kinds {
			delete(k.homes, s.id)
		}
	}
}

// staffed is the end of an event after which other workers take tasks.
func (q *Queue) staffed(s *slot) {
	s.count()
	q.rehome()
	q.failUnservable()
	q.handOut()
}

// Enter makes a worker known that has become ready: which types of tasks it is given, and which it
// asks for. It may take the slot of a worker that is being killed, and has not left: that one keeps
// what it has until it leaves.
func (q *Queue) Enter(id Worker, at Slot, handles, pulls []string) Lie {
	if n := len(handles) + len(pulls); n > MaxTypes {
		return Lie{Kind: TooManyTypes, N: uint64(n)}
	}
	s := q.slots[at]
	w := &worker{id: id, slot: s, retiring: s.removed}
	if lie := q.joinKind(w, handles, pulls); lie.Told() {
		return lie
	}
	if s.worker != nil {
		s.worker.retiring = true
		q.recallAhead(s.worker)
	}
	s.worker, s.kind = w, w.kind
	q.workers[id] = w
	q.ready = append(q.ready, w)
	if q.cfg.Stored { // tasks of earlier runs may wait in the Backend
		for _, queue := range s.pool.Queues {
			for _, typ := range slices.Concat(handles, pulls) {
				for priority := Low; priority <= High; priority++ {
					q.drawFor(Lane{Queue: queue, Type: typ, Priority: priority})
				}
			}
		}
	}
	q.wake(w)
	q.staffed(s)
	return Lie{}
}

// Death is how a life has ended.
type Death struct {
	Unfinished ID    // the batch that it worked on, if it is known how far it had come
	Items      Tally // of that batch
	Cause      any   // the caller's
}

// Leave takes a worker away that has ended. What it held and had not begun goes back to the front
// of the queue; an attempt that it had begun has failed. It reports whether it was at work on one.
func (q *Queue) Leave(id Worker, d Death, now Time) (blamed bool) {
	w := q.workers[id]
	if w == nil {
		return false
	}
	q.timers.tell(now)
	w.gone, w.fetches = true, nil
	delete(q.workers, id)
	q.ready = slices.DeleteFunc(q.ready, func(o *worker) bool { return o == w })
	q.leaveKind(w)
	if w.slot.worker == w { // otherwise the next life is there
		w.slot.worker = nil
	}
	w.slot.count()
	q.reckon()
	q.rehome()
	for _, t := range heldBy(w) {
		switch {
		case t.state == running:
			blamed = true
			v := Verdict{Kind: Died, Cause: d.Cause}
			if t.condemned != spared {
				v.Kind = t.condemned.verdict().Kind
			}
			if t.Items > 0 && t.id == d.Unfinished { // what it had finished stands
				v.Items, v.Kept = d.Items, true
			}
			q.endAttempt(t, v)
		case t.condemned != spared: // it was cancelled before it had begun
			q.endAttempt(t, t.condemned.verdict())
		default:
			q.giveBack(t)
		}
	}
	if w.slot.removed && w.slot.worker == nil {
		delete(q.slots, w.slot.id)
	}
	if !w.slot.coming {
		q.failUnservable()
	}
	q.handOut()
	return blamed
}

// Worked reports whether a worker has ended an attempt at a task.
func (q *Queue) Worked(id Worker) bool {
	w := q.workers[id]
	return w != nil && w.done > 0
}

// Retire gives a worker nothing new; what it has not begun goes to others. It is told with Retired
// when it holds nothing any more. It reports whether the worker is ready.
func (q *Queue) Retire(id Worker) bool {
	w := q.workers[id]
	if w == nil {
		return false
	}
	q.retire(w)
	q.handOut()
	return true
}
