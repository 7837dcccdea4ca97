package multiprolab

import (
	"github.com/multiprolab/multiprolab/internal/outbox"
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
	// Carriage is what the outbox of the callee knows of the call. That outbox guards it.
	outbox.Carriage
}

// newCall returns the entry of a call to the instance. origin is nil for a call of main.
func (s *slot) newCall(origin *client, f *wire.Frame) *callEntry {
	return &callEntry{origin: origin, id: f.ID, callee: s, typ: f.Type, loops: f.Meta != ""}
}
