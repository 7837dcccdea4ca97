package multiprolab

import (
	"cmp"
	"errors"

	"github.com/multiprolab/multiprolab/internal/batch"
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

// tally counts the outcome of a job with so many items, or 0 if it is no batch. Items that are to
// be run yet count as not received: Map submits them again.
func tally(items int, r *reply) batch.Tally {
	cancelled := errors.Is(r.err, ErrCancelled) || errors.Is(r.err, ErrStopped)
	switch {
	case items > 0:
		s := r.shares(items)
		return s.Tally(cancelled)
	case cancelled:
		return batch.Tally{Cancelled: 1}
	case r.err != nil:
		return batch.Tally{Failed: 1}
	}
	return batch.Tally{Succeeded: 1}
}

// bare takes the last outcome, which begins at a place in the result of a batch, out of the result,
// which is too large for a frame. What is before it goes into Meta.
func (r *reply) bare(last int) {
	whole := batch.Result{Took: r.took, Outcomes: r.payload.Data}
	text, p := whole.Bare(last)
	r.meta, r.took = string(text), 0
	r.payload = p // whose memory is not that of a next batch: it is too large for that
}
