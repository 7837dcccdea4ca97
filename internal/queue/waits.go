package queue

import "slices"

// This file says who could bring a task further. The broker asks it to find circles of waits.

// Helper is one that could end a wait.
type Helper struct {
	Slot   Slot  // a worker, whose loop does it; 0: anybody
	Pulled *Task // that the worker has asked for, and may work on beside its loop; else nil
}

// Helpers yields the workers of which each could bring a task further: the worker that runs it, or
// those with the tasks of which one has to come back before this one can go out, or the workers
// that may get it. A worker that is to become ready may turn out to take it. If there is no such
// worker, the task is about to get its outcome, and anybody is yielded.
func (q *Queue) Helpers(t *Task, yield func(Helper) bool) {
	if t.holder == nil && q.throttleHelps(t.lane, t.key(), yield) {
		return
	}
	if t.state == running && t.holder.slot.worker != t.holder { // it is being killed
		yield(Helper{})
		return
	}
	if t.state == running {
		h := Helper{Slot: t.holder.slot.id}
		if t.holder.kind.types[t.lane.Type] != given {
			h.Pulled = t
		}
		yield(h)
		return
	}
	if t.lane.bucket > 0 {
		t.lane.homeHelps(yield)
		return
	}
	q.helpersOf(t.lane.Lane, t.lane.waiters, yield)
}

// throttleHelps yields the helpers with those tasks of which each could let a task of a lane and a
// key go on, for workers have as many of them as they may. Otherwise it reports false. That a task
// waits for a token does not count: it ends by itself.
func (q *Queue) throttleHelps(l *lane, key string, yield func(Helper) bool) bool {
	before := q.before(l, key)
	if before == nil {
		return false
	}
	more := true
	for _, w := range q.ready {
		for t := w.held.first; t != nil && more; t = t.next {
			if before(t) {
				q.Helpers(t, func(h Helper) bool {
					more = yield(h)
					return more
				})
			}
		}
	}
	return true
}

// before returns what is true for the tasks with workers of which one has to come back before a
// task of a lane and a key can go out, or nil if none has.
func (q *Queue) before(l *lane, key string) func(t *Task) bool {
	if k := q.keys[key]; k != nil {
		if !l.shared && k.alone > 0 {
			return func(t *Task) bool { return t.key() == key && !t.lane.shared }
		}
		for _, h := range l.keyed {
			if g := k.gate(h); g != nil && g.isFull() {
				return func(t *Task) bool { return t.key() == key && h.fits(t.lane.Lane) }
			}
		}
	}
	for _, g := range l.all {
		if g.isFull() {
			return func(t *Task) bool { return g.of.fits(t.lane.Lane) }
		}
	}
	return nil
}

// homeHelps yields the home of a sticky lane, or anybody if nobody takes its tasks.
func (l *lane) homeHelps(yield func(Helper) bool) {
	if l.home == 0 {
		yield(Helper{})
		return
	}
	yield(Helper{Slot: l.home})
}

// WouldHelp yields what Helpers will yield for a task that is not submitted yet.
func (q *Queue) WouldHelp(o *Options, to Lane, waiting []Slot, yield func(Helper) bool) {
	if key := o.key(); key != "" || len(q.throttles) > 0 {
		l := &lane{laneKey: laneKey{Lane: to}}
		for _, h := range q.throttles {
			l.add(h, to)
		}
		if q.throttleHelps(l, key, yield) {
			return
		}
	}
	waiters := q.waitersOf(to.Queue, waiting)
	if b := o.bucket(); b > 0 {
		l := &lane{laneKey: laneKey{Lane: to, bucket: b}, waiters: waiters}
		l.home = q.homeOf(l)
		l.homeHelps(yield)
		return
	}
	q.helpersOf(to, waiters, yield)
}

// helpersOf yields the workers that may get a task of a lane.
func (q *Queue) helpersOf(to Lane, waiters []*worker, yield func(Helper) bool) {
	none := true
	for _, p := range q.pools {
		if !p.takesFrom(to.Queue) {
			continue
		}
		for _, s := range p.slots {
			w := s.worker
			switch {
			case w == nil && s.gone:
				continue
			case w != nil && (slices.Contains(waiters, w) || w.retiring && s.leaving):
				continue
			case w != nil && !w.retiring && !w.kind.takes(to.Queue, to.Type):
				continue
			case w != nil && w.kind.takes(to.Queue, to.Type) && w.kind.types[to.Type] != given:
				yield(Helper{})
				return
			}
			none = false
			if !yield(Helper{Slot: s.id}) {
				return
			}
		}
	}
	if none {
		yield(Helper{})
	}
}

// RoomHelpers yields those of which each could make room in the queue: any worker.
func (q *Queue) RoomHelpers(yield func(Helper) bool) {
	for _, p := range q.pools {
		for _, s := range p.slots {
			if (s.worker != nil || !s.gone) && !yield(Helper{Slot: s.id}) {
				return
			}
		}
	}
}

// SlotHelpers yields those of which each could bring the tasks further that a slot's worker has.
func (q *Queue) SlotHelpers(id Slot, yield func(Helper) bool) {
	s := q.slots[id]
	if s == nil || s.worker == nil || s.worker.held.n == 0 {
		yield(Helper{})
		return
	}
	for t := s.worker.held.first; t != nil; t = t.next {
		if t.state == running {
			yield(Helper{Slot: id})
			return
		}
	}
	q.Helpers(s.worker.held.last, yield)
}

// PoolHelpers yields those of which each could bring the tasks further that no worker has yet, in
// the queues of a pool: one of them stands for the others.
func (q *Queue) PoolHelpers(id Pool, yield func(Helper) bool) {
	for _, l := range q.lanes {
		if l.open() && slices.ContainsFunc(q.pools, func(p *pool) bool { return p.id == id && p.takesFrom(l.Queue) }) {
			q.Helpers(l.first(), yield)
			return
		}
	}
	yield(Helper{})
}

// Held is how many tasks a worker has.
func (q *Queue) Held(id Worker) int {
	if w := q.workers[id]; w != nil {
		return w.held.n
	}
	return 0
}

// Running returns a task that a worker has and has begun with, or nil.
func (q *Queue) Running(id Worker, task ID) (*Task, Lie) {
	if q.workers[id] == nil {
		return nil, Lie{Kind: NotReady}
	}
	if t := q.out[task]; t != nil && t.holder.id == id && t.state == running {
		return t, Lie{}
	}
	return nil, Lie{}
}

// Takers returns how many workers of a pool take tasks of a type, or may turn out to do so, and
// whether one of them asks for them.
func (q *Queue) Takers(id Pool, typ string) (n int, ask bool) {
	for _, p := range q.pools {
		if p.id != id {
			continue
		}
		for _, s := range p.slots {
			takes := s.worker == nil && !s.gone
			if s.worker != nil {
				var place int
				place, takes = s.worker.kind.types[typ]
				ask = ask || takes && place != given
			}
			if takes {
				n++
			}
		}
	}
	return n, ask
}

// Known returns the types of tasks that workers take, or took, from a queue, in order.
func (q *Queue) Known(queue string) []string {
	var known []string
	for _, p := range q.pools {
		for _, s := range p.slots {
			if s.kind != nil && p.takesFrom(queue) {
				known = append(append(known, s.kind.handles...), s.kind.pulls...)
			}
		}
	}
	slices.Sort(known)
	return slices.Compact(known)
}

// Waiting returns the lives of workers that must not get a task, since they wait for it.
func (q *Queue) Waiting(t *Task) []Worker {
	var ids []Worker
	for _, w := range t.lane.waiters {
		ids = append(ids, w.id)
	}
	return ids
}
