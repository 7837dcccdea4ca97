package mail

// Outbox is the sending end of a conversation: what was written to the present life of the
// receiver, and what waits for room there, or for the next life. Messages are written in the order
// in which they were offered. M is a message that waits; L and C are what the ledger keeps of
// messages and calls that were written. Between two lives everything waits, as it does in the zero
// value.
//
// Who uses the outbox guards it, and asks Offer whether a message may be written at once; if not,
// it lets the message Wait. After everything that it tells the outbox it asks Next until that
// returns nil, and writes what it gets. It notes in Ledger what was written, and gives the room of
// what could not be written back with Window.Return.
type Outbox[M, L, C any] struct {
	Window Window       // the room that the receiver has
	Ledger Ledger[L, C] // what was written to the present life and has not been confirmed

	// waiting is the messages that have not been written.
	waiting line[M]
	// open says that there is a life, and that the last message for it has not been written.
	open bool
}

// Open begins a life of the receiver, which has so many bytes of room.
func (o *Outbox[M, L, C]) Open(room int64) {
	o.open = true
	o.Window.Open(room)
}

// Offer takes the room for a message that does not wait, and reports whether it may be written now.
// If not, the message has to Wait.
func (o *Outbox[M, L, C]) Offer(cost int64) bool {
	return o.open && o.waiting.count == 0 && o.Window.Take(cost)
}

// Wait puts a message behind all messages that wait.
func (o *Outbox[M, L, C]) Wait(p *Place[M]) { o.waiting.add(p) }

// Finish puts the last message for the present life behind all messages that wait. It costs no
// room. Finish reports false, and does nothing, if there is no life that could read the message.
func (o *Outbox[M, L, C]) Finish(p *Place[M]) bool {
	if !o.open {
		return false
	}
	p.last = true
	o.waiting.add(p)
	return true
}

// Next takes out the first of the messages that wait, and room for it, if it may be written now. It
// returns nil if none may be written.
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

// Withdraw takes a message back. It reports false if the message does not wait any more, because it
// has been written.
func (o *Outbox[M, L, C]) Withdraw(p *Place[M]) bool { return o.waiting.remove(p) }

// Waiting is the number of messages that wait.
func (o *Outbox[M, L, C]) Waiting() int { return o.waiting.count }

// Load is the number of messages and calls that wait, are on their way to the receiver, or have not
// been answered by it.
func (o *Outbox[M, L, C]) Load() int { return o.waiting.count + o.Ledger.Len() + o.Ledger.Calls() }

// Granted takes in what the receiver gives back: bytes of room, and the serial up to which messages
// have left its inbox. It reports false, and does nothing, if that cannot be true or is no news.
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

// Detach ends the life of the receiver; see Ledger.Detach. Messages go on waiting, except for the
// last message for this life: the next life is not told to end.
func (o *Outbox[M, L, C]) Detach() (lost []Lost[L], calls []C) {
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

// Again lets the next life have a message that the present one, which has just been detached, has
// lost: it puts the message before all that wait. So it is called for the last of the lost messages
// first. suspect is Lost.Suspect. Again reports false, and does nothing, if more than most lives
// have ended in the middle of the message.
func (o *Outbox[M, L, C]) Again(p *Place[M], suspect bool, most int) bool {
	if suspect {
		p.died++
	}
	if p.died > most {
		return false
	}
	o.waiting.addFirst(p)
	return true
}

// Clear takes out all messages that wait, in order, because no further life comes.
func (o *Outbox[M, L, C]) Clear() []*Place[M] {
	var all []*Place[M]
	for p := o.waiting.first; p != nil; p = o.waiting.first {
		o.waiting.remove(p)
		all = append(all, p)
	}
	return all
}
