package multiprolab

import (
	"fmt"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// This file is the end of a stream, as it travels in place of a result.

// streamEnd is the result of a task whose handler yields pieces: no other value is taken for it.
type streamEnd struct {
	EndOfPieces bool // true
}

// resultInPieces makes the error of who wants the result of a task at once that comes in pieces.
func resultInPieces(typ string) error {
	return fmt.Errorf("the result of task %q comes in pieces: submit it with Stream", typ)
}

// endOfPieces returns the error of the outcome of a stream, or nil if all pieces have come.
func (v *values) endOfPieces(typ string, r *reply) error {
	if r.err != nil {
		return v.recognise(r.err)
	}
	if !v.isStreamEnd(r.payload) {
		return fmt.Errorf("multiprolab: task %q has a result, and no pieces: submit it with Do or Submit, "+
			"or register its handler with HandleStream", typ)
	}
	return nil
}

// isStreamEnd reports whether a result is the end of the pieces of a stream.
func (v *values) isStreamEnd(p codec.Payload) bool {
	var end streamEnd
	return v.codec.Decode(p, &end) == nil && end.EndOfPieces
}
