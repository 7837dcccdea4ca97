package mail

// Place is where a waiting message stands in a line. Whoever has the message makes its place, in
// the memory that it keeps for the message, and sets the exported fields. A place stands in one
// line at most.
type Place[M any] struct {
	Message M     // the message that waits
	Cost    int64 // how many bytes of the receiver's room the message takes

	// last says that nothing more is written to this life behind the message, which costs nothing.
	// Only the outbox sets it.
	last bool
	// died is in how many lives that have ended a handler was in the middle of the message. Only
	// the outbox changes it.
	died int
	// in is the line that the place stands in, or nil. Only the line touches it.
	in *line[M]
	// prev and next are the neighbours of the place in its line, or nil. Only the line changes
	// them.
	prev, next *Place[M]
}

// line is places, first in, first out. A place can be taken out of the middle. The zero value is
// empty. The outbox that has the line is the only one to touch it.
type line[M any] struct {
	first, last *Place[M] // the ends of the line; nil if it is empty
	count       int       // how many places stand in the line
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

// addFirst puts a place before all others.
func (l *line[M]) addFirst(p *Place[M]) {
	p.in, p.prev, p.next = l, nil, l.first
	if l.first == nil {
		l.last = p
	} else {
		l.first.prev = p
	}
	l.first = p
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

// IsLast reports whether the message is the last one for a life; see Outbox.Finish.
func (p *Place[M]) IsLast() bool { return p.last }

// Died returns in how many lives that have ended a handler was in the middle of the message; see
// Outbox.Again.
func (p *Place[M]) Died() int { return p.died }
