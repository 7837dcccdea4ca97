package multiprolab

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/errpack"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// processName is the name of a process. It exists in main and in each worker. Any goroutine may use
// it. It changes once at most: when a worker that has stood by gets a place.
type processName struct {
	now atomic.Pointer[string] // the name
}

// set gives the process a name.
func (n *processName) set(name string) { n.now.Store(&name) }

// get returns the name.
func (n *processName) get() string { return *n.now.Load() }

// values is how a process encodes the values and the errors that it sends, and decodes those that
// come. It exists in main and in each worker. It does not change once the process handles messages,
// and any goroutine may use it.
type values struct {
	called  processName   // the name of the process, such as "main" or "thumbnailer/2", for the texts of errors
	codec   *codec.Codec  // encodes and decodes all values of the process
	maxBody int           // Config.MaxMessageSize of main, in bytes
	errors  errpack.Known // the errors that were registered with Main.RegisterError
}

// name returns the name of the process.
func (v *values) name() string { return v.called.get() }

// mostBody is the greatest length of a frame's body on the wires of this process, in bytes; see
// link.Link.Limit.
func (v *values) mostBody() int { return max(v.maxBody, link.LeastLimit) }

// lend encodes a body that does not change before its frame has been posted, so that a []byte or a
// string need not be copied. Other bodies are encoded into room, which may be nil. It returns the
// room, which may have grown.
func (v *values) lend(room []byte, receiver, typ string, body any) (codec.Payload, []byte, error) {
	p, room, err := v.codec.LendOrAppend(room, body)
	if err != nil || len(p.Data) > v.maxBody {
		return codec.Payload{}, room, v.unfit(receiver, typ, body, p, err)
	}
	return p, room, nil
}

// encode encodes a body into memory of its own, and checks its size.
func (v *values) encode(receiver, typ string, body any) (codec.Payload, error) {
	p, ok := codec.Lend(body)
	var err error
	if !ok || len(p.Data) <= v.maxBody { // so that no body is copied that is too large
		p, err = v.codec.Encode(body)
	}
	if err != nil || len(p.Data) > v.maxBody {
		return codec.Payload{}, v.unfit(receiver, typ, body, p, err)
	}
	return p, nil
}

// unfit returns the error of a body that was encoded with this error, or is too large.
func (v *values) unfit(receiver, typ string, body any, p codec.Payload, err error) error {
	if err != nil {
		return &EncodeError{Receiver: receiver, Type: typ, GoType: fmt.Sprintf("%T", body), Err: err}
	}
	return &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(v.maxBody)}
}

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
		return nil, fmt.Errorf("multiprolab: %q was not sent: %w", typ, contexts.CauseOf(ctx))
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
	link.SetBody(&e.frame, p)
	return e, nil
}
