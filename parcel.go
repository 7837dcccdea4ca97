package multiprolab

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what an outbox keeps of a message or a call.

// parcel is a message or a call that waits for room. It exists in the process of the outbox, which
// guards it.
type parcel struct {
	place mail.Place[*parcel] // where it stands in the line of the outbox
	frame *wire.Frame         // the frame that is to be written
	from  sender              // the worker that has sent it, whose credit it holds; nil for a message of this process
	cost  int64               // how many bytes of credit it holds
	all   func()              // for one message of a broadcast: what is called when it has left the line; otherwise nil
	call  carriedCall         // the call; nil for a one-way message
	limit *timeLimit          // the deadline of the frame, or nil
	// loop is, in a worker, the scope of the function whose call or task this is. The frame says
	// that its loop waits, which may have to be corrected. It is nil for a one-way message, and in
	// main.
	loop *scope
	// kept says that main keeps the message until it is handled, so that nobody waits for it any
	// more; see keep.
	kept bool
	// waiting is where the outcome goes to a sender that waits in send; otherwise nil.
	waiting chan error
	// err is why the parcel cannot be written at all, or nil; see outbox.unlock.
	err error
}

// sender is a life of a worker whose message or call main passes on. It exists in main.
type sender interface {
	// grant gives bytes of credit back.
	grant(bytes int64)
	// lost tells whoever must know it that a parcel cannot be sent.
	lost(p *parcel, err error)
}

// carriedCall is a call that an outbox carries, or has carried to its callee. It exists in the
// process of the outbox.
type carriedCall interface {
	// carried returns what the outbox knows of the call.
	carried() *carriage
}

// carriage is what an outbox knows of a call. The outbox guards it.
type carriage struct {
	number uint64  // the number by which the callee knows the call; 0 before it is written
	parcel *parcel // the parcel of the call while it waits for room; otherwise nil
	// at is when main has written the call to the callee; zero before that, and in a worker.
	at time.Time
}

// written notes that main writes the call, which has that number for the callee.
func (c *carriage) written(number uint64) { c.number, c.at = number, time.Now() }

// carried implements carriedCall.
func (c *carriage) carried() *carriage { return c }

// gone gives the sender its credit back, because the parcel has been written or given up.
func (p *parcel) gone() {
	switch {
	case p.all != nil:
		p.all()
	case p.from != nil:
		p.from.grant(p.cost)
	}
}

// leaves notes that the parcel does not wait any more.
func (p *parcel) leaves() {
	if p.call != nil {
		p.call.carried().parcel = nil
	}
}

// starvation is called when the first message of an outbox waits for room. It is nil in a worker.
type starvation func()

// note notes that a message waits behind so many others.
func (s starvation) note(others int) {
	if s != nil && others == 0 {
		s()
	}
}
