package queue

import "slices"

// This file is the tasks with keys, of which one task of a key is with a worker at a time, or as
// many as a throttle says. A task with a key stands in its lane like any other until it comes to
// the front. If it may not go out then because of its key, it is parked in the line of its lane,
// out of the way of what is behind it. When a further task of the key may go out, the first of each
// line goes back to the front of its lane: the lanes may be for different workers, and nobody knows
// which of them has room first. Those that come too late are parked again, as the first of their
// lines but for what is older and was given back meanwhile.

// takeKey returns the state of the key of a task that is about to go out, or nil if it has none,
// and whether the task may go out as far as the key is concerned. If not, the task is parked.
func (q *Queue) takeKey(t *Task) (k *keyState, ok bool) {
	key := t.key()
	if key == "" {
		return nil, true
	}
	k = q.keys[key]
	if k == nil {
		return q.newKey(key), true
	}
	line := k.line(t.lane)
	if line != nil && line.next == t {
		line.next = nil
	}
	if k.lets(t) {
		return k, true
	}
	if line == nil {
		line = &keyLine{lane: t.lane, place: len(t.lane.lines)}
		k.lines = append(k.lines, line)
		t.lane.lines = append(t.lane.lines, line)
	}
	q.park(t, line)
	return k, false
}

// park puts a task into the line of its key: one that goes before those of its lane that have not
// been out yet goes before them here, too, and after what is older.
func (q *Queue) park(t *Task, line *keyLine) {
	if next := line.next; next != nil && t.front && t.id < next.id {
		line.next = nil
		q.leaveLine(next)
		q.park(next, line)
	}
	q.move(t, parked)
	var behind *Task // which t goes before; nil: it is the last
	if t.front {
		behind = line.parked.first
		for behind != nil && behind.front && behind.id < t.id {
			behind = behind.next
		}
	}
	line.parked.insert(t, behind)
}

// freeKey lets others of the key of a task go on, which is with no worker any more, or has ended
// while it was parked or the next of its line. k is the state of its key, if it has one.
func (q *Queue) freeKey(k *keyState, t *Task) {
	if k == nil {
		return
	}
	for _, line := range k.lines {
		if line.next == t {
			line.next = nil
		}
	}
	q.advance(k)
}

// advance lets the first task of each line of a key go on, if it may go out, and forgets what
// nobody needs.
func (q *Queue) advance(k *keyState) {
	for _, line := range k.lines {
		if next := line.parked.first; next != nil && line.next == nil && k.lets(next) {
			line.parked.remove(next)
			line.next = next
			q.lineUp(next, true)
		}
	}
	if len(k.lines) > 0 {
		k.lines = slices.DeleteFunc(k.lines, q.closeLine)
	}
	q.dropKey(k)
}

// closeLine forgets a line that no task needs, and reports whether it is one.
func (q *Queue) closeLine(line *keyLine) bool {
	if line.parked.n > 0 || line.next != nil {
		return false
	}
	l := line.lane
	last := len(l.lines) - 1
	l.lines[line.place] = l.lines[last]
	l.lines[line.place].place = line.place
	l.lines[last] = nil
	l.lines = l.lines[:last]
	return true
}

// keyOf returns the state of the key of a task, or nil if it has none.
func (q *Queue) keyOf(t *Task) *keyState {
	if key := t.key(); key != "" {
		return q.keys[key]
	}
	return nil
}

// newKey makes the state of a key that has none.
func (q *Queue) newKey(key string) *keyState {
	k := q.spareKey
	if q.spareKey = nil; k == nil {
		k = &keyState{}
	}
	k.key, k.place = key, len(q.keyList)
	q.keys[key] = k
	q.keyList = append(q.keyList, k)
	return k
}

// dropKey forgets a key that no task needs, and no throttle.
func (q *Queue) dropKey(k *keyState) {
	if k.alone > 0 || len(k.lines) > 0 || k.key == "" {
		return
	}
	for _, g := range k.gates {
		if g.out > 0 || g.used && !q.halted {
			return
		}
	}
	for _, g := range k.gates {
		q.forgetGate(g)
	}
	delete(q.keys, k.key)
	last := len(q.keyList) - 1
	q.keyList[k.place] = q.keyList[last]
	q.keyList[k.place].place = k.place
	q.keyList[last] = nil
	q.keyList = q.keyList[:last]
	clear(k.gates)
	*k = keyState{gates: k.gates[:0], lines: k.lines[:0]}
	q.spareKey = k
}

// forgetGate forgets a gate, whose alarm does not go off any more.
func (q *Queue) forgetGate(g *Gate) {
	g.gone = true
	q.timers.dropGate(g)
}

// endThrottles forgets what is known of the rates, once nothing is handed out any more.
func (q *Queue) endThrottles() {
	for len(q.timers.gates.items) > 0 {
		q.timers.gates.remove(1)
	}
	for _, k := range slices.Clone(q.keyList) {
		q.dropKey(k)
	}
}
