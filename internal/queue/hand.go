package queue

import "slices"

// This file is who gets what. There are two ways in which a task and a worker find each other, and
// every event goes both:
//
//   - A lane has a new first task. Then it is stirred, and place looks for a worker: the one with
//     the least to do. That is so when the workers wait for tasks.
//   - A worker may have room. Then it is woken, and feed looks for a task: of all lanes that the
//     worker takes from, the one that goes first. That is so when the tasks wait for workers.
//
// A lane that has tasks in it beside workers that have no room is neither stirred nor looked at, so
// that a submission costs the same however many tasks wait. What neither way has given away then is
// what nobody may have now: TestSimulation looks for a task beside a worker that could have it
// after each event.

// handOut hands out what can be handed out: the last step of every event. What has come to the
// front of its lane goes to the worker with the least to do, and then the workers that have got
// room are looked after.
func (q *Queue) handOut() {
	for {
		q.unblock()
		if len(q.stirred.items) > 0 {
			q.place(q.stirred.remove(1))
			continue
		}
		w, ok := q.woken.Pop()
		if !ok {
			break
		}
		w.woken = false
		q.feed(w)
	}
	if q.demands {
		q.demands = false
		q.draw()
	}
	q.wind()
}

// wind asks for the next Tick, unless one for an earlier moment is under way.
func (q *Queue) wind() {
	c := &q.timers
	c.timed = false
	if len(c.unstamped) > 0 && !c.asked {
		c.asked = true
		q.emit(Effect{Kind: Wake, At: 0})
	}
	if next := c.next(); next < c.wakes {
		c.wakes = next
		q.emit(Effect{Kind: Wake, At: next})
	}
}

// take takes the first task of a lane, if it may run now; one that its key holds up is parked, and
// nil returned. Whoever calls looks again then: with another first task, another lane may go first.
func (q *Queue) take(l *lane) *Task {
	t := l.first()
	q.leaveLine(t)
	if t.isFree() {
		return t
	}
	k, ok := q.takeKey(t)
	if !ok {
		return nil
	}
	q.goOut(t, k)
	return t
}

// place hands tasks of a lane to the workers that have room, those with the fewest first. A worker
// that has just got room may get another task, which goes before.
func (q *Queue) place(l *lane) {
	for !q.halted && l.open() {
		w, at, spare := q.choose(l)
		if w == nil {
			return
		}
		var best *lane
		if at >= 0 {
			best = w.kind.nextPulled(w, w.fetches[at].types)
		} else {
			best = w.kind.nextWork(w)
		}
		if t := q.take(best); t != nil {
			q.assign(t, w, at)
			if spare || best != l && at < 0 && q.idleFor(t) {
				q.watch(t)
			}
		}
	}
}

// choose returns the worker that gets the next task of the lane: one with a request that waits for
// it, and the place of that, or with -1 the one with the least to do: with the fewest tasks or, of
// those with as many, the fewest messages and calls. Of several from which a task was taken that
// they had not begun, it is the one from which that was longest ago. It returns nil if none has
// room. spare reports whether there is another one that has nothing to do.
func (q *Queue) choose(l *lane) (best *worker, at int, spare bool) {
	load := -1 // of best in messages and calls; -1: unknown
	for _, o := range l.offers {
		for _, w := range o.kind.workers {
			switch {
			case !w.sound(), l.bars(w):
			case o.pull != given:
				if i := w.fetchOf(o.pull); i >= 0 {
					return w, i, false
				}
			case !w.hasRoom():
			case best == nil, w.before(best):
				spare = spare || best != nil && best.idle()
				best, load = w, -1
			case best.before(w):
				spare = spare || w.idle()
			default:
				spare = spare || w.idle()
				if load < 0 {
					load = q.busy(best)
				}
				if load == 0 && spare && best.held.n == 0 && !best.isAway() {
					return best, -1, true // nobody has less to do
				}
				if n := q.busy(w); n < load || n == load && w.away < best.away {
					best, load = w, n
				}
			}
		}
	}
	return best, -1, spare
}

// busy is how many messages and calls a worker has to handle.
func (q *Queue) busy(w *worker) int {
	if q.cfg.Busy == nil {
		return 0
	}
	return q.cfg.Busy(w.id)
}

// feed hands a worker that has room what it takes: of the highest priority, the oldest first. If
// there is nothing and it has nothing to do, tasks that other workers have not begun are taken back
// for it.
func (q *Queue) feed(w *worker) {
	switch {
	case w.gone:
		return
	case w.retiring && w.slot.worker != w: // it is being killed, and its slot has the next life
		return
	case w.retiring:
		q.reckon()
		q.leadOut(w)
		return
	}
	for !q.halted && w.hasRoom() {
		l := w.kind.nextWork(w)
		if l == nil {
			break
		}
		if t := q.take(l); t != nil {
			q.assign(t, w, -1)
		}
	}
	for i := 0; i < len(w.fetches); {
		if !q.answer(w, i) {
			i++
		}
	}
	q.reckon()
	if !q.halted && w.idle() {
		q.recallFor(w)
	}
}

// answer hands a worker a task that it waits for in one of its requests, if there is one, and
// reports whether there was.
func (q *Queue) answer(w *worker, at int) bool {
	for !q.halted && w.sound() {
		l := w.kind.nextPulled(w, w.fetches[at].types)
		if l == nil {
			return false
		}
		if t := q.take(l); t != nil {
			q.assign(t, w, at)
			return true
		}
	}
	return false
}

// assign gives a task to a worker: as the answer to one of its requests, or with -1 without being
// asked.
func (q *Queue) assign(t *Task, w *worker, at int) {
	e := Effect{Kind: Assign, Worker: w.id, Task: t, First: w.held.n == 0}
	if at >= 0 {
		f := w.fetches[at]
		w.fetches = slices.Delete(w.fetches, at, at+1)
		q.reckon() // the other lanes that it was for have less room
		f.task = t.id
		w.answered = append(w.answered, f)
		e.N = uint64(f.id)
	}
	q.move(t, assigned)
	t.holder = w
	w.held.push(t)
	q.out[t.id] = t
	q.emit(e)
}

// draw has as many tasks fetched from the Backend as the workers have room for, less those that are
// here already. What is on its way beyond that, since there is less room now, is drawn no more.
func (q *Queue) draw() {
	for _, l := range q.lanes {
		if !l.draws {
			continue
		}
		n := 0
		if !q.halted && !l.paused {
			n = max(0, l.wants(room(l))-l.n())
		}
		switch {
		case n > l.drawn:
			q.emit(Effect{Kind: Draw, Lane: &l.Lane, N: uint64(n - l.drawn)})
		case n < l.drawn:
			q.emit(Effect{Kind: DrawLess, Lane: &l.Lane, N: uint64(l.drawn - n)})
		}
		l.drawn = n
	}
}

// reckon has the tasks counted that are to come from a Backend, after there may be more room for
// them or less.
func (q *Queue) reckon() { q.demands = q.cfg.Stored }

// room is how many tasks of a lane the workers have room for.
func room(l *lane) int {
	n := 0
	for _, o := range l.offers {
		for _, w := range o.kind.workers {
			switch {
			case !w.sound():
			case o.pull == given:
				n += max(0, w.window()-w.held.n)
			default:
				for i := range w.fetches {
					if w.fetches[i].wait && w.fetches[i].types.has(o.pull) {
						n++
					}
				}
			}
		}
	}
	return n
}
