package multiprolab

import (
	"context"
	"fmt"
	"sync"

	"github.com/multiprolab/multiprolab/internal/ablate"
	"github.com/multiprolab/multiprolab/internal/codec"
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
func (n *node) seal(ctx context.Context, kind wire.Kind, receiver, typ string, body any) (*envelope, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("multiprolab: %q was not sent: %w", typ, causeOf(ctx))
	}
	if err := checkName("type", typ); err != nil {
		return nil, fmt.Errorf("multiprolab: %w", err)
	}
	e := envelopes.Get().(*envelope)
	p, room, err := n.lend(e.room, receiver, typ, body)
	e.room = room
	if err != nil {
		e.free()
		return nil, err
	}
	e.frame = wire.Frame{Kind: kind, To: receiver, From: n.name, Type: typ}
	setPayload(&e.frame, p)
	return e, nil
}

// lend encodes a body that does not change before its frame has been posted, so that a []byte or a
// string need not be copied. Other bodies are encoded into room, which may be nil. It returns the
// room, which may have grown.
func (n *node) lend(room []byte, receiver, typ string, body any) (codec.Payload, []byte, error) {
	if ablate.Without(ablate.Lending) {
		p, err := n.encode(receiver, typ, body)
		return p, nil, err
	}
	p, ok := codec.Lend(body)
	if !ok {
		var err error
		if room, p, err = n.codec.AppendEncode(room[:0], body); err != nil {
			return p, room, &EncodeError{Receiver: receiver, Type: typ, GoType: fmt.Sprintf("%T", body), Err: err}
		}
		// The payload lies in room, which is used again, and so it is lent. But a lent body with
		// the encoding String is taken for the memory of a Go string, which never changes, and is
		// not copied. So a payload with this encoding keeps the room, and is not lent.
		if p.Lent = p.Encoding != codec.String; !p.Lent {
			room = nil
		}
	}
	if len(p.Data) > n.maxBody {
		return codec.Payload{}, room, &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(n.maxBody)}
	}
	return p, room, nil
}

// encode encodes a body into memory of its own, and checks its size.
func (n *node) encode(receiver, typ string, body any) (codec.Payload, error) {
	if p, ok := codec.Lend(body); ok && len(p.Data) > n.maxBody { // so that no body is copied that is too large
		return codec.Payload{}, &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(n.maxBody)}
	}
	p, err := n.codec.Encode(body)
	if err != nil {
		return p, &EncodeError{Receiver: receiver, Type: typ, GoType: fmt.Sprintf("%T", body), Err: err}
	}
	if len(p.Data) > n.maxBody {
		return p, &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(n.maxBody)}
	}
	return p, nil
}
