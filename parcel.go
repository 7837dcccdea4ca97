package multiprolab

import (
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// frameCost is what a frame costs beside its texts and its body, in bytes: about what it takes in
// memory while it waits, as a Message in an inbox (240 bytes) or as a parcel with its frame in an
// outbox (250).
const frameCost = 256

// cost is what a frame counts, in bytes, against the window of its receiver and of its sender: what
// it takes in memory. From is not in it: it is one of main's own names.
func cost(f *wire.Frame) int64 {
	return int64(frameCost + len(f.To) + len(f.Type) + len(f.Meta) + len(f.Body))
}

// letter is what is kept of a one-way message that was written to a worker, for who is told that it
// was lost. (The caller of a call is told: see slot.failCalls.)
type letter struct {
	from, typ string
	size      int // of the body, in bytes
}

func letterOf(f *wire.Frame) letter { return letter{f.From, f.Type, len(f.Body)} }

// parcel is a message that waits for room. It exists in the process of the outbox, which guards it.
type parcel struct {
	place mail.Place[*parcel] // in the line of the outbox
	frame *wire.Frame
	from  *client // of the worker that sent it, whose credit it holds; nil for a message of this process
	cost  int64   // of from, in bytes
	all   *broadcast
	call  *callEntry
	limit *timeLimit // of the frame, when it began to wait; or nil
	// loop is the scope of who waits in send in a worker, and has said in the frame that its loop
	// waits; or nil.
	loop    *scope
	waiting chan error // of a sender that waits in send, else nil
	// err is why the parcel cannot be written at all; see outbox.unlock.
	err error
}

// gone gives the credit of its sender back: the parcel has been written, or given up.
func (p *parcel) gone() {
	switch {
	case p.all != nil:
		p.all.done()
	case p.from != nil:
		p.from.grant(p.cost)
	}
}

// lost tells who must know that the parcel cannot be sent: the caller of a call, main of a message.
func (p *parcel) lost(err error) {
	if p.from == nil {
		return // an exit message, which always fits
	}
	r := p.from.slot.main.router
	if p.call != nil {
		r.replied(p.call, &reply{err: err}, nil).Push()
		return
	}
	r.bounce(p.frame, err)
}

// leaves notes that the parcel does not wait any more.
func (p *parcel) leaves() {
	if p.call != nil {
		p.call.parcel = nil
	}
}
