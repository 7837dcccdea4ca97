package mail

// Outbox is the sending end of a conversation: what was written to the present life of the
// receiver, and what waits for room there, or for the next life. Messages are written in the order
// in which they were offered. M is a message that waits; L and C are what the ledger keeps of those
// that were written. Between two lives everything waits, as it does in the zero value.
//
// Who uses it asks Offer whether a message may be written at once, and else lets it Wait. It asks
// Next again and again, after whatever it has told the outbox, and writes what it gets. What was
// written is noted in Ledger, and what could not be written goes back with Window.Return.
type Outbox[M, L, C any] struct {
	Window Window
	Ledger Ledger[L, C]

	// waiting is the messages that have not been written.
	waiting line[M]
	// open says that there is a life, and that it has not been written its last message.
	open bool
}

// Open begins a life of the receiver, which has so much room.
func (o *Outbox[M, L, C]) Open(room int64) {
	o.open = true
	o.Window.Open(room)
}

// Offer takes the room for a message that is not in the line, and reports whether it may be written
// now. Else it has to Wait.
func (o *Outbox[M, L, C]) Offer(cost int64) bool {
	return o.open && o.waiting.count == 0 && o.Window.Take(cost)
}

// Wait puts a message behind all that wait.
func (o *Outbox[M, L, C]) Wait(p *Place[M]) { o.waiting.add(p) }

// Finish puts the last message of the present life behind all that wait. It reports false, and does
// nothing, if there is no life that could read it.
func (o *Outbox[M, L, C]) Finish(p *Place[M]) bool {
	if !o.open {
		return false
	}
	p.last = true
	o.waiting.add(p)
	return true
}

// Next takes the first message out of the line if it may be written now, and room for it. It
// returns nil if none may.
func (o *Outbox[M, L, C]) Next() *Place[M] {
	p := o.waiting.first
	switch {
	case p == nil || !o.open:
		return nil
	case p.last:
		o.open = false // what comes later waits for the next life
	case !o.Window.Take(p.Cost):
		return nil
	}
	o.waiting.remove(p)
	return p
}

// Withdraw takes a message back, and reports whether it could: one that does not wait any more has
// been written.
func (o *Outbox[M, L, C]) Withdraw(p *Place[M]) bool { return o.waiting.remove(p) }

// Waiting is the number of messages that wait.
func (o *Outbox[M, L, C]) Waiting() int { return o.waiting.count }

// Load is the number of messages and calls that wait, or are on their way to the receiver, or have
// not been answered there.
func (o *Outbox[M, L, C]) Load() int { return o.waiting.count + o.Ledger.Len() + o.Ledger.Calls() }

// Granted takes in what the receiver gives back: bytes of room, and the serial up to which messages
// have left its inbox. It reports false, and does nothing, if that cannot be true, or says nothing.
func (o *Outbox[M, L, C]) Granted(bytes, upTo uint64) bool {
	news := upTo != o.Ledger.confirmed
	if !news && bytes == 0 || news && !o.Ledger.knows(upTo) || !o.Window.Give(bytes) {
		return false
	}
	if news {
		o.Ledger.Handled(upTo)
	}
	return true
}

// Detach ends the life of the receiver; see Ledger.Detach. What waits goes on waiting, but for the
// last message of this life: the next one is not told to end.
func (o *Outbox[M, L, C]) Detach() (lost []L, calls []C) {
	o.open = false
	o.Window.Open(0)
	for p := o.waiting.first; p != nil; {
		next := p.next
		if p.last {
			o.waiting.remove(p)
		}
		p = next
	}
	return o.Ledger.Detach()
}

// Clear takes all out that waits, in order: no further life comes.
func (o *Outbox[M, L, C]) Clear() []*Place[M] {
	var all []*Place[M]
	for p := o.waiting.first; p != nil; p = o.waiting.first {
		o.waiting.remove(p)
		all = append(all, p)
	}
	return all
}
