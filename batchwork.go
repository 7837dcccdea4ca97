package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
)

// This file is how a worker works on a batch, on its loop: item by item, with the handler of their
// type, until there is a reason to stop. Then the outcomes go to main, which gives out again the
// items that have none.

// itemHandler works on the item of a batch that is in the payload of the task t, and appends the
// outcome of the item to out.
type itemHandler func(ctx context.Context, t *Task, out []byte) []byte

// workBatch runs the items of a batch, on the loop of the worker. It ends early, between two items,
// when the time or the room for outcomes is used up, or when the batch is cancelled or is to be
// given back.
func (w *Worker) workBatch(t *Task, work itemHandler) {
	memory := w.link.NoteMemory()
	out, full := memory[:0], batchFull
	if memory == nil {
		full = 0 // the batch ends after each outcome, so that main is told of every one
	}
	items := batch.Read(t.payload.Data)
	last := 0             // where the last outcome begins
	lent := memory != nil // whether the next batch will use the memory of these outcomes again
	var garbled error
	begun := time.Now()
	turn := batch.NewTurn()
	for n := uint64(0); !items.Done(); n++ {
		if turn.Due(n) {
			busy := time.Since(begun)
			if t.ctx.Err() != nil || turn.Over(busy) || turn.Yields(busy) && w.hasOtherWork() {
				break
			}
			turn.Looked(n, busy)
		}
		if n > 0 && len(out) > full || !t.beginItem(n) {
			break
		}
		var ok bool
		if _, t.payload, ok = items.Next(); !ok {
			garbled = errBatch
			break
		}
		last = len(out)
		out = work(t.ctx, t, out)
		if memory != nil && !w.link.Note(out) {
			lent = false
			break // the outcome is not in the black box, so main has to be told at once
		}
	}
	if len(out) == 0 { // if there are outcomes, they count, whatever came after them
		t.endBatch(&reply{err: cmp.Or(garbled, context.Cause(t.ctx), errBatch)})
		return
	}
	r := &reply{payload: codec.Payload{Encoding: codec.Bytes, Data: out, Lent: lent}, took: time.Since(begun)}
	if len(out) > w.mostBody() {
		r.bare(last)
	}
	t.endBatch(r)
	w.weigh()
}

// hasOtherWork reports whether the loop has something to do besides tasks.
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

// items makes the itemHandler that calls fn.
func (w *Worker) items(fn TaskHandler) itemHandler {
	return func(ctx context.Context, t *Task, out []byte) []byte {
		start := len(out)
		value, err := fn(ctx, t)
		if t.early.Load() != nil {
			return w.addOutcome(out, start, t.Type, t.early.Swap(nil))
		}
		if err != nil {
			return w.endOutcome(batch.Begin(out), start, t.Type, codec.Payload{}, w.failure(t.Type, err))
		}
		out, p, err := w.codec.AppendEncode(batch.Begin(out), value)
		if err != nil {
			err = &EncodeError{Type: t.Type, GoType: fmt.Sprintf("%T", value), Err: err}
		}
		return w.endOutcome(out, start, t.Type, p, err)
	}
}

// typedItems is items for a function with typed arguments. The memory of the body and of the result
// is used again for each item.
func typedItems[T, R any](w *Worker, fn func(ctx context.Context, body T) (R, error)) itemHandler {
	bodies, results := codec.CoderOf[T](w.codec), codec.CoderOf[R](w.codec)
	var body, noBody T
	var value, noValue R
	return func(ctx context.Context, t *Task, out []byte) []byte {
		start := len(out)
		err := bodies.Decode(t.payload, &body)
		if err != nil {
			err = &DecodeError{Receiver: w.name(), Type: t.Type, Err: err}
		} else {
			value, err = fn(ctx, body)
		}
		body = noBody // so that nothing of the body is kept
		if t.early.Load() != nil {
			value = noValue
			return w.addOutcome(out, start, t.Type, t.early.Swap(nil))
		}
		if err != nil {
			return w.endOutcome(batch.Begin(out), start, t.Type, codec.Payload{}, w.failure(t.Type, err))
		}
		out, p, err := results.AppendEncode(batch.Begin(out), &value)
		if err != nil {
			err = &EncodeError{Type: t.Type, GoType: fmt.Sprintf("%T", value), Err: err}
		}
		value = noValue
		return w.endOutcome(out, start, t.Type, p, err)
	}
}
