package codec

import (
	"bytes"
	"unsafe"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

// This file is payloads whose memory somebody else has, too.

// Lend is Encode for a []byte or a string; it reports whether v is one. Nothing is copied: the
// payload's Data is the memory of v, which nobody may change while the payload is used.
func Lend(v any) (Payload, bool) {
	switch v := v.(type) {
	case []byte:
		return Payload{Encoding: Bytes, Data: v, Lent: true}, true
	case string:
		return Payload{Encoding: String, Data: unsafe.Slice(unsafe.StringData(v), len(v)), Lent: true}, true
	}
	return Payload{}, false
}

// Own returns the payload with memory of its own.
func (p Payload) Own() Payload {
	if p.Lent {
		p.Data, p.Lent = bytes.Clone(p.Data), false
	}
	return p
}

// LendOrAppend is Lend for a []byte or a string, and encodes any other value into room, which may
// be nil. The payload is used before the room is used again: the room comes back, and may have
// grown.
func (c *Codec) LendOrAppend(room []byte, v any) (Payload, []byte, error) {
	if ablate.Without(ablate.Lending) {
		p, err := c.Encode(v)
		return p, nil, err
	}
	if p, ok := Lend(v); ok {
		return p, room, nil
	}
	room, p, err := c.AppendEncode(room[:0], v)
	// The payload lies in room, which is used again, and so it is lent. But a lent body with the
	// encoding String is taken for the memory of a Go string, which never changes, and is not
	// copied. So a payload with this encoding keeps the room, and is not lent.
	if p.Lent = p.Encoding != String; !p.Lent {
		room = nil
	}
	return p, room, err
}
