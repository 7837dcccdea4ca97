package multiprolab

import (
	"context"
	"fmt"
	"sync"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// envelope is the frame of a message or a call while it is sent, and room for its body. It exists
// in the process that sends, main or a worker. Only the goroutine that sends touches it, and keeps
// it no longer than that.
type envelope struct {
	frame wire.Frame // the frame
	room  []byte     // memory into which a body may be encoded; nil or empty between two uses
}

// envelopes is a pool of *envelope.
var envelopes = sync.Pool{New: func() any { return new(envelope) }}

// maxRoom is the greatest size in bytes of a room that is kept for another body.
const maxRoom = 64 << 10

// free gives the envelope back to the pool.
func (e *envelope) free() {
	if cap(e.room) > maxRoom {
		e.room = nil
	}
	e.frame = wire.Frame{}
	envelopes.Put(e)
}

// seal makes the frame of a message or call, whose body is lent. The caller frees the envelope.
func (v *values) seal(ctx context.Context, kind wire.Kind, receiver, typ string, body any) (*envelope, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("multiprolab: %q was not sent: %w", typ, causeOf(ctx))
	}
	if err := checkName("type", typ); err != nil {
		return nil, fmt.Errorf("multiprolab: %w", err)
	}
	e := envelopes.Get().(*envelope)
	p, room, err := v.lend(e.room, receiver, typ, body)
	e.room = room
	if err != nil {
		e.free()
		return nil, err
	}
	e.frame = wire.Frame{Kind: kind, To: receiver, From: v.name(), Type: typ}
	setPayload(&e.frame, p)
	return e, nil
}
