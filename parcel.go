package multiprolab

import (
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// parcel is a message that waits for room. It exists in the process of the outbox, which guards it.
type parcel struct {
	place mail.Place[*parcel] // in the line of the outbox
	frame *wire.Frame
	from  sender      // the worker that sent it, whose credit it holds; nil for a message of this process
	cost  int64       // the credit that it holds, in bytes
	all   func()      // is called when it has left the line, if it is one of a broadcast; else nil
	call  carriedCall // nil for a message
	limit *timeLimit  // of the frame, when it began to wait; or nil
	// loop is the scope of who waits in send in a worker, and has said in the frame that its loop
	// waits; or nil.
	loop    *scope
	waiting chan error // of a sender that waits in send, else nil
	// err is why the parcel cannot be written at all; see outbox.unlock.
	err error
}

// sender is a life of a worker whose message or call main passes on. It exists in main.
type sender interface {
	// grant gives credit back, in bytes.
	grant(bytes int64)
	// lost tells who must know that a parcel cannot be sent.
	lost(p *parcel, err error)
}

// carriedCall is a call that an outbox carries, or has carried to its callee. It exists in the process of
// the outbox.
type carriedCall interface{ carried() *carriage }

// carriage is what the outbox of the callee knows of a call, and guards.
type carriage struct {
	number uint64  // what the callee knows the call by, from when it is written
	parcel *parcel // the call while it waits for room; else nil
}

func (c *carriage) carried() *carriage { return c }

// gone gives the credit of its sender back: the parcel has been written, or given up.
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
