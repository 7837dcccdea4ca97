package queue

// This file is the steps in which a task goes through its gates, and in which gates open and shut.
// A lane whose first task cannot go through is shut: as if it were empty, so that it costs nothing
// however many tasks wait in it, and holds up no other lane. A task that its own key holds up is
// parked in the line of its key, as keys.go says.

// countOut counts a task at its gates, and at the state of its key, if it has one, as one that a
// worker has or, with -1, has no more.
func (t *Task) countOut(k *keyState, by int) {
	for _, g := range t.lane.all {
		g.out += by
	}
	if k == nil {
		return
	}
	if !t.lane.shared {
		k.alone += by
	}
	for _, h := range t.lane.keyed {
		k.gateOf(h).out += by
	}
}

// goOut counts a task that goes to a worker, and takes it through its gates, which it may shut.
func (q *Queue) goOut(t *Task, k *keyState) {
	t.countOut(k, 1)
	for _, g := range t.lane.all {
		q.takeToken(g, t)
		q.reconsiderAll(g)
	}
	keyed := k != nil && len(t.lane.keyed) > 0
	if keyed {
		for _, h := range t.lane.keyed {
			q.takeToken(k.gateOf(h), t)
		}
		q.advance(k) // others of the key may have room beside it
	}
	t.paid = t.paid || keyed || len(t.lane.all) > 0
}

// comeBack counts a task that is with no worker any more, and lets others go on.
func (q *Queue) comeBack(t *Task) {
	k := q.keyOf(t)
	t.countOut(k, -1)
	for _, g := range t.lane.all {
		q.reconsiderAll(g)
	}
	q.freeKey(k, t)
}

// isFree reports whether neither a key nor a throttle is of interest to a task.
func (t *Task) isFree() bool { return t.Options == nil && len(t.lane.all) == 0 }

// takeToken has a task that goes through a gate take its token.
func (q *Queue) takeToken(g *Gate, t *Task) {
	if t.paid || g.of.Rate == 0 {
		return
	}
	g.tokens, g.used = max(0, g.tokens-t.count()), true
	q.ask(g, t, t.count())
}

// ask tells how many tokens a task takes that goes through a gate, and asks how many are left.
func (q *Queue) ask(g *Gate, t *Task, n int) {
	g.asked++
	q.timers.dropGate(g)
	q.emit(Effect{Kind: Token, Gate: g, Task: t, N: uint64(n)})
}

// reconsiderAll looks whether the lanes of a gate can be handed out, after it may have opened or
// shut.
func (q *Queue) reconsiderAll(g *Gate) {
	for _, l := range q.behind[g.of.place] {
		if l.n() > 0 {
			q.reconsider(l)
		}
	}
}

// reconsider looks whether a lane can be handed out, after one of its gates may have opened or
// shut.
func (q *Queue) reconsider(l *lane) {
	was := l.open()
	q.changed(l)
	if !was {
		q.stir(l)
	}
}
