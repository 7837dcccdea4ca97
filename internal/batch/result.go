package batch

import (
	"encoding/binary"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// Result is what a worker has done of a batch. It travels as a frame whose body is the body of the
// outcomes; if that is too large for a frame, it travels bare, see Bare.
type Result struct {
	Took     time.Duration // how long the worker says that it was busy with the batch
	Outcomes []byte        // the body with the outcomes of the first items
}

// BareSize is the length in bytes of what stands before the outcomes in the text of a bare result:
// how long it took, in nanoseconds, little-endian.
const BareSize = 8

// Bare takes the last outcome, which begins at the place last in the body, out of the result. The
// outcome becomes the body of the frame, as that of a task without a batch would be, and everything
// before it becomes the text beside the body. So a worker can put an outcome behind those before it
// without knowing how large it will be, and even the largest possible outcome can be sent.
func (r *Result) Bare(last int) (text []byte, p codec.Payload) {
	bare := Read(r.Outcomes)
	bare.rest = r.Outcomes[max(last, HeadSize):]
	_, p, _ = bare.Next() // it was written by End
	text = make([]byte, 0, BareSize+last)
	text = binary.LittleEndian.AppendUint64(text, uint64(r.Took))
	return append(text, r.Outcomes[:last]...), p
}

// OfBare puts together again what Bare took apart, in new memory. What it gets comes from a process
// that is not to be trusted: if it is malformed, OfBare reports false, or the outcomes end before
// the malformed bytes.
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
