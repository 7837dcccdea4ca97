package codec

import (
	"encoding/binary"
	"errors"
)

// This file is how a payload is kept outside of this process, where another run can decode it.

// Pack lays out a payload together with its definitions, so that it can be decoded in another run,
// whose Codec is another one.
func (c *Codec) Pack(p Payload) []byte {
	defs := c.Definitions(p.Defs)
	b := binary.AppendUvarint([]byte{p.Encoding}, uint64(len(defs)))
	return append(append(b, defs...), p.Data...)
}

// Unpack reads what Pack wrote.
func (c *Codec) Unpack(b []byte) (p Payload, err error) {
	if len(b) < 2 {
		return p, errors.New("its body is cut short")
	}
	n, size := binary.Uvarint(b[1:])
	if size <= 0 || n > uint64(len(b)-1-size) {
		return p, errors.New("its body is cut short")
	}
	p.Encoding = b[0]
	defs, data := b[1+size:1+size+int(n)], b[1+size+int(n):]
	if len(defs) > 0 {
		p.Defs, err = c.Define(defs)
	}
	p.Data = data
	return p, err
}
