package queue

import "github.com/multiprolab/multiprolab/internal/ablate"

// This file is how the tasks are counted beyond their states, which Queue.move counts, and what
// others are told of it.

// letters changes the number of dead letters of a lane.
func (q *Queue) letters(l *lane, by int) {
	q.queues.refer(l.queue, func() { l.queue.dead += by })
	q.types.refer(l.typ, func() { l.typ.dead += by })
}

// waited counts the time for which a task has waited that begins now.
func (q *Queue) waited(t *Task) {
	if ablate.Without(ablate.Figures) {
		return
	}
	t.lane.typ.times().Wait.Add(q.timers.now-t.began, uint64(t.count()))
}

// ran counts the time that an attempt at a task took that ends now. The items of a batch have equal
// parts of it.
func (q *Queue) ran(t *Task, v Verdict) {
	if ablate.Without(ablate.Figures) {
		return
	}
	took := min(v.Took, q.timers.now) // whatever a worker says, it has not run for longer than the program
	if took <= 0 {
		took = q.timers.now - t.began
	}
	n := 1
	if t.Items > 0 {
		n = max(1, v.Items.count())
	}
	s := t.holder.slot
	s.counts.Ended += n
	s.counts.Busy += took
	each := took
	if n > 1 {
		each /= Time(n)
	}
	times := t.lane.typ.times()
	times.Run.Add(each, uint64(n))
	times.Slowest.Add(each, Slow{Task: t.id, Slot: s.id, Items: t.Items, Ended: q.timers.now})
}

// SlotState is what a slot has to do with tasks at a moment.
type SlotState struct {
	SlotCounts
	Assigned int     // tasks that its worker has and has not begun, and those of a batch that it has
	Running  []*Task // tasks that it has begun: the first of them, if there are many
}

// mostShown is how many running tasks of a worker SlotState has.
const mostShown = 16

// StateOf returns what a slot has to do with tasks.
func (q *Queue) StateOf(id Slot) (s SlotState) {
	of := q.slots[id]
	if of == nil {
		return s
	}
	s.SlotCounts = of.counts
	if of.worker == nil {
		return s
	}
	for t := of.worker.held.first; t != nil; t = t.next {
		switch {
		case t.state != running:
			s.Assigned += t.count()
		case len(s.Running) < mostShown:
			s.Running = append(s.Running, t)
		}
	}
	return s
}

// BegunAt is when the attempt has begun that runs.
func (t *Task) BegunAt() Time { return t.began }

// Queues yields the counts of each queue; the last are those of all that have none of their own, if
// there are any. They are not to be kept.
func (q *Queue) Queues(yield func(c *Counts) bool) { q.queues.all(yield) }

// Types yields the counts of each type, as Queues does.
func (q *Queue) Types(yield func(c *Counts) bool) { q.types.all(yield) }

// Paused reports whether the tasks of a queue are not handed out, and when that ends by itself, or
// 0.
func (q *Queue) Paused(queue string) (paused bool, until Time) {
	for _, p := range q.pauses {
		if p.queue == "" || p.queue == queue {
			paused, until = true, max(until, p.until)
		}
	}
	if until == never {
		until = 0
	}
	return paused, until
}

// mostLooked is at how many tasks Oldest looks.
const mostLooked = 10_000

// Oldest yields the queue of each lane that has a task which waits for a worker, for its key or for
// a throttle, and when the oldest of these has come, or was due. It does not know when tasks have
// come that are in a Backend. It looks at so few tasks that this takes no long time: if there are
// more lanes than that, it knows nothing of the last ones.
func (q *Queue) Oldest(yield func(queue string, since Time) bool) {
	left := mostLooked
	for _, l := range q.lanes {
		if left <= 0 {
			return
		}
		since, looked := l.oldest(left)
		if left -= looked; since < never && !yield(l.queue.name, since) {
			return
		}
	}
}

// HeldBack yields the queue of each lane with tasks that a throttle holds back, and how many: those
// behind a task that cannot go through a gate of the lane, also in a Backend, and those that a gate
// of their key does not let through now. Like Oldest, it looks at so many lanes and keys only.
func (q *Queue) HeldBack(yield func(queue string, n int) bool) {
	if len(q.throttles) == 0 {
		return
	}
	left := mostLooked
	for _, l := range q.lanes {
		if left <= 0 {
			return
		}
		n, looked := l.heldBack(q.keys, left)
		if left -= looked; n > 0 && !yield(l.queue.name, n) {
			return
		}
	}
}

// heldBack returns how many tasks of the lane a throttle holds back. It looks at so many keys at
// most, and says at how many, itself included.
func (l *lane) heldBack(keys map[string]*keyState, most int) (n, looked int) {
	switch {
	case l.shut:
		return l.waits, 1
	case len(l.keyed) == 0:
		return 0, 1
	}
	lines := l.lines[:min(len(l.lines), most)]
	for _, line := range lines {
		if t := line.parked.first; t != nil && keys[t.key()].throttles(t) {
			n += line.parked.n
		}
	}
	return n, 1 + len(lines)
}

// oldest returns when the oldest of the tasks has come, or was due, that wait in the lane for
// anything but their time; never if there is none. It looks at so many tasks at most, and at one
// for certain, and says at how many.
func (l *lane) oldest(most int) (since Time, looked int) {
	since, looked = never, 1
	if t := l.ready.first; t != nil { // these have come in the order in which they were due
		since = t.began
	}
	for _, t := range l.front.items[:min(len(l.front.items), most)] {
		since = min(since, t.began)
		looked++
	}
	for _, line := range l.lines[:min(len(l.lines), most)] {
		if t := line.parked.first; t != nil {
			since = min(since, t.began)
		}
		looked++
	}
	return since, looked
}
