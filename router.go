package multiprolab

import (
	"context"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// MessageRouter sends messages by the name of their receiver. Main and every worker have one: that
// of main knows the way, that of a worker hands everything to main. Its methods are the untyped
// form of the functions Send, Broadcast and Call. It exists in each process; all methods may be
// called from any goroutine.
type MessageRouter struct {
	process courier // the process; does not change
}

// courier is how a process sends messages by name. It exists in each process.
type courier interface {
	// send sends a one-way message, or a broadcast if flags say so.
	send(ctx context.Context, flags wire.Flags, receiver, typ string, body any) error
	// call sends a call, waits for its outcome and decodes it into the value that out points to.
	call(ctx context.Context, receiver, typ string, body, out any) error
	// receivers returns the names of all processes that take messages.
	receivers() []string
}

// Send sends a one-way message; see the function Send.
func (r *MessageRouter) Send(ctx context.Context, receiver, typ string, body any) error {
	return r.process.send(ctx, 0, receiver, typ, body)
}

// Broadcast sends a one-way message to every instance of a pool, or to every worker if pool is
// empty; see the function Broadcast.
func (r *MessageRouter) Broadcast(ctx context.Context, pool, typ string, body any) error {
	return r.process.send(ctx, wire.FlagBroadcast, pool, typ, body)
}

// Call sends a call, waits for its reply and decodes it into the value that reply points to; see
// the function Call.
func (r *MessageRouter) Call(ctx context.Context, receiver, typ string, body, reply any) error {
	return r.process.call(ctx, receiver, typ, body, reply)
}

// Receivers returns the names of all receivers: "main" and every instance, in main in the order of
// their registration, in a worker in that of their names, as far as main has told it.
func (r *MessageRouter) Receivers() []string { return r.process.receivers() }
