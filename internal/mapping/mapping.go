// Package mapping is one range over a Map: which items travel together and when they are sent,
// which outcomes are yielded next, and which items are sent again because their batch has come
// back without an outcome for them. How items lie in a batch, and how many travel together, is in
// package batch.
//
// The package does not know how a task comes to a worker and back, or what an error means. Who
// makes a Range gives it a function that submits tasks, and what that returns is a Task.
package mapping

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// This file is what a Range is given, and how it makes batches of its items and sends them. What
// comes back is in returns.go.

// Config says how a range over a Map works. It does not change.
type Config struct {
	Workers   int  // how many workers there are for batches; 0 if items travel one by one
	Window    int  // how many items may be taken from the sequence and not yielded; 0 for the default
	Unordered bool // the outcomes come as they are there, and not in the order of the items
	MaxItem   int  // the greatest length of an item, in bytes
	MaxBody   int  // the greatest length of the body of a batch, in bytes
	Outcomes  int  // for how many bytes of outcomes of a batch a worker has room
	Lines     bool // a task stands in line for room in the queue, and Submit does not wait for it
	// Submit submits a task that begins after a time: a batch or, if Batch.Items is 0, one item.
	// When the task has its outcome, Batch.Ended has to be called, which may be before Submit
	// returns. Submit must not wait if there are batches, because it is called under a lock then,
	// and on the timer's goroutine, too.
	Submit func(b *Batch, p codec.Payload, after time.Duration) (Task, error)
}

// Task is a task that Config.Submit has submitted. Its methods do not wait.
type Task interface {
	// Done returns a channel that is closed when the task has its outcome.
	Done() <-chan struct{}
	// Accepted returns a channel that is closed when the queue has had room for the task.
	Accepted() <-chan struct{}
	// Listen counts those who wait for the task and hand its reports of progress on. It returns a
	// channel that gets something when there are reports, or nil if there will be none.
	Listen(by int) (news <-chan struct{})
	// Report hands on the reports of progress that have come.
	Report(ctx context.Context)
	// Outcome returns what the task has come to. It is called once Done is closed.
	Outcome() Outcome
	// Error reads the error of an item, from the outcomes of a batch. If the item is to be started
	// again, it also says after what time; otherwise it says 0. It is called once Done is closed.
	Error(packed []byte) (after time.Duration, err error)
	// GiveUp cancels the task, because ctx has ended or nobody wants its outcome any more.
	GiveUp(ctx context.Context)
}

// Outcome is what a task has come to. It does not change.
type Outcome struct {
	// Payload is the result of an item, or the outcomes of a batch.
	Payload codec.Payload
	// Err is the error of an item, or nil; of a batch, the error of the items that are blamed.
	Err error
	// Ending is how the last attempt at a batch ended.
	Ending batch.Ending
	// Took is how long the worker says that it was busy with a batch.
	Took time.Duration
}

// maxFree is how many bodies of batches are kept to be filled again.
const maxFree = 4

// Range is the state of one range over a Map. It exists in the process that ranges, main or a
// worker. The goroutine that ranges owns it, except for places, news and flow, which say who else
// may touch what.
//
// Nobody waits while holding a lock, or on the timer's goroutine. Where a submission may wait there
// are no batches, and so no timer, and no lock is held while a task is submitted.
type Range struct {
	cfg     Config     // how the range works
	taken   int        // how many items were taken from the sequence
	yielded int        // how many outcomes Next has returned
	pace    batch.Pace // how many items travel together
	free    [][]byte   // the bodies of batches that may be filled again
	current *Batch     // the batch whose outcomes are being yielded, or nil

	places places // the batches that have not been yielded
	news   news   // what other goroutines tell the goroutine that ranges
	flow   flow   // how many batches are on their way
}

// New returns the state of a range that begins.
func New(cfg Config) *Range {
	r := &Range{cfg: cfg, pace: batch.NewPace(cfg.Workers, cfg.Window, cfg.Outcomes)}
	if cfg.Workers > 0 {
		r.flow.late = time.AfterFunc(time.Hour, r.flush)
		r.flow.late.Stop()
	}
	r.news.wake = make(chan struct{}, 1)
	if cfg.Unordered {
		r.places.open = map[*Batch]bool{}
	}
	return r
}

// Taken returns how many items were taken in.
func (r *Range) Taken() int { return r.taken }

// Left returns how many items were taken in whose outcomes Next has not returned.
func (r *Range) Left() int { return r.taken - r.yielded }

// Full reports whether no further item may be taken in now: the window is full, or the queue has no
// room for the last item.
func (r *Range) Full() bool {
	return r.Left() >= r.pace.Window() || r.flow.line.Load() != nil && r.flow.inLine() != nil
}

// Add takes in the item that v points to: it puts the item into the part, and sends the part once
// it is full. If the item cannot be encoded, or its size in bytes is above Config.MaxItem, it is
// not taken in, and the caller calls Fail.
func Add[T any](r *Range, encode codec.Coder[T], v *T) (size int, err error) {
	var room []byte
	if r.cfg.Workers > 0 { // otherwise no other goroutine touches the places
		r.places.mu.Lock()
		defer r.places.mu.Unlock()
		room = r.beginItem()
	}
	body, p, err := encode.AppendEncode(room, v)
	if err != nil || len(p.Data) > r.cfg.MaxItem {
		return len(p.Data), err
	}
	r.endItem(body, p)
	r.taken++
	return len(p.Data), nil
}

// Fail takes in an item that is not sent, whose outcome is an error.
func (r *Range) Fail(err error) {
	r.places.mu.Lock()
	defer r.places.mu.Unlock()
	r.sendPart()
	b := r.nextItem()
	b.fail(err)
	r.news.finished(b)
	r.taken++
}

// nextItem returns the item that is being taken in as a batch without a body, behind all batches.
func (r *Range) nextItem() *Batch {
	b := &Batch{of: r, first: r.taken, n: 1}
	r.places.add(b)
	return b
}

// beginItem returns the body of the part, with the head of the next item. The caller holds
// places.mu.
func (r *Range) beginItem() []byte {
	b := r.places.part
	if b == nil {
		b = &Batch{of: r, first: r.taken}
		r.places.part = b
		if n := len(r.free); n > 0 {
			b.body = r.free[n-1]
			r.free = r.free[:n-1]
		}
	}
	return batch.Begin(b.body)
}

// endItem makes what was encoded since beginItem an item of the part. If there are no batches, or
// the part would be too large with it, the item is a task of its own. The caller holds places.mu if
// there are batches.
func (r *Range) endItem(body []byte, p codec.Payload) {
	if r.cfg.Workers == 0 || len(body)+batch.OwnSize > r.cfg.MaxBody {
		r.sendPart()
		r.send(r.nextItem(), p, 0) // p need not be lent: the memory of so large a part is not used again
		return
	}
	b := r.places.part
	b.body = batch.End(body, len(b.body), batch.OK, p)
	b.n++
	if r.pace.Full(b.n, len(b.body)) {
		r.sendPart()
	} else if b.n == 1 {
		r.flow.partial.Store(true)
		r.hurry()
	}
}

// flush sends the part, if there is one. The timer calls it, too.
func (r *Range) flush() {
	r.places.mu.Lock()
	defer r.places.mu.Unlock()
	r.sendPart()
}

// sendPart is flush for a caller that holds places.mu.
func (r *Range) sendPart() {
	b := r.places.part
	r.places.part = nil
	if b != nil && b.n > 0 {
		r.flow.partGone()
		r.places.add(b)
		r.sendBatch(b)
	}
}

// sendBatch submits a batch. The caller holds places.mu.
func (r *Range) sendBatch(b *Batch) {
	b.kept = b.n
	// A worker may answer before the wire has written the whole body. So a body that may be filled
	// again is only lent to the wire, which copies it.
	r.send(b, codec.Payload{Encoding: codec.Bytes, Data: b.body, Lent: b.reusable()}, 0)
}

// send submits a task: a batch or, if b has no body, one item.
func (r *Range) send(b *Batch, p codec.Payload, after time.Duration) {
	r.flow.sent.Add(1)
	b.number = r.flow.numbers.Add(1)
	t, err := r.cfg.Submit(b, p, after)
	if err != nil {
		b.fail(err)
		b.Ended()
		return
	}
	b.task = t
	if r.cfg.Lines && !goroutine.Closed(t.Accepted()) {
		r.flow.line.Store(b)
	}
}

// Cancel cancels the tasks that are not done.
func (r *Range) Cancel(ctx context.Context) {
	r.places.mu.Lock()
	defer r.places.mu.Unlock()
	r.places.part = nil
	r.flow.partGone()
	for b := range r.places.open {
		r.places.items.Push(b)
	}
	var left []*Batch
	for b := range r.places.items.All() {
		if b.task != nil && !goroutine.Closed(b.task.Done()) {
			left = append(left, b)
		}
	}
	// The last task is cancelled first. In the other order, the room that the first tasks leave
	// would let later ones begin.
	slices.SortFunc(left, func(x, y *Batch) int { return cmp.Compare(y.number, x.number) })
	for _, b := range left {
		b.task.GiveUp(ctx)
	}
}
