package multiprolab

import (
	"context"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// callEntry is a call that is on its way to a worker or handled there. It exists in main.
type callEntry struct {
	origin *client // nil for main
	id     uint64  // of the origin's side
	callee *slot
	typ    string
	loops  bool // the loop of the origin waits for it
	carriage
}

// cancel takes the call back, if it still waits for room, and else tells its callee that the caller
// does not wait any more.
func (e *callEntry) cancel(soft bool) {
	if !e.callee.out.withdraw(e) {
		e.callee.cancelCall(e, soft)
		return
	}
	e.callee.desk.calls.replied(e, &reply{err: context.Canceled}, nil).Push()
}

// newCall returns the entry of a call to the instance, nil for one of main.
func (s *slot) newCall(origin *client, f *wire.Frame) *callEntry {
	return &callEntry{origin: origin, id: f.ID, callee: s, typ: f.Type, loops: f.Meta != ""}
}

// cancelCall passes the cancellation of a call on to the worker, unless the call has its reply.
func (s *slot) cancelCall(e *callEntry, soft bool) {
	number, ok := s.out.numberOf(e)
	if !ok {
		return
	}
	from := MainName
	if e.origin != nil {
		from = e.origin.slot.name
	}
	s.tell(&wire.Frame{Kind: wire.Cancel, Flags: softly(soft), Type: "call", ID: number, From: from})
}

// lost tells the caller of a call, and main of a message.
func (c *client) lost(p *parcel, err error) {
	calls := c.slot.desk.calls
	if e, ok := p.call.(*callEntry); ok {
		calls.replied(e, &reply{err: err}, nil).Push()
		return
	}
	calls.bounce(p.frame, err)
}
