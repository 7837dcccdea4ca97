package multiprolab

import (
	"context"
	"fmt"
	"sync"

	"github.com/multiprolab/multiprolab/internal/ablate"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// envelope is the frame of a message or a call, and room for its body, while it is sent: nobody
// keeps them longer than that. It exists in the process that sends, main or a worker.
type envelope struct {
	frame wire.Frame
	room  []byte
}

var envelopes = sync.Pool{New: func() any { return new(envelope) }}

// maxRoom is the size in bytes of the room that is kept for another body.
const maxRoom = 64 << 10

// free gives the envelope back.
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

// lend encodes a body that does not change before the frame with it has been posted: a []byte or a
// string need not be copied. Others are encoded into room, which may be nil, and which it returns,
// perhaps grown.
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
		// What was encoded lies in room, which is used again: it is lent. A lent body of the
		// encoding String is taken for a Go string, which never changes and so is not copied: what
		// was encoded as one keeps its memory.
		if p.Lent = p.Encoding != codec.String; !p.Lent {
			room = nil
		}
	}
	if len(p.Data) > n.maxBody {
		return codec.Payload{}, room, &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(n.maxBody)}
	}
	return p, room, nil
}
