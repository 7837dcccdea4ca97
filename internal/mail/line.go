package mail

// Place is where a message stands that waits. Its owner makes it, in what it keeps of the message,
// and sets the fields that are exported. It stands in one line at most.
type Place[M any] struct {
	Message M
	Cost    int64 // of the room of the receiver, in bytes

	// last says that nothing more is written to this life behind the message, which costs nothing;
	// the outbox's.
	last       bool
	in         *line[M] // the line that the place stands in, or nil; the line's
	prev, next *Place[M]
}

// line is places, first in, first out. A place can be taken out of the middle. The zero value is
// empty.
type line[M any] struct {
	first, last *Place[M]
	count       int // places in the line
}

// add puts a place at the end.
func (l *line[M]) add(p *Place[M]) {
	p.in, p.prev, p.next = l, l.last, nil
	if l.last == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
	l.count++
}

// remove takes a place out, and reports whether it was in the line.
func (l *line[M]) remove(p *Place[M]) bool {
	if p.in != l {
		return false
	}
	if p.prev == nil {
		l.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.in, p.prev, p.next = nil, nil, nil
	l.count--
	return true
}

// IsLast reports whether the message is the last of a life, which costs nothing; see Outbox.Finish.
func (p *Place[M]) IsLast() bool { return p.last }
