package queue

// Neglected returns a task that a worker with nothing to do could have, or nil. After an event and
// its effects there is none: if there is one, these rules are wrong.
func (q *Queue) Neglected() *Task {
	if q.halted {
		return nil
	}
	for _, w := range q.ready {
		if !w.idle() || !w.hasRoom() {
			continue
		}
		if l := w.kind.nextWork(w); l != nil {
			return l.first()
		}
	}
	return nil
}
