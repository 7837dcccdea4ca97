package batch

import (
	"encoding/binary"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// Result is what a worker has done of a batch. It travels as a frame whose body is that of the
// outcomes or, where that is too large for a frame, bare.
type Result struct {
	Took     time.Duration // how long the worker was busy with the batch, as it says
	Outcomes []byte        // the body with the outcomes of the first items
}

// BareSize is the length in bytes of what is before the outcomes in the text of a bare result: how
// long it took, in nanoseconds, little-endian.
const BareSize = 8

// Bare takes the last outcome, which begins at a place in the body, out of the result: it is the
// body of the frame as it would be without a batch, and what is before it is the text beside it. So
// a worker need not know how large an outcome will be to give it with those before it, and the
// largest that there may be can be given, too.
func (r *Result) Bare(last int) (text []byte, p codec.Payload) {
	bare := Read(r.Outcomes)
	bare.rest = r.Outcomes[max(last, HeadSize):]
	_, p, _ = bare.Next() // it was written by End
	text = make([]byte, 0, BareSize+last)
	text = binary.LittleEndian.AppendUint64(text, uint64(r.Took))
	return append(text, r.Outcomes[:last]...), p
}

// OfBare puts together again what Bare took apart, in memory of its own. It comes from a process
// that is not to be trusted; what is malformed is false, or no outcome.
func OfBare(text string, p codec.Payload) (r Result, ok bool) {
	if len(text) < BareSize || p.Encoding > codec.GobValue {
		return r, false
	}
	before := len(text) - BareSize
	if before > 0 && before < HeadSize {
		return r, false
	}
	b := make([]byte, 0, len(text)+HeadSize+EntryHeadSize+len(p.Data)+OwnSize)
	b = append(b, text...)
	r.Took = time.Duration(binary.LittleEndian.Uint64(b))
	r.Outcomes = Append(b[BareSize:], OK, p)
	return r, true
}
