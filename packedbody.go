package multiprolab

import (
	"encoding/binary"
	"errors"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// This file is how a body is kept outside of this process, where another run can decode it.

// packBody lays out a body so that it can be decoded in another run, whose codec is another one.
func packBody(c *codec.Codec, p codec.Payload) []byte {
	defs := c.Definitions(p.Defs)
	b := binary.AppendUvarint([]byte{p.Encoding}, uint64(len(defs)))
	return append(append(b, defs...), p.Data...)
}

// unpackBody reads what packBody wrote.
func unpackBody(c *codec.Codec, b []byte) (p codec.Payload, err error) {
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
