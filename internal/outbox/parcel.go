package outbox

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is a message or a call while it waits for room, and what an outbox has to know of who
// has sent it.

// Parcel is a message or a call that may have to wait for room. It exists in the process of the
// outbox, which guards it. Who posts it sets the exported fields before.
type Parcel struct {
	Frame *wire.Frame // the frame that is to be written
	Call  Call        // the call; nil for a one-way message
	From  Sender      // who has sent it, whose credit it holds; nil for a message of this process
	Cost  int64       // how many bytes of credit it holds
	All   func()      // for one message of a broadcast: what is called when it has left the line; otherwise nil

	place mail.Place[*Parcel] // where it stands in the line of the outbox
	due   time.Time           // the deadline of the frame; zero if it has none
	// loop is the loop that the frame may say waits, which may have to be corrected; or nil.
	loop Loop
	// kept says that main keeps the message until it is handled, so that nobody waits for it any
	// more; see keep.
	kept bool
	// waiting is where the outcome goes to a sender that waits in Send; otherwise nil.
	waiting chan error
	// err is why the parcel cannot be written at all, or nil; see Outbox.unlock.
	err error
}

// Sender is a life of a worker whose message or call main passes on. It exists in main.
type Sender interface {
	Giver
	// Lost tells whoever must know it that a parcel cannot be sent.
	Lost(p *Parcel, err error)
}

// Giver is a life of a worker that main owes credit for what it has sent. It exists in main.
type Giver interface {
	// Grant gives bytes of credit back.
	Grant(bytes int64)
}

// Loop is a loop that may go on while a frame waits which says that the loop waits for its outcome.
// It exists in a worker.
type Loop interface {
	// Correct has the frame say that the loop does not wait, if that is so by now. It is called
	// under the mutex of the outbox just before the frame is written.
	Correct(f *wire.Frame)
}

// Call is a call that an outbox carries, or has carried to its callee. It exists in the process of
// the outbox. A type is a Call if a Carriage is embedded in it.
type Call interface {
	// carriage returns what the outbox knows of the call.
	carriage() *Carriage
}

// Carriage is what an outbox knows of a call. The outbox guards it.
type Carriage struct {
	number uint64  // the number by which the callee knows the call; 0 before it is written
	parcel *Parcel // the parcel of the call while it waits for room; otherwise nil
	// at is when main has written the call to the callee; zero before that, and in a worker.
	at time.Time
}

// carriage implements Call.
func (c *Carriage) carriage() *Carriage { return c }

// written notes that main writes the call, which has that number for the callee.
func (c *Carriage) written(number uint64) { c.number, c.at = number, time.Now() }

// waits makes the parcel ready to wait for room.
func (p *Parcel) waits() {
	if p.Frame.Left > 0 {
		p.due = time.Now().Add(p.Frame.Left)
	}
	p.place.Message, p.place.Cost = p, p.Frame.Cost()
	if p.Call != nil {
		p.Call.carriage().parcel = p
	}
}

// goes makes the parcel ready to be written.
func (p *Parcel) goes() {
	if !p.due.IsZero() {
		p.Frame.Left = max(1, time.Until(p.due)) // 0 would say that there is no deadline
	}
	p.leaves()
}

// leaves notes that the parcel does not wait any more.
func (p *Parcel) leaves() {
	if p.Call != nil {
		p.Call.carriage().parcel = nil
	}
}

// gone gives the sender its credit back, because the parcel has been written or given up.
func (p *Parcel) gone() {
	switch {
	case p.All != nil:
		p.All()
	case p.From != nil:
		p.From.Grant(p.Cost)
	}
}
