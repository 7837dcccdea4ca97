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

// The body of a batch, and its result, begin with the id of the type definitions that most of its items need: batchHead bytes. Each item, or outcome, is a head of
// itemHead bytes, which has its status, its encoding and the length of its data, and the data. The id of its definitions follows if it is another one.
const (
	batchHead = 8
	itemHead  = 1 + 4
	itemDefs  = 8
)

// The first byte of an item: its status in bit 0, its encoding in the next three, and whether the id of its definitions follows. An item has the status itemOK.
const (
	itemOK     = 0
	itemFailed = 1 // the data are an error, packed
	itemOther  = 1 << 7
)

var errBatch = errors.New("multiprolab: a batch of tasks is garbled")

// beginItem makes room for the head of an item, whose data are to be appended, and for that of the batch if it is the first.
func beginItem(b []byte) []byte {
	if len(b) == 0 {
		b = append(b, make([]byte, batchHead)...)
	}
	return append(b, make([]byte, itemHead)...)
}

// endItem ends the item whose head begins at start.
func endItem(b []byte, start int, status byte, p codec.Payload) []byte {
	h := b[start:]
	h[0] = status | p.Encoding<<1
	binary.LittleEndian.PutUint32(h[1:], uint32(len(h)-itemHead))
	if p.Encoding != codec.GobValue {
		return b
	}
	switch common := binary.LittleEndian.Uint64(b); common {
	case p.Defs:
	case 0:
		binary.LittleEndian.PutUint64(b, p.Defs)
	default:
		h[0] |= itemOther
		b = binary.LittleEndian.AppendUint64(b, p.Defs)
	}
	return b
}

// itemsOf takes the items, or outcomes, from the body of a batch.
func itemsOf(b []byte) (common uint64, items []byte) {
	if len(b) < batchHead {
		return 0, nil
	}
	return binary.LittleEndian.Uint64(b), b[batchHead:]
}

// cutItem takes the first item from items. common is the id that itemsOf has returned with them.
func cutItem(items []byte, common uint64) (status byte, p codec.Payload, rest []byte, err error) {
	if len(items) < itemHead {
		return 0, p, nil, errBatch
	}
	n := binary.LittleEndian.Uint32(items[1:])
	if uint64(n) > uint64(len(items)-itemHead) {
		return 0, p, nil, errBatch
	}
	end := itemHead + int(n)
	p.Encoding, p.Data = items[0]>>1&7, items[itemHead:end:end]
	switch {
	case items[0]&itemOther != 0:
		if len(items)-end < itemDefs {
			return 0, p, nil, errBatch
		}
		p.Defs = binary.LittleEndian.Uint64(items[end:])
		end += itemDefs
	case p.Encoding == codec.GobValue:
		p.Defs = common
	}
	return items[0] & itemFailed, p, items[end:], nil
}

// tally counts the outcomes in the result of a batch.
func tally(b []byte) (succeeded, failed int) {
	_, b = itemsOf(b)
	for len(b) > 0 {
		status, _, rest, err := cutItem(b, 0)
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

// outcomes returns the well-formed outcomes at the start of a batch's result, at most n, and their number.
func outcomes(b []byte, n int) (list []byte, k int) {
	_, rest := itemsOf(b)
	for k < n && len(rest) > 0 {
		_, _, next, err := cutItem(rest, 0)
		if err != nil {
			break
		}
		rest = next
		k++
	}
	return b[:len(b)-len(rest)], k
}

const (
	// maxBatchTime is about how long a worker works on one batch; what is left then, main gives out again.
	maxBatchTime = 2 * batchTime
	// turnTime is about how long a batch holds up the messages and actions of its worker.
	turnTime = 4 * time.Millisecond
	// lookTime is about how often a worker looks at the clock between the items of a batch, and lookItems after how many items at most.
	lookTime  = 100 * time.Microsecond
	lookItems = 16
)

// itemHandler works on the item of a batch that is in the payload of its task, and appends its outcome to out.
type itemHandler func(ctx context.Context, t *Task, out []byte) []byte

// workBatch runs the items of a batch, on the loop of the worker. It ends early, between two items, when the time is over, the room for outcomes is, or the batch is
// cancelled or to be given back.
func (b *taskInbox) workBatch(t *Task, work itemHandler) {
	box := b.worker.link.box
	var out []byte
	switch {
	case box != nil:
		out = box.batch[:0]
	case !b.worker.role.process: // it does not die alone
		out = make([]byte, 0, batchRoom)
	default: // there is no room: each item ends its batch, so that main is told of it
	}
	common, items := itemsOf(t.payload.Data)
	begun := time.Now()
	seen, look, step := begun, uint64(1), uint64(1)
	for n := uint64(0); len(items) > 0; n++ {
		if n == look {
			now := time.Now()
			if t.ctx.Err() != nil || now.Sub(begun) > maxBatchTime || now.Sub(begun) > turnTime && b.worker.hasOtherWork() {
				break
			}
			if step = min(2*step, lookItems); now.Sub(seen) > lookTime {
				step = 1
			}
			seen, look = now, n+step
		}
		if n > 0 && cap(out)-len(out) < batchRoom/8 || !t.begun.CompareAndSwap(n, n+1) {
			break
		}
		var err error
		if _, t.payload, items, err = cutItem(items, common); err != nil {
			_ = t.finish(&reply{err: err})
			return
		}
		out = work(t.ctx, t, out)
		if box != nil && !box.finished(out) {
			break // it is not on record any more: main is told at once
		}
	}
	if t.ctx.Err() != nil && len(items) > 0 {
		_ = t.finish(&reply{err: context.Cause(t.ctx)})
		return
	}
	// The memory of the outcomes is that of the next batch's, too.
	_ = t.finish(&reply{payload: codec.Payload{Encoding: codec.Bytes, Defs: uint64(time.Since(begun)), Data: out, Lent: true}})
	b.worker.weigh()
}

// hasOtherWork reports whether the loop has something to do beside tasks.
func (w *Worker) hasOtherWork() bool {
	if w.receiver.pending() {
		return true
	}
	w.loop.mu.Lock()
	turns := len(w.loop.turns) > 0
	w.loop.mu.Unlock()
	due, _ := w.loop.untilDue()
	return turns || due == 0
}

// batchCut in Task.begun says that no further item of a batch may begin.
const batchCut = 1 << 63

// cutBatch ends a batch after the item that runs, and tells main that the others are free. It runs on the goroutine that reads the wire.
func (b *taskInbox) cutBatch(t *Task) {
	if begun := t.begun.Or(batchCut); begun&batchCut == 0 {
		b.worker.link.tell(soon, &wire.Frame{Kind: wire.Split, ID: t.ID, Defs: max(1, begun)})
	}
}

// items returns what works on the items of a batch with the handler of a type.
func (w *Worker) items(fn TaskHandler) itemHandler {
	return func(ctx context.Context, t *Task, out []byte) []byte {
		start := len(out)
		value, err := fn(ctx, t)
		if err != nil {
			return w.endOutcome(beginItem(out), start, t.Type, codec.Payload{}, w.failure(t.Type, err))
		}
		out, p, err := w.codec.AppendEncode(beginItem(out), value)
		if err != nil {
			err = &EncodeError{Type: t.Type, GoType: fmt.Sprintf("%T", value), Err: err}
		}
		return w.endOutcome(out, start, t.Type, p, err)
	}
}

// typedItems is items for a handler of one type, which lives in memory that is used again.
func typedItems[T, R any](w *Worker, fn func(ctx context.Context, body T) (R, error)) itemHandler {
	bodies, results := codec.CoderOf[T](w.codec), codec.CoderOf[R](w.codec)
	var body, noBody T
	var value, noValue R
	return func(ctx context.Context, t *Task, out []byte) []byte {
		start := len(out)
		err := bodies.Decode(t.payload, &body)
		if err != nil {
			err = &DecodeError{Receiver: w.name, Type: t.Type, Err: err}
		} else {
			value, err = fn(ctx, body)
		}
		body = noBody // nothing of it is kept
		if err != nil {
			return w.endOutcome(beginItem(out), start, t.Type, codec.Payload{}, w.failure(t.Type, err))
		}
		out, p, err := results.AppendEncode(beginItem(out), &value)
		if err != nil {
			err = &EncodeError{Type: t.Type, GoType: fmt.Sprintf("%T", value), Err: err}
		}
		value = noValue
		return w.endOutcome(out, start, t.Type, p, err)
	}
}

// failure is the error of a handler as it goes to the submitter.
func (n *node) failure(typ string, err error) error {
	if _, ok := err.(*DecodeError); ok {
		return err
	}
	return n.remote(typ, err)
}

// endOutcome ends the outcome whose head begins at start, or before which that of the batch begins there. Its value was encoded behind the head, unless err is its outcome.
func (n *node) endOutcome(out []byte, start int, typ string, p codec.Payload, err error) []byte {
	start = max(start, batchHead)
	if err == nil && len(p.Data) > n.maxBody {
		err = &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(n.maxBody)}
	}
	if err == nil {
		return endItem(out, start, itemOK, p)
	}
	return endItem(append(out[:start+itemHead], marshalError(err)...), start, itemFailed, codec.Payload{})
}
