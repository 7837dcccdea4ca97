package queue

// condemn cancels a task on its worker: the end of the attempt is certain now. The event has told
// the time.
func (q *Queue) condemn(t *Task, by condemned, soft bool) {
	if t.condemned != spared {
		if by == byCancel { // its time was up already, and now it is not to be attempted again
			t.condemned = by
		}
		return
	}
	t.condemned = by
	t.holder.suspect++
	q.reckon()
	q.emit(Effect{Kind: Cancel, Worker: t.holder.id, Task: t, Soft: soft})
	q.timers.drop(t)
	if t.state == running { // a worker that has not begun the task drops it, whatever else it does
		q.allowGrace(t)
	}
}

// allowGrace gives a condemned task, which runs, the time to end by itself. Shortly before the time
// is over, the worker is asked for its stacks, so that an error can say where it was. The worker's
// other tasks are recalled, so that they are not lost if it is killed.
func (q *Queue) allowGrace(t *Task) {
	q.recallAhead(t.holder)
	q.timers.set(t, dumps, after(q.timers.now, t.Grace()-t.lead()))
}

// askForStacks asks the holder of a condemned task, which still runs, where it is.
func (q *Queue) askForStacks(t *Task) {
	q.emit(Effect{Kind: Dump, Worker: t.holder.id, Task: t})
	q.timers.set(t, kills, after(q.timers.now, t.lead()))
}

// kill kills the holder of a condemned task, which still runs: its grace is over.
func (q *Queue) kill(t *Task) {
	t.holder.doomed = true
	q.emit(Effect{Kind: Kill, Worker: t.holder.id, Task: t, Verdict: t.condemned.verdict()})
}
