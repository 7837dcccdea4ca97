package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how a worker works on a batch, on its loop: item by item, with the handler of their
// type, until there is a reason to stop. What it has finished then goes to main, which gives out
// the others again.

// itemHandler works on the item of a batch that is in the payload of its task, and appends its
// outcome to out.
type itemHandler func(ctx context.Context, t *Task, out []byte) []byte

// workBatch runs the items of a batch, on the loop of the worker. It ends early, between two items,
// when the time is over, the room for outcomes is, or the batch is cancelled or to be given back.
func (b *taskInbox) workBatch(t *Task, work itemHandler) {
	memory := b.worker.link.NoteMemory()
	out, full := b.roomForOutcomes(memory)
	items := batch.Read(t.payload.Data)
	last := 0             // where the last outcome begins
	lent := memory != nil // the memory of the outcomes is that of the next batch's, too
	var garbled error
	begun := time.Now()
	turn := batch.NewTurn()
	for n := uint64(0); !items.Done(); n++ {
		if turn.Due(n) {
			busy := time.Since(begun)
			if t.ctx.Err() != nil || turn.Over(busy) || turn.Yields(busy) && b.worker.hasOtherWork() {
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
		if memory != nil && !b.worker.link.Note(out) {
			lent = false
			break // it is not on record any more: main is told at once
		}
	}
	if len(out) == 0 { // else what is finished stands
		t.endBatch(&reply{err: cmp.Or(garbled, context.Cause(t.ctx), errBatch)})
		return
	}
	r := &reply{payload: codec.Payload{Encoding: codec.Bytes, Data: out, Lent: lent}, took: time.Since(begun)}
	if len(out) > b.worker.mostBody() {
		r.bare(last)
	}
	t.endBatch(r)
	b.worker.weigh()
}

// roomForOutcomes returns memory for the outcomes of a batch, and how many bytes of them end it.
// note is the memory in which they outlive the worker, or nil.
func (b *taskInbox) roomForOutcomes(note []byte) (out []byte, full int) {
	if note != nil {
		return note[:0], batchFull
	}
	if !b.worker.role.process { // it does not die alone
		return make([]byte, 0, link.NoteRoom), batchFull
	}
	return nil, 0 // each outcome ends its batch, so that main is told of it
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

// cutBatch ends a batch after the item that runs, and tells main that the others are free. It runs
// on the goroutine that reads the wire.
func (b *taskInbox) cutBatch(t *Task) {
	if begun := t.begun.Or(batchCut); begun&batchCut == 0 {
		b.worker.link.Tell(link.Soon, wire.NewSplit(t.ID, max(1, begun)))
	}
}

// items returns what works on the items of a batch with the handler of a type.
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
