package queue

// list is tasks in order, which are linked by themselves. A task is in one list at most: which one
// that is follows from its state. The zero value is empty.
type list struct {
	first *Task // or nil
	last  *Task // or nil
	n     int   // how many there are
}

// push puts a task behind all others.
func (l *list) push(t *Task) { l.insert(t, nil) }

// insert puts a task before another one of the list, or behind all if that is nil.
func (l *list) insert(t, before *Task) {
	t.next = before
	if before != nil {
		t.prev, before.prev = before.prev, t
	} else {
		t.prev, l.last = l.last, t
	}
	if t.prev != nil {
		t.prev.next = t
	} else {
		l.first = t
	}
	l.n++
}

// remove takes a task of the list out.
func (l *list) remove(t *Task) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		l.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		l.last = t.prev
	}
	t.prev, t.next = nil, nil
	l.n--
}

// appendTo appends the tasks of the list to others.
func (l *list) appendTo(tasks []*Task) []*Task {
	for t := l.first; t != nil; t = t.next {
		tasks = append(tasks, t)
	}
	return tasks
}
