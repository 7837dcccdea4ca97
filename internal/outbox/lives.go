package outbox

import (
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how the lives of a receiver begin and end, and what each of them answers.

// Attach gives the outbox the wire of a new life, whose receiver has a window, and room for so many
// bytes of it.
func (o *Outbox) Attach(l *link.Link, window, room int64) {
	o.mu.Lock()
	defer o.unlock()
	o.link = l
	o.rules.Window.Resize(window)
	o.rules.Open(room)
}

// AttachWhole is Attach for a life that has room for the whole window of the configuration.
func (o *Outbox) AttachWhole(l *link.Link) { o.Attach(l, o.cfg.Window, o.cfg.Window) }

// Answered takes out the call that the receiver replies to, or returns nil if no call of that
// number waits for a reply.
func (o *Outbox) Answered(number uint64) Call {
	o.mu.Lock()
	defer o.unlock()
	call, _ := o.rules.Ledger.Answered(number)
	return call
}

// Granted takes in credit: bytes of room, and the serial up to which messages have left the inbox
// of the receiver. It reports whether both can be true.
func (o *Outbox) Granted(bytes, upTo uint64) bool {
	o.mu.Lock()
	defer o.unlock()
	return o.rules.Granted(bytes, upTo)
}

// Strike notes that one message was reported, or confirmed alone, by its serial. It returns the
// message, or false if no such message waits to be confirmed.
func (o *Outbox) Strike(serial uint64) (Letter, bool) {
	o.mu.Lock()
	defer o.unlock()
	return o.rules.Ledger.Strike(serial)
}

// Turn returns what the receiver is at, see mail.Ledger.Turn, and when it was written, if it is a
// call.
func (o *Outbox) Turn(handled uint64, exact bool) (t mail.Turn[Letter, Call], written time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t = o.rules.Ledger.Turn(handled, exact)
	if t.Call != nil {
		written = t.Call.carriage().at
	}
	return t, written
}

// Load is the number of messages and calls that wait here, are on their way to the receiver, or
// have not been answered by it. It takes no lock.
func (o *Outbox) Load() int { return int(o.loaded.Load()) }

// Asks reports whether a call waits for the receiver's reply, or a message for its room.
func (o *Outbox) Asks() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rules.Ledger.Calls() > 0 || o.rules.Waiting() > 0
}

// Traffic returns how many messages and calls the lives of the receiver have handled, and how many
// wait here for room.
func (o *Outbox) Traffic() (handled uint64, waiting int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rules.Ledger.Done, o.rules.Waiting()
}

// Died notes up to which serial messages had left the inbox of a worker when it died, and up to
// which a handler had begun, because the worker could not say so itself any more. Numbers that
// cannot be true are ignored.
func (o *Outbox) Died(handled, begun uint64) {
	o.mu.Lock()
	defer o.unlock()
	o.rules.Ledger.Handled(handled)
	o.rules.Ledger.Begun(begun)
}

// Detach takes away the wire of a life that has ended. It returns the messages that were written to
// it and that nobody has been told of, without those that the next life gets, and the calls that
// have no reply; and whether the life has handled a message or a call.
func (o *Outbox) Detach() (lost []Letter, calls []Call, worked bool) {
	o.mu.Lock()
	defer o.unlock()
	o.link, worked = nil, o.rules.Ledger.Worked()
	all, calls := o.rules.Detach()
	for _, l := range slices.Backward(all) {
		p := l.Letter.Kept
		if p == nil || o.closed || !o.rules.Again(&p.place, l.Suspect, o.cfg.Again) {
			lost = append(lost, l.Letter)
		} else if l.Begun {
			p.mark()
		}
	}
	slices.Reverse(lost)
	return lost, calls, worked
}

// SendLast sends the present life, if there is one, a last frame behind all messages that wait.
// Later messages wait for the next life. If there will be none, why is not nil, and they are
// refused with it.
func (o *Outbox) SendLast(f *wire.Frame, why error) {
	o.mu.Lock()
	defer o.unlock()
	if o.sealed == nil {
		p := &Parcel{Frame: f}
		p.place.Message = p
		o.rules.Finish(&p.place)
	}
	if why != nil {
		o.sealed = why
	}
}

// Close refuses further messages with err, and tells the senders that wait. It returns those
// messages and calls that were waiting for room and whose senders do not wait.
func (o *Outbox) Close(err error) (lost []Letter, calls []Call) {
	o.mu.Lock()
	defer o.unlock()
	if o.closed {
		return nil, nil
	}
	o.closed, o.sealed = true, err
	for _, place := range o.rules.Clear() {
		p := place.Message
		o.left = append(o.left, p)
		p.leaves()
		switch {
		case p.waiting != nil:
			p.err = err
		case p.Call != nil:
			calls = append(calls, p.Call)
		case !place.IsLast():
			lost = append(lost, p.letter())
		}
	}
	return lost, calls
}
