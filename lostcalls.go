package multiprolab

import (
	"context"

	"github.com/multiprolab/multiprolab/internal/outbox"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how calls to workers end that get no reply, in main.

// cancel takes the call back if it still waits for room. Otherwise it tells the callee that the
// caller does not wait any more.
func (e *callEntry) cancel(soft bool) {
	if !e.callee.out.Withdraw(e) {
		e.callee.cancelCall(e, soft)
		return
	}
	e.callee.desk.calls.replied(e, &reply{err: context.Canceled}, nil).Push()
}

// cancelCall tells the worker that the caller does not wait any more, unless the call has its
// reply.
func (s *slot) cancelCall(e *callEntry, soft bool) {
	number, ok := s.out.NumberOf(e)
	if !ok {
		return
	}
	from := MainName
	if e.origin != nil {
		from = e.origin.slot().name
	}
	s.tell(&wire.Frame{Kind: wire.Cancel, Flags: softly(soft), Type: "call", ID: number, From: from})
}

// Lost implements outbox.Sender: it tells the caller that a call cannot be sent or, if the parcel
// is a message, reports it as a dead letter.
func (c *client) Lost(p *outbox.Parcel, err error) {
	calls := c.slot().desk.calls
	if e, ok := p.Call.(*callEntry); ok {
		calls.replied(e, &reply{err: err}, nil).Push()
		return
	}
	calls.bounce(p.Frame, err)
}

// failCalls gives an error to callers who will have no reply from the instance. begun says that the
// calls were written to a life that has ended.
func (s *slot) failCalls(calls []outbox.Call, err error, begun bool) {
	for _, call := range calls {
		e, cause := call.(*callEntry), err // the outbox of an instance has no other calls
		if begun {
			cause = during(err, `call "`+e.typ+`"`)
		}
		s.desk.calls.replied(e, &reply{err: cause}, nil).Push()
	}
}
