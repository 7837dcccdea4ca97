package multiprolab

import (
	"cmp"
	"errors"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/errpack"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main, and both ends of a wire, know about batches: tasks of a Map that travel
// together, many at a time, because each takes less time than a message. A batch is one job for the
// queue. How its items and their outcomes lie in a body is in internal/batch, what a worker does
// with a batch is in batchwork.go, and how a Map makes batches and takes them back is in
// mapping.go. The outcomes that a worker has finished are in its black box, so that its death costs
// the item that was running, and no other.

// errBatch is the error of a batch whose body a worker cannot read, or of a result that has no
// outcome.
var errBatch = errors.New("multiprolab: a batch of tasks is garbled")

// batchFull is the length in bytes of the outcomes from which a batch takes no further item. So the
// outcomes before the last one have fewer bytes, and fit into Meta: see reply.bare.
const batchFull = wire.MaxMeta - batch.BareSize

// An error fits into a frame with all outcomes that may stand before it; otherwise this does not
// compile.
const _ = uint(link.LeastLimit - batch.HeadSize - batchFull - batch.EntryHeadSize - errpack.MaxSize)

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

// shares says what becomes of the n items of a batch whose job has ended with r.
func (r *reply) shares(n int) batch.Shares { return batch.Share(r.payload.Data, n, r.ending()) }

// blame is the error of the items that are blamed.
func (r *reply) blame() error { return cmp.Or(r.err, errBatch) }

// bare takes the last outcome out of the result of a batch that is too large for a frame. The
// outcome begins at the place last; the outcomes before it go into Meta.
func (r *reply) bare(last int) {
	whole := batch.Result{Took: r.took, Outcomes: r.payload.Data}
	text, p := whole.Bare(last)
	r.meta, r.took = string(text), 0
	r.payload = p // p is not lent: memory of this size is not used again for the next batch
}
