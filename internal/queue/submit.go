package queue

// Submit takes a task. waiting names the slots whose loops do not go on before it has its outcome:
// their present lives must not get it. If wait is not set, a queue that is full refuses it. The
// task is not taken if there is a refusal or a lie; else its outcome will come.
func (q *Queue) Submit(t *Task, to Lane, waiting []Slot, wait bool, now Time) (Refusal, Lie) {
	if q.stopped {
		return Refusal{Kind: RefusedStop}, Lie{}
	}
	by := submission{t.From, t.Number}
	if t.From != 0 && (t.Number == 0 || q.submitted[by] != nil) {
		return Refusal{}, Lie{Kind: NumberUsed, N: t.Number}
	}
	if r := q.enlist(t, to, waiting, wait, now); r.Refused() {
		return r, Lie{}
	}
	q.handOut()
	return Refusal{}, Lie{}
}

// enlist takes a task into the books, unless it is refused.
func (q *Queue) enlist(t *Task, to Lane, waiting []Slot, wait bool, now Time) Refusal {
	var waiters []*worker
	if len(waiting) > 0 {
		waiters = q.waitersOf(to.Queue, waiting)
	}
	l := q.laneOf(to, waiters, t.options().bucket())
	if r := q.servable(l); r.Refused() {
		q.dropLane(l)
		return r
	}
	full := q.full(t)
	if full.Refused() && !wait {
		q.dropLane(l)
		return full
	}
	q.enter(t, l)
	if t.From != 0 && t.Number != 0 {
		q.submitted[submission{t.From, t.Number}] = t
	}
	t.began = max(now, q.timers.now)
	if d := t.delay(); d > 0 {
		q.timers.tell(now)
		t.at = after(now, d)
		t.began = t.at
	}
	q.move(t, blocked)
	if full.Refused() {
		q.blocked.push(t)
	} else {
		q.admit(t)
	}
	return Refusal{}
}

// enter takes a task into the books of its lane.
func (q *Queue) enter(t *Task, l *lane) {
	if t.id == 0 {
		q.lastID++
		t.id = q.lastID
	}
	t.lane = l
	l.total++
	q.live++
	for _, f := range q.figuresOf(l) {
		f.received += t.count()
	}
}

// Submitted returns the task of a worker that it has submitted under a number and that has not
// ended, or nil. Tasks of main are known by their Task alone.
func (q *Queue) Submitted(from Submitter, number uint64) *Task {
	return q.submitted[submission{from, number}]
}

// Cancel cancels a task for its submitter: since the deadline of that one has passed, if soft is
// set. One that has ended stays as it is.
func (q *Queue) Cancel(t *Task, soft bool, now Time) { q.giveUp(t, byCancel, soft, now) }

// Refuse ends a task for which its submitter must not wait, since the waits would be a circle. One
// that has begun stays as it is.
func (q *Queue) Refuse(t *Task, now Time) {
	if t.state != running {
		q.giveUp(t, byCircle, false, now)
	}
}

// MayRefuse reports whether Refuse would make a difference: no worker has begun with the task, and
// it is not certain yet how it ends.
func (q *Queue) MayRefuse(t *Task) bool {
	return t.state != fresh && t.state != running && t.state != ended && t.condemned == spared
}

// giveUp ends a task, or condemns it if a worker has it.
func (q *Queue) giveUp(t *Task, by condemned, soft bool, now Time) {
	if t.state == fresh || t.state == ended {
		return
	}
	q.timers.tell(now)
	if t.holder == nil {
		q.end(t, by.verdict(), 0)
	} else {
		q.condemn(t, by, soft)
	}
	q.handOut()
}

// Withdraw cancels a task if it waits for room, and reports whether it did.
func (q *Queue) Withdraw(t *Task) bool {
	if t.state != blocked {
		return false
	}
	q.end(t, Verdict{Kind: Cancelled}, 0)
	q.handOut()
	return true
}

// IsBlocked reports whether a task waits for room.
func (q *Queue) IsBlocked(t *Task) bool { return t.state == blocked }

// CancelPending cancels what no worker has been given, of one queue or, with "", of all: what it
// finds, and nothing that gets room by it. It returns the number of tasks; each item of a batch is
// one.
func (q *Queue) CancelPending(queue string) int {
	found := q.unheld(func(l *lane) bool { return queue == "" || l.Queue == queue })
	n := 0
	for _, t := range found {
		n += t.count() // before it ends
		q.end(t, Verdict{Kind: Cancelled}, 0)
	}
	q.handOut()
	return n
}
