package multiprolab

import (
	"fmt"

	"github.com/multiprolab/multiprolab/internal/ablate"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
)

// values is how a process encodes the values and the errors that it sends, and decodes those that
// come. It exists in main and in each worker. It does not change once the process handles messages,
// and any goroutine may use it.
type values struct {
	called  processName  // the name of the process, such as "main" or "thumbnailer/2", for the texts of errors
	codec   *codec.Codec // encodes and decodes all values of the process
	maxBody int          // Config.MaxMessageSize of main, in bytes
	errors  knownErrors  // the errors that were registered with Main.RegisterError
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
	if ablate.Without(ablate.Lending) {
		p, err := v.encode(receiver, typ, body)
		return p, nil, err
	}
	p, ok := codec.Lend(body)
	if !ok {
		var err error
		if room, p, err = v.codec.AppendEncode(room[:0], body); err != nil {
			return p, room, &EncodeError{Receiver: receiver, Type: typ, GoType: fmt.Sprintf("%T", body), Err: err}
		}
		// The payload lies in room, which is used again, and so it is lent. But a lent body with
		// the encoding String is taken for the memory of a Go string, which never changes, and is
		// not copied. So a payload with this encoding keeps the room, and is not lent.
		if p.Lent = p.Encoding != codec.String; !p.Lent {
			room = nil
		}
	}
	if len(p.Data) > v.maxBody {
		return codec.Payload{}, room, &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(v.maxBody)}
	}
	return p, room, nil
}

// encode encodes a body into memory of its own, and checks its size.
func (v *values) encode(receiver, typ string, body any) (codec.Payload, error) {
	if p, ok := codec.Lend(body); ok && len(p.Data) > v.maxBody { // so that no body is copied that is too large
		return codec.Payload{}, &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(v.maxBody)}
	}
	p, err := v.codec.Encode(body)
	if err != nil {
		return p, &EncodeError{Receiver: receiver, Type: typ, GoType: fmt.Sprintf("%T", body), Err: err}
	}
	if len(p.Data) > v.maxBody {
		return p, &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(v.maxBody)}
	}
	return p, nil
}
