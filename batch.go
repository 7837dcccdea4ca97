package multiprolab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main and a worker both know of batches: tasks of Map that travel, and are worked on, many at a time, because each takes less time
// than a message. A batch is one job for the queue. Its body is its items, one behind the other, and its result the outcomes of the items, in their order. What a worker
// has finished of a batch is in its black box, so that a death costs the item that was running, and no other.

// batchHead is the length of what stands before each item or outcome: a status, the encoding, the id of the type definitions and the length of the data.
const batchHead = 1 + 1 + 8 + 4

// The statuses of outcomes. An item has itemOK.
const (
	itemOK     = iota
	itemFailed // the data are an error, as JSON
)

var errBatch = errors.New("multiprolab: a batch of tasks is garbled")

// beginItem makes room for the head of an item, whose data are to be appended.
func beginItem(b []byte) []byte { return append(b, make([]byte, batchHead)...) }

// endItem fills in the head of the item that begins at start.
func endItem(b []byte, start int, status byte, p codec.Payload) {
	h := b[start:]
	h[0], h[1] = status, p.Encoding
	binary.LittleEndian.PutUint64(h[2:], p.Defs)
	binary.LittleEndian.PutUint32(h[10:], uint32(len(b)-start-batchHead))
}

// cutItem takes the first item from b.
func cutItem(b []byte) (status byte, p codec.Payload, rest []byte, err error) {
	if len(b) < batchHead {
		return 0, p, nil, errBatch
	}
	n := int(binary.LittleEndian.Uint32(b[10:]))
	if n > len(b)-batchHead || b[0] > itemFailed {
		return 0, p, nil, errBatch
	}
	end := batchHead + n
	p = codec.Payload{Encoding: b[1], Defs: binary.LittleEndian.Uint64(b[2:]), Data: b[batchHead:end:end]}
	return b[0], p, b[end:], nil
}

// tally counts the outcomes in b.
func tally(b []byte) (succeeded, failed int) {
	for len(b) > 0 {
		status, _, rest, err := cutItem(b)
		if err != nil {
			break
		}
		if b = rest; status == itemOK {
			succeeded++
		} else {
			failed++
		}
	}
	return succeeded, failed
}

// maxBatchTime is about how long a worker works on one batch; what is left then, main gives out again.
const maxBatchTime = 8 * time.Millisecond

// workBatch runs the items of a batch, on the loop of the worker. It ends early, between two items, when the time is over, the room for outcomes is, or the batch is
// cancelled or to be given back.
func (b *taskInbox) workBatch(t *Task, fn TaskHandler) {
	w := b.worker
	box := w.link.box
	var out []byte
	if box != nil {
		out = box.batch[:0]
	}
	begun := time.Now()
	items := t.payload.Data
	for n := uint64(0); len(items) > 0 && t.ctx.Err() == nil; n++ {
		if n > 0 && (cap(out)-len(out) < batchRoom/8 || n%16 == 0 && time.Since(begun) > maxBatchTime) || !t.begun.CompareAndSwap(n, n+1) {
			break
		}
		var err error
		if _, t.payload, items, err = cutItem(items); err != nil {
			_ = t.finish(&reply{err: err})
			return
		}
		value, err := fn(t.ctx, t)
		out = w.appendOutcome(out, t.Type, value, err)
		if box != nil && !box.finished(out) {
			break // it is not on record any more: main is told at once
		}
	}
	if t.ctx.Err() != nil && len(items) > 0 {
		_ = t.finish(&reply{err: context.Cause(t.ctx)})
		return
	}
	_ = t.finish(&reply{payload: codec.Payload{Encoding: codec.Bytes, Defs: uint64(time.Since(begun)), Data: out}})
	w.weigh()
}

// batchCut in Task.begun says that no further item of a batch may begin.
const batchCut = 1 << 63

// cutBatch ends a batch after the item that runs, and tells main that the others are free. It runs on the goroutine that reads the wire.
func (b *taskInbox) cutBatch(t *Task) {
	if begun := t.begun.Or(batchCut); begun&batchCut == 0 {
		_ = b.worker.post(&wire.Frame{Kind: wire.Split, ID: t.ID, Defs: max(1, begun)})
	}
}

// appendOutcome appends what the handler of an item has returned.
func (n *node) appendOutcome(out []byte, typ string, value any, err error) []byte {
	start := len(out)
	out = beginItem(out)
	if err == nil {
		var p codec.Payload
		var longer []byte
		if longer, p, err = n.codec.AppendEncode(out, value); err == nil && len(p.Data) <= n.maxBody {
			endItem(longer, start, itemOK, p)
			return longer
		}
		if err != nil {
			err = &EncodeError{Type: typ, GoType: fmt.Sprintf("%T", value), Err: err}
		} else {
			err = &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(n.maxBody)}
		}
		out = out[:start+batchHead]
	} else if _, ok := err.(*DecodeError); !ok {
		err = n.remote(typ, err)
	}
	out = append(out, marshalError(err)...)
	endItem(out, start, itemFailed, codec.Payload{})
	return out
}

// outcomes returns the well-formed outcomes at the start of a batch's result, at most n, and their number.
func outcomes(b []byte, n int) (list []byte, k int) {
	rest := b
	for k < n && len(rest) > 0 {
		_, _, next, err := cutItem(rest)
		if err != nil {
			break
		}
		rest = next
		k++
	}
	return b[:len(b)-len(rest)], k
}
