package multiprolab

import (
	"context"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// callEntry is a call that is on its way to a worker, or that the worker handles. It exists in
// main. Its own fields never change.
type callEntry struct {
	// origin is the life of the worker that has made the call; nil if main has made it.
	origin *client
	// id is the number by which the caller knows the call.
	id uint64
	// callee is the instance that is called.
	callee *slot
	// typ is the type of the call.
	typ string
	// loops says that the loop of the caller waits for the reply.
	loops bool
	// carriage is what the outbox of the callee knows of the call. That outbox guards it.
	carriage
}

// cancel takes the call back if it still waits for room. Otherwise it tells the callee that the
// caller does not wait any more.
func (e *callEntry) cancel(soft bool) {
	if !e.callee.out.withdraw(e) {
		e.callee.cancelCall(e, soft)
		return
	}
	e.callee.desk.calls.replied(e, &reply{err: context.Canceled}, nil).Push()
}

// newCall returns the entry of a call to the instance. origin is nil for a call of main.
func (s *slot) newCall(origin *client, f *wire.Frame) *callEntry {
	return &callEntry{origin: origin, id: f.ID, callee: s, typ: f.Type, loops: f.Meta != ""}
}

// cancelCall tells the worker that the caller does not wait any more, unless the call has its
// reply.
func (s *slot) cancelCall(e *callEntry, soft bool) {
	number, ok := s.out.numberOf(e)
	if !ok {
		return
	}
	from := MainName
	if e.origin != nil {
		from = e.origin.slot().name
	}
	s.tell(&wire.Frame{Kind: wire.Cancel, Flags: softly(soft), Type: "call", ID: number, From: from})
}

// lost tells the caller that a call cannot be sent or, if the parcel is a message, reports it as a
// dead letter.
func (c *client) lost(p *parcel, err error) {
	calls := c.slot().desk.calls
	if e, ok := p.call.(*callEntry); ok {
		calls.replied(e, &reply{err: err}, nil).Push()
		return
	}
	calls.bounce(p.frame, err)
}
