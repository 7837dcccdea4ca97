package multiprolab

import (
	"errors"
	"fmt"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/errpack"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how what a handler returns becomes the outcome that travels, alone or among those of
// a batch, and how the outcome is read by who waits for it. Both processes use it.
//
// A batch is one job for the queue: tasks of a Map that travel together, many at a time, because
// each takes less time than a message. How its items and their outcomes lie in a body is in
// internal/batch, how a Map makes batches and takes them back is in internal/mapping, and what a
// worker does with a batch is in batchwork.go. The outcomes that a worker has finished are in its
// black box, so that its death costs the item that was running, and no other.

// errBatch is the error of a batch whose body a worker cannot read, or of a result that has no
// outcome.
var errBatch = errors.New("multiprolab: a batch of tasks is garbled")

// batchFull is the length in bytes of the outcomes from which a batch takes no further item. So the
// outcomes before the last one have fewer bytes, and fit into Meta: see reply.bare.
const batchFull = wire.MaxMeta - batch.BareSize

// An error fits into a frame with all outcomes that may stand before it; otherwise this does not
// compile.
const _ = uint(link.LeastLimit - batch.HeadSize - batchFull - batch.EntryHeadSize - errpack.MaxSize)

// outcome makes the reply from what user code returned. Its payload is lent until the room is used
// again. room may be nil.
func (v *values) outcome(room *[]byte, typ string, value any, err error) *reply {
	if err != nil {
		return &reply{err: v.failure(typ, err)}
	}
	var none []byte
	if room == nil {
		room = &none
	}
	var p codec.Payload
	p, *room, err = v.lend(*room, "", typ, value)
	return &reply{payload: p, err: err}
}

// decodeReply decodes the value of a reply into what out points to, or returns the reply's error.
func (v *values) decodeReply(typ string, r *reply, out any, decode func(codec.Payload, any) error) error {
	if r.err != nil {
		return v.recognise(r.err)
	}
	if err := decode(r.payload, out); err != nil {
		return v.misfit(typ, r.payload, err)
	}
	return nil
}

// misfit makes the error of a value that does not decode into what its receiver wants. err is that
// of its decoding.
func (v *values) misfit(typ string, p codec.Payload, err error) error {
	if v.isStreamEnd(p) {
		err = resultInPieces(typ)
	}
	return &DecodeError{Receiver: v.name(), Type: typ, Err: err}
}

// addOutcome appends an outcome whose value was encoded in other memory.
func (v *values) addOutcome(out []byte, start int, typ string, r *reply) []byte {
	return v.endOutcome(append(batch.Begin(out), r.payload.Data...), start, typ, r.payload, r.err)
}

// failure returns the error of a handler as it goes to the submitter.
func (v *values) failure(typ string, err error) error {
	if _, ok := err.(*DecodeError); ok {
		return err
	}
	return v.remote(typ, err)
}

// remote makes the RemoteError of an error that user code has returned.
func (v *values) remote(typ string, err error) (remote error) {
	r := &RemoteError{Worker: v.name(), Type: typ, Text: errpack.Text(err), GoType: fmt.Sprintf("%T", err)}
	defer errpack.Guard(err, func(string) { remote = r }) // if a method panics, with what was found until then
	var s *steer
	if errors.As(err, &s) {
		r.final, r.after = s.final, s.after
		if s == err {
			err = s.err
		}
	}
	r.GoType = fmt.Sprintf("%T", err)
	v.errors.Keep(&r.kept, err, v.codec)
	return r
}

// endOutcome ends the outcome that was begun when out had the length start. If err is nil, the
// value was appended since; otherwise err is the outcome.
func (v *values) endOutcome(out []byte, start int, typ string, p codec.Payload, err error) []byte {
	if err == nil && len(p.Data) > v.maxBody {
		err = &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(v.maxBody)}
	}
	if err == nil {
		return batch.End(out, start, batch.OK, p)
	}
	status := batch.Failed
	if remote, ok := err.(*RemoteError); ok && remote.after > 0 {
		status = batch.Later
	}
	return batch.EndWith(out, start, status, codec.Payload{Data: marshalError(err)})
}

// ending says how the attempt at a batch ended whose reply is r.
func (r *reply) ending() batch.Ending {
	switch {
	case r.err == nil:
		return batch.Returned
	case r.died:
		return batch.Died
	}
	return batch.Broken
}

// bare takes the last outcome out of the result of a batch that is too large for a frame. The
// outcome begins at the place last; the outcomes before it go into Meta.
func (r *reply) bare(last int) {
	whole := batch.Result{Took: r.took, Outcomes: r.payload.Data}
	text, p := whole.Bare(last)
	r.meta, r.took = string(text), 0
	r.payload = p // p is not lent: memory of this size is not used again for the next batch
}
