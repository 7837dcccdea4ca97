package multiprolab

import (
	"cmp"
	"errors"
	"iter"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main, and a frame at either end, know of batches: tasks of Map that travel, and
// are worked on, many at a time, because each takes less time than a message. A batch is one job
// for the queue. How its items and their outcomes lie in a body is in internal/batch; what a worker
// does with it is in batchwork.go, and how a Map makes and takes back batches in mapping.go. What a
// worker has finished of a batch is in its black box, so that a death costs the item that was
// running, and no other.

var errBatch = errors.New("multiprolab: a batch of tasks is garbled")

// batchFull is how many bytes of outcomes end a batch. Fewer are before the last, and so fit into
// Meta: see reply.bare.
const batchFull = wire.MaxMeta - batch.BareSize

// An error with all that may be before it fits into a frame; else this does not compile.
const _ = uint(link.LeastLimit - batch.HeadSize - batchFull - batch.EntryHeadSize - maxErrorSize)

// mostBody is the greatest length of a frame's body on the wires of this process, in bytes; see
// link.Link.Limit.
func (n *node) mostBody() int { return max(n.maxBody, link.LeastLimit) }

// definitionsOf yields the ids of the type definitions that the items, or outcomes, in the body of
// a batch need.
func definitionsOf(b []byte) iter.Seq[uint64] { return batch.Definitions(b) }

// ending says how the attempt at a batch ended that the reply is for.
func (r *reply) ending() batch.Ending {
	switch {
	case r.err == nil:
		return batch.Returned
	case r.died:
		return batch.Died
	}
	return batch.Broken
}

// shares says what becomes of the n items of a batch whose job has ended with r.
func (r *reply) shares(n int) batch.Shares { return batch.Share(r.payload.Data, n, r.ending()) }

// blame is the error of the items that are blamed.
func (r *reply) blame() error { return cmp.Or(r.err, errBatch) }

// bare takes the last outcome, which begins at a place in the result of a batch, out of the result,
// which is too large for a frame. What is before it goes into Meta.
func (r *reply) bare(last int) {
	whole := batch.Result{Took: r.took, Outcomes: r.payload.Data}
	text, p := whole.Bare(last)
	r.meta, r.took = string(text), 0
	r.payload = p // whose memory is not that of a next batch: it is too large for that
}

// batchReply reads the result of a batch, from a process that is not to be trusted. What is
// malformed is no outcome.
func batchReply(f *wire.Frame) *reply {
	if f.Meta == "" {
		p := payloadOf(f)
		p.Defs = 0 // the place of the time in a frame whose payload has no definitions of its own
		return &reply{payload: p, took: f.Took()}
	}
	r, _ := batch.OfBare(f.Meta, payloadOf(f))
	return &reply{payload: codec.Payload{Encoding: codec.Bytes, Data: r.Outcomes}, took: r.Took}
}
