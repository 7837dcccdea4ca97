package multiprolab

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main and a worker both know of batches: tasks of Map that travel, and are
// worked on, many at a time, because each takes less time than a message. A batch is one job for
// the queue. Its body is its items, one behind the other, and its result the outcomes of the items,
// in their order. What a worker has finished of a batch is in its black box, so that a death costs
// the item that was running, and no other.

// The body of a batch, and its result, begin with the id of the type definitions that most of its
// items need: batchHead bytes. Each item, or outcome, is a head of itemHead bytes, which has its
// status, its encoding and the length of its data, and the data. The id of its definitions follows
// if it is another one.
const (
	batchHead = 8
	itemHead  = 1 + 4
	itemDefs  = 8
)

// The first byte of an item: its status in bits 0 and 4, its encoding in bits 1 to 3, and whether
// the id of its definitions follows. An item has the status itemOK.
const (
	itemOK     = 0
	itemFailed = 1      // the data are an error, packed
	itemLater  = 1 << 4 // with itemFailed: its handler wants it to be started again, see RetryAfter. Map sees to it
	itemMixed  = 1 << 6 // of the first item alone: some have definitions of their own
	itemOther  = 1 << 7
)

// itemHeads says which first bytes there are: endItem writes no others.
var itemHeads = [256]bool{
	itemOK | codec.None<<1: true, itemOK | codec.Bytes<<1: true, itemOK | codec.String<<1: true,
	itemOK | codec.Gob<<1: true, itemOK | codec.GobValue<<1: true, itemOK | codec.GobValue<<1 | itemOther: true,
	itemFailed: true, itemFailed | itemLater: true,
}

var errBatch = errors.New("multiprolab: a batch of tasks is garbled")

// batchFull is how many bytes of outcomes end a batch. Fewer are before the last, and so fit into
// Meta: see bare.
const batchFull = wire.MaxMeta - bareHead

// An error with all that may be before it fits into a frame; else this does not compile.
const _ = uint(link.LeastLimit - batchHead - batchFull - itemHead - maxErrorSize)

// mostBody is the greatest length of a frame's body on the wires of this process, in bytes; see
// link.Link.Limit.
func (n *node) mostBody() int { return max(n.maxBody, link.LeastLimit) }

// beginItem makes room for the head of an item, whose data are to be appended, and for that of the
// batch if it is the first.
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
		b[batchHead] |= itemMixed
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

// definitionsOf yields the ids of the type definitions that the items, or outcomes, in the body of
// a batch need. Most need the same ones.
func definitionsOf(b []byte) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		common, items := itemsOf(b)
		if len(items) == 0 || common != 0 && !yield(common) || items[0]&itemMixed == 0 {
			return
		}
		for len(items) > 0 {
			_, p, rest, err := cutItem(items, 0)
			if err != nil || p.Defs != 0 && !yield(p.Defs) {
				return
			}
			items = rest
		}
	}
}

// itemSize returns the length of the first item in items with its head, or 0 if there is none that
// endItem has written.
func itemSize(items []byte) int {
	if len(items) < itemHead || !itemHeads[items[0]&^itemMixed] {
		return 0
	}
	n := itemHead + uint64(binary.LittleEndian.Uint32(items[1:]))
	if items[0]&itemOther != 0 {
		n += itemDefs
	}
	if n > uint64(len(items)) {
		return 0
	}
	return int(n)
}

// cutItem takes the first item from items. common is the id that itemsOf has returned with them.
func cutItem(items []byte, common uint64) (status byte, p codec.Payload, rest []byte, err error) {
	n := itemSize(items)
	if n == 0 {
		return 0, p, nil, errBatch
	}
	head, end := items[0], n
	p.Encoding = head >> 1 & 7
	switch {
	case head&itemOther != 0:
		end -= itemDefs
		p.Defs = binary.LittleEndian.Uint64(items[end:])
	case p.Encoding == codec.GobValue:
		p.Defs = common
	}
	p.Data = items[itemHead:end:end]
	return head & (itemFailed | itemLater), p, items[n:], nil
}

// outcomes is the well-formed outcomes at the start of the result of a batch.
type outcomes struct {
	list      []byte
	succeeded int
	failed    int
	later     int // those of itemLater: the items come again, as tasks of their own
}

func (o *outcomes) count() int { return o.succeeded + o.failed + o.later }

// outcomesOf returns the outcomes in the result of a batch, at most n.
func outcomesOf(b []byte, n int) (o outcomes) {
	_, rest := itemsOf(b)
	for ; n > 0; n-- {
		size := itemSize(rest)
		if size == 0 {
			break
		}
		switch rest[0] & (itemFailed | itemLater) {
		case itemOK:
			o.succeeded++
		case itemFailed:
			o.failed++
		default:
			o.later++
		}
		rest = rest[size:]
	}
	o.list = b[:len(b)-len(rest)]
	return o
}

// countOutcomes counts the outcomes in the result of a batch, and reports whether it is one that a
// worker may give: an honest one writes whole outcomes and nothing behind them, and has one at
// least. More of them than the batch has items is a lie, too: who calls this knows their number.
func countOutcomes(b []byte) (ok, failed int, wellFormed bool) {
	o := outcomesOf(b, math.MaxInt)
	return o.succeeded, o.failed + o.later, o.count() > 0 && len(o.list) == len(b)
}

// shares says what becomes of the n items of a batch whose job has ended with r: the first have
// outcomes, the next are blamed and end with an error, and the others have not run and are to be
// given out again. Each is one of these, whatever a worker wrote.
func (r *reply) shares(n int) (o outcomes, blamed, again int) {
	o = outcomesOf(r.payload.Data, n)
	again = n - o.count()
	switch {
	case r.err != nil && !r.died:
		blamed = again
	case r.err != nil, o.count() == 0: // without an outcome the worker lies, and the batch would go round for ever
		blamed = min(again, 1)
	}
	return o, blamed, again - blamed
}

// blame is the error of the items that are blamed.
func (r *reply) blame() error { return cmp.Or(r.err, errBatch) }

// tallied is what the end of a job adds to the counters of TaskStats: together as many as it has
// items, or one if it is no batch.
type tallied struct{ succeeded, failed, cancelled, notReceived int }

// tally counts the outcome of a job with so many items, or 0 if it is no batch. Items that are to
// be run yet count as not received: Map submits them again.
func tally(batch int, r *reply) (t tallied) {
	blamed := 1
	if batch > 0 {
		var o outcomes
		o, blamed, t.notReceived = r.shares(batch)
		t.succeeded, t.failed = o.succeeded, o.failed
		t.notReceived += o.later
	}
	switch {
	case errors.Is(r.err, ErrCancelled), errors.Is(r.err, ErrStopped):
		t.cancelled += blamed
	case r.err != nil, batch > 0:
		t.failed += blamed
	default:
		t.succeeded++
	}
	return t
}

const (
	// maxBatchTime is about how long a worker works on one batch; what is left then, main gives out
	// again.
	maxBatchTime = 2 * batchTime
	// turnTime is about how long a batch holds up the messages and actions of its worker.
	turnTime = 4 * time.Millisecond
	// lookTime is about how often a worker looks at the clock between the items of a batch, and
	// lookItems after how many items at most.
	lookTime  = 100 * time.Microsecond
	lookItems = 16
)

// itemHandler works on the item of a batch that is in the payload of its task, and appends its
// outcome to out.
type itemHandler func(ctx context.Context, t *Task, out []byte) []byte

// workBatch runs the items of a batch, on the loop of the worker. It ends early, between two items,
// when the time is over, the room for outcomes is, or the batch is cancelled or to be given back.
func (b *taskInbox) workBatch(t *Task, work itemHandler) {
	memory := b.worker.link.NoteMemory()
	var out []byte
	full := 0 // where there is no room for outcomes each item ends its batch, so that main is told of it
	switch {
	case memory != nil:
		out, full = memory[:0], batchFull
	case !b.worker.role.process: // it does not die alone
		out, full = make([]byte, 0, link.NoteRoom), batchFull
	}
	common, items := itemsOf(t.payload.Data)
	last := 0             // where the last outcome begins
	lent := memory != nil // the memory of the outcomes is that of the next batch's, too
	var garbled error
	begun := time.Now()
	seen, look, step := begun, uint64(1), uint64(1)
	for n := uint64(0); len(items) > 0; n++ {
		if n == look {
			now := time.Now()
			if t.ctx.Err() != nil || now.Sub(begun) > maxBatchTime ||
				now.Sub(begun) > turnTime && b.worker.hasOtherWork() {
				break
			}
			if step = min(2*step, lookItems); now.Sub(seen) > lookTime {
				step = 1
			}
			seen, look = now, n+step
		}
		if n > 0 && len(out) > full || !t.beginItem(n) {
			break
		}
		if _, t.payload, items, garbled = cutItem(items, common); garbled != nil {
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
	r := &reply{payload: codec.Payload{Encoding: codec.Bytes, Defs: uint64(time.Since(begun)), Data: out, Lent: lent}}
	if len(out) > b.worker.mostBody() {
		r.bare(last)
	}
	t.endBatch(r)
	b.worker.weigh()
}

// endBatch sends the outcomes of a batch to main.
func (t *Task) endBatch(r *reply) {
	_ = t.end(r) // nobody else ends a batch: its handler ends the item that runs
}

// bareHead is the length in bytes of what is before the outcomes in the Meta of a result whose last
// outcome is bare: how long the worker was busy with the batch, in nanoseconds, little-endian.
const bareHead = 8

// bare takes the last outcome, which begins at a place in the result of a batch, out of the result,
// which is too large for a frame: its data are the body of the frame as they would be without a
// batch, and what is before it goes into Meta. So a worker need not know how large a result will be
// to give it with those before it, and the largest that there may be can be given, too.
func (r *reply) bare(last int) {
	took, out := r.payload.Defs, r.payload.Data
	common, items := itemsOf(out)
	_, p, _, _ := cutItem(items[max(0, last-batchHead):], common) // it was written by endItem
	r.meta = string(append(binary.LittleEndian.AppendUint64(nil, took), out[:last]...))
	r.payload = p // whose memory is not that of a next batch: it is too large for that
}

// batchReply reads the result of a batch, from a process that is not to be trusted. What is
// malformed is no outcome.
func batchReply(f *wire.Frame) *reply {
	if f.Meta == "" {
		return &reply{payload: payloadOf(f)}
	}
	if len(f.Meta) < bareHead || f.Encoding > codec.GobValue {
		return &reply{}
	}
	out := []byte(f.Meta)
	took := binary.LittleEndian.Uint64(out)
	if out = out[bareHead:]; len(out) > 0 && len(out) < batchHead {
		return &reply{}
	}
	start := max(len(out), batchHead)
	out = endItem(append(beginItem(out), f.Body...), start, itemOK, payloadOf(f))
	return &reply{payload: codec.Payload{Encoding: codec.Bytes, Defs: took, Data: out}}
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
		if t.early.Load() != nil {
			value = noValue
			return w.earlyOutcome(out, start, t)
		}
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

// earlyOutcome appends the outcome that the handler of an item gave it with Done or Fail. What it
// has returned after that does not count, as with any task.
func (n *node) earlyOutcome(out []byte, start int, t *Task) []byte {
	return n.addOutcome(out, start, t.Type, t.early.Swap(nil))
}

// addOutcome appends an outcome that was encoded elsewhere.
func (n *node) addOutcome(out []byte, start int, typ string, r *reply) []byte {
	return n.endOutcome(append(beginItem(out), r.payload.Data...), start, typ, r.payload, r.err)
}

// takeFirst makes a batch that answers a GetTask its first item, before it starts.
func (t *Task) takeFirst() (err error) {
	common, items := itemsOf(t.payload.Data)
	if _, t.payload, _, err = cutItem(items, common); err != nil {
		return lie("%v", err)
	}
	t.lone = true
	t.begun.Store(1)
	return nil
}

// endFirst ends a batch with the outcome of its first item. It says that it took long, so that the
// next items travel one at a time.
func (t *Task) endFirst(r *reply) error {
	w := t.worker
	all := &reply{payload: codec.Payload{Encoding: codec.Bytes, Defs: uint64(mostTook)}}
	all.payload.Data = w.addOutcome(nil, 0, t.Type, r)
	if len(all.payload.Data) > w.mostBody() {
		all.bare(0)
	}
	return t.end(all)
}

// failure is the error of a handler as it goes to the submitter.
func (n *node) failure(typ string, err error) error {
	if _, ok := err.(*DecodeError); ok {
		return err
	}
	return n.remote(typ, err)
}

// endOutcome ends the outcome whose head begins at start, or before which that of the batch begins
// there. Its value was encoded behind the head, unless err is its outcome.
func (n *node) endOutcome(out []byte, start int, typ string, p codec.Payload, err error) []byte {
	start = max(start, batchHead)
	if err == nil && len(p.Data) > n.maxBody {
		err = &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(n.maxBody)}
	}
	if err == nil {
		return endItem(out, start, itemOK, p)
	}
	status := byte(itemFailed)
	if remote, ok := err.(*RemoteError); ok && remote.after > 0 {
		status |= itemLater
	}
	return endItem(append(out[:start+itemHead], marshalError(err)...), start, status, codec.Payload{})
}
