package queue

import "slices"

// This file is the tasks with keys, of which one task of a key is with a worker at a time. A task
// with a key stands in its lane like any other until it comes to the front. If its key is taken
// then, it is parked in the line of its lane, out of the way of what is behind it. When the key is
// let go, the first of each line goes back to the front of its lane: the lanes may be for different
// workers, and nobody knows which of them has room first. Those that come too late are parked
// again, as the first of their lines.

// takeKey gives a task that is about to go out its key, if no other task has it, and else parks the
// task.
func (q *Queue) takeKey(t *Task) bool {
	key := t.key()
	if key == "" {
		return true
	}
	k := q.keys[key]
	if k == nil {
		q.keys[key] = &keyState{owner: t}
		return true
	}
	line := k.line(t.lane)
	wasNext := line != nil && line.next == t
	if wasNext {
		line.next = nil
	}
	if k.owner == nil {
		k.owner = t
		return true
	}
	if line == nil {
		line = &keyLine{lane: t.lane, place: len(t.lane.lines)}
		k.lines = append(k.lines, line)
		t.lane.lines = append(t.lane.lines, line)
	}
	q.move(t, parked)
	if wasNext {
		line.parked.insert(t, line.parked.first)
	} else {
		line.parked.push(t)
	}
	return false
}

// freeKey takes the key from a task that is with no worker any more, or has ended while it was
// parked or the next of its line. The first of each line goes on.
func (q *Queue) freeKey(t *Task) {
	key := t.key()
	if key == "" {
		return
	}
	k := q.keys[key]
	if k == nil {
		return
	}
	if k.owner == t {
		k.owner = nil
	}
	for _, line := range k.lines {
		if line.next == t {
			line.next = nil
		}
		if next := line.parked.first; k.owner == nil && next != nil && line.next == nil {
			line.parked.remove(next)
			line.next = next
			q.lineUp(next, true)
		}
	}
	k.lines = slices.DeleteFunc(k.lines, q.closeLine)
	if k.owner == nil && len(k.lines) == 0 {
		delete(q.keys, key)
	}
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
