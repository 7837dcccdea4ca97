package mapping

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/ring"
)

// This file is the batches of a Range, and the parts of a Range that others than the goroutine that
// ranges may touch.

// Batch is some items of a Map that follow each other in the sequence and travel together, as one
// task. It exists in the process of its Range. While it is the part of places, places.mu guards it;
// afterwards the goroutine that ranges owns it, except for kept. Any goroutine may call its
// exported methods.
type Batch struct {
	of     *Range // the range that it belongs to; does not change
	first  int    // the index in the sequence of its first item that has not been yielded
	n      int    // how many items it has, or had when it was sent
	body   []byte // its items; nil if it is one item that travels as a task of its own
	task   Task   // the task; nil if it has not been sent, or could not be sent
	number uint64 // how many batches had been sent when it was sent, itself included
	kept   int    // how many of its items, from the first on, are still in it; guarded by news.mu
	whole  bool   // all its items have their outcomes in results
	ready  bool   // its outcomes are known: they are those in results, and as many behind them as failed says

	// results is the first outcomes of its items, once it is ready.
	results batch.Reader
	// others is how many outcomes there are behind those in results.
	others int
	// err is the error of each of the others. If it is nil, there is one other outcome: the result
	// of an item that has travelled as a task of its own.
	err error
}

// Items returns how many items travel in the batch, or 0 if it is one item that travels as a task
// of its own. Only Config.Submit calls it, while nobody else knows of the task.
func (b *Batch) Items() int { return b.kept }

// Cut notes that only the first items of the batch, as many as count says, are still in it. Each
// item is taken out at most once, whatever a worker tells. Cut never waits.
func (b *Batch) Cut(count int) { b.of.news.wasCut(b, count) }

// Ended notes that the task of the batch has its outcome. It is called once, and never waits.
func (b *Batch) Ended() {
	b.of.flow.sent.Add(-1)
	b.of.hurry()
	b.of.news.finished(b)
}

// fail makes an error the outcome of each item.
func (b *Batch) fail(err error) { b.ready, b.others, b.err = true, b.n, err }

// reusable reports whether the body of the batch may be filled again.
func (b *Batch) reusable() bool { return cap(b.body) <= 2*batch.MaxSize }

// from returns the items of the batch from number k on, up to but not including number n, as a
// batch of their own.
func (b *Batch) from(k, n int) *Batch {
	return &Batch{of: b.of, first: b.first + k, n: n - k, body: batch.From(b.body, k, n)}
}

// places is the batches of a Range that have not been yielded, each in its place. It exists in the
// process of the Range. The goroutine that ranges fills it and empties it; the timer's goroutine
// sends the part.
type places struct {
	// mu guards every other field. It is held while a batch is sent, so that batches are sent in
	// their order. Therefore no goroutine that brings an outcome may take it. Nobody waits while
	// holding it.
	mu lockorder.Mutex[lockorder.Places]
	// items is the batches in the order of their items; it is empty if the results come unordered.
	items ring.Ring[*Batch]
	// open is the batches if the results come unordered; otherwise it is nil.
	open map[*Batch]bool
	// part is the batch that is being filled, or nil. It is neither in items nor in open.
	part *Batch
}

// add puts a batch behind all batches. The caller holds mu if there is a timer.
func (p *places) add(b *Batch) {
	if p.open != nil {
		p.open[b] = true
	} else {
		p.items.Push(b)
	}
}

// insert puts a batch into its place: behind the batch after or, if after is nil, before all
// batches. The caller holds mu.
func (p *places) insert(after, b *Batch) {
	switch {
	case p.open != nil:
		p.open[b] = true
	case after == nil:
		p.items.PushFront(b)
	default:
		p.items.InsertAfter(after, b)
	}
}

// cut is items that were taken out of a batch while it was on its way. It never changes.
type cut struct {
	batch *Batch // the batch
	from  int    // the number of the first item that was taken out
	to    int    // the number behind the last item that was taken out
}

// news is what other goroutines tell the goroutine that ranges. They never wait for it. It exists
// in the process of the Range.
type news struct {
	// wake has room for one: it tells the goroutine that ranges that there is something new in done
	// or cuts.
	wake chan struct{}

	// mu guards done, cuts, and the kept of each Batch. No other lock is taken under it.
	mu   lockorder.Mutex[lockorder.Leaf]
	done ring.Ring[*Batch] // the batches that have their outcomes, if the results come unordered
	cuts []cut             // the items that were taken out of batches and were not sent again
}

// finished notes that a batch has its outcomes, if they come unordered.
func (n *news) finished(b *Batch) {
	if !b.of.cfg.Unordered {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.done.Push(b)
	goroutine.Wake(n.wake)
}

// nextFinished takes a batch that has its outcomes, or nil.
func (n *news) nextFinished() *Batch {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, _ := n.done.Pop()
	return b
}

// wasCut is Batch.Cut.
func (n *news) wasCut(b *Batch, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if count < 1 || count >= b.kept {
		return
	}
	n.cuts = append(n.cuts, cut{b, count, b.kept})
	b.kept = count
	goroutine.Wake(n.wake)
}

// rest returns how many items are still in a batch that is done, and the number behind its last
// item that has not been sent again. It takes the cuts of this batch: their items are sent again
// together with the items that are still in the batch and have no outcome.
func (n *news) rest(b *Batch) (kept, end int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	kept, end = b.kept, b.kept
	n.cuts = slices.DeleteFunc(n.cuts, func(c cut) bool {
		if c.batch == b {
			end = max(end, c.to)
		}
		return c.batch == b
	})
	return kept, end
}

// flow is how many batches of a Range are on their way, and when the part follows them. It exists
// in the process of the Range. Any goroutine may touch it.
type flow struct {
	late    *time.Timer   // sends the part when it has waited for long; nil if items travel one by one; does not change
	partial atomic.Bool   // there is a part
	sent    atomic.Int32  // how many batches were sent and have no outcome
	numbers atomic.Uint64 // how many batches were sent
	// line is the last batch that stood in line for room in the queue, or nil.
	line atomic.Pointer[Batch]
}

// hungry reports whether workers may have nothing to do. While none is hungry, a part waits until
// the batch is full.
func (r *Range) hungry() bool { return batch.Hungry(int(r.flow.sent.Load()), r.cfg.Workers) }

// hurry sees to it that a part does not wait for long if workers may have nothing to do. It never
// waits.
func (r *Range) hurry() {
	if r.flow.partial.Load() && r.hungry() {
		r.flow.late.Reset(batch.PartTime)
	}
}

// partGone notes that there is no part any more.
func (f *flow) partGone() {
	if f.partial.Swap(false) {
		f.late.Stop()
	}
}

// inLine returns a channel that is closed when the queue has taken all batches that stand in line
// for room in it, or nil if none does.
func (f *flow) inLine() <-chan struct{} {
	b := f.line.Load()
	if b == nil {
		return nil
	}
	if goroutine.Closed(b.task.Accepted()) {
		f.line.CompareAndSwap(b, nil)
		return nil
	}
	return b.task.Accepted()
}
