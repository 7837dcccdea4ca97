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

// endBatch sends the outcomes of a batch to main.
func (t *Task) endBatch(r *reply) {
	_ = t.end(r) // nobody else ends a batch: its handler ends the item that runs
}

// beginItem notes that item n begins, unless the batch was cut before it. The first is the worker's
// in any case, if it is not cancelled: see cutBatch.
func (t *Task) beginItem(n uint64) bool {
	return t.begun.CompareAndSwap(n, n+1) || n == 0 && t.ctx.Err() == nil
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
			return w.earlyOutcome(out, start, t)
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
			return w.earlyOutcome(out, start, t)
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

// earlyOutcome appends the outcome that the handler of an item gave it with Done or Fail. What it
// has returned after that does not count, as with any task.
func (n *node) earlyOutcome(out []byte, start int, t *Task) []byte {
	return n.addOutcome(out, start, t.Type, t.early.Swap(nil))
}

// takeFirst makes a batch that answers a GetTask its first item, before it starts.
func (t *Task) takeFirst() error {
	items := batch.Read(t.payload.Data)
	var ok bool
	if _, t.payload, ok = items.Next(); !ok {
		return lie("%v", errBatch)
	}
	t.lone = true
	t.begun.Store(1)
	return nil
}

// endFirst ends a batch with the outcome of its first item. It says that it took long, so that the
// next items travel one at a time.
func (t *Task) endFirst(r *reply) error {
	w := t.worker
	all := &reply{payload: codec.Payload{Encoding: codec.Bytes}, took: batch.MaxTook}
	all.payload.Data = w.addOutcome(nil, 0, t.Type, r)
	if len(all.payload.Data) > w.mostBody() {
		all.bare(0)
	}
	return t.end(all)
}

// addOutcome appends an outcome that was encoded elsewhere.
func (n *node) addOutcome(out []byte, start int, typ string, r *reply) []byte {
	return n.endOutcome(append(batch.Begin(out), r.payload.Data...), start, typ, r.payload, r.err)
}

// failure is the error of a handler as it goes to the submitter.
func (n *node) failure(typ string, err error) error {
	if _, ok := err.(*DecodeError); ok {
		return err
	}
	return n.remote(typ, err)
}

// endOutcome ends the outcome that was begun when out had the length start. Its value was encoded
// since, unless err is its outcome.
func (n *node) endOutcome(out []byte, start int, typ string, p codec.Payload, err error) []byte {
	if err == nil && len(p.Data) > n.maxBody {
		err = &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(n.maxBody)}
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
