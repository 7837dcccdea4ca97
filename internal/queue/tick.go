package queue

// Tick does what is to be done by now. To call it too early, or again, does no harm.
func (q *Queue) Tick(now Time) {
	c := &q.timers
	c.tell(now)
	c.asked = false
	if c.now >= c.wakes {
		c.wakes = never
	}
	c.stamp()
	for t, what := c.due(); t != nil; t, what = c.due() {
		q.ring(t, what)
	}
	for g := c.dueGate(); g != nil; g = c.dueGate() {
		q.rings(g)
	}
	if c.lookout <= c.now {
		c.lookout = never
		q.look()
	}
	if c.resumes <= c.now {
		q.endPauses(func(p queuePause) bool { return p.until <= c.now })
	}
	q.handOut()
}

// ring does what an alarm was set for.
func (q *Queue) ring(t *Task, what alarm) {
	switch what {
	case ripens:
		t.lane.later.remove(t)
		q.lineUp(t, false)
	case timesOut:
		q.condemn(t, byTimeout, true)
	case dumps:
		q.askForStacks(t)
	case kills:
		q.kill(t)
	case sits:
		q.takeBack(t)
	}
}
