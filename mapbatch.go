package multiprolab

import (
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/ring"
)

// This file is the batches of a Map, and the parts of a Map's state that others than the goroutine
// that ranges may touch. All of it exists in the process that ranges over the Map, main or a
// worker.

// mapBatch is some items of a Map that follow each other in the sequence and travel together, as
// one task. While it is the part of mapPlaces, mapPlaces.mu guards it; afterwards the goroutine
// that ranges owns it, except for kept.
type mapBatch struct {
	first int         // the index of its first item in the sequence
	n     int         // how many items it has, or had when it was sent
	body  []byte      // its items; nil if it is one item that travels as a task of its own
	task  *submission // the task; nil if it has not been sent, or could not be sent
	kept  int         // how many of its items, from the first on, are still in it; guarded by mapNews.mu
	whole bool        // all its items have their outcomes in results
	ready bool        // its outcomes are in results and outcomes, because collect was called
	taken int         // how many outcomes next has returned

	// results is the first outcomes of its items, once it is ready; the others are in outcomes.
	results batch.Reader
	// vouch checks the errors in results; it may be called if results has any.
	vouch func(typ string, err error) error
	// outcomes is the outcomes of the items behind those in results.
	outcomes []reply
}

// next returns the next outcome of the batch, or false if it has none left. b may be nil.
func (b *mapBatch) next(typ string) (p codec.Payload, err error, ok bool) {
	if b == nil {
		return p, nil, false
	}
	b.taken++
	if b.results.Done() {
		if len(b.outcomes) == 0 {
			return p, nil, false
		}
		r := b.outcomes[0]
		b.outcomes = b.outcomes[1:]
		return r.payload, r.err, true
	}
	status, p, _ := b.results.Next() // there is one, because results was checked
	if status == batch.OK {
		return p, nil, true
	}
	return p, b.vouch(typ, unmarshalError(p.Data)), true
}

// reusable reports whether the body of the batch may be filled again.
func (b *mapBatch) reusable() bool { return cap(b.body) <= 2*batch.MaxSize }

// from returns the items of the batch from number k on, up to but not including number n, as a
// batch of their own.
func (b *mapBatch) from(k, n int) *mapBatch {
	return &mapBatch{first: b.first + k, n: n - k, body: batch.From(b.body, k, n)}
}

// mapPlaces is the batches of a Map that have not been yielded, each in its place. The goroutine
// that ranges fills it and empties it; the timer's goroutine sends the part.
type mapPlaces struct {
	// mu guards every other field. It is held while a batch is sent, so that batches are sent in
	// their order. Therefore no goroutine that brings an outcome may take it. Nobody waits while
	// holding it.
	mu lockorder.Mutex[lockorder.Places]
	// items is the batches in the order of their items; it is empty if the results come unordered.
	items ring.Ring[*mapBatch]
	// open is the batches if the results come unordered; otherwise it is nil.
	open map[*mapBatch]bool
	// part is the batch that is being filled, or nil. It is neither in items nor in open.
	part *mapBatch
}

// unordered reports whether the results are yielded as they come, and not in the order of the
// items.
func (p *mapPlaces) unordered() bool { return p.open != nil }

// insert puts a batch into its place: behind the batch after or, if after is nil, before all
// batches. The caller holds mu.
func (p *mapPlaces) insert(after, b *mapBatch) {
	switch {
	case p.unordered():
		p.open[b] = true
	case after == nil:
		p.items.PushFront(b)
	default:
		p.items.InsertAfter(after, b)
	}
}

// mapCut is items that were taken out of a batch while it was on its way. It never changes.
type mapCut struct {
	batch *mapBatch // the batch
	from  int       // the number of the first item that was taken out
	to    int       // the number behind the last item that was taken out
}

// mapNews is what other goroutines tell the goroutine that ranges over a Map. They never wait for
// it.
type mapNews struct {
	// wake has room for one: it tells the goroutine that ranges that there is something new in done
	// or cuts.
	wake chan struct{}

	// mu guards done, cuts, and the kept of each mapBatch. No other lock is taken under it.
	mu   lockorder.Mutex[lockorder.Leaf]
	done ring.Ring[*mapBatch] // the batches that have their outcomes, if the results come unordered
	cuts []mapCut             // the items that were taken out of batches and were not sent again
}

// finished notes that a batch has its outcomes.
func (n *mapNews) finished(b *mapBatch) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.done.Push(b)
	goroutine.Wake(n.wake)
}

// nextFinished takes a batch that has its outcomes, or nil.
func (n *mapNews) nextFinished() *mapBatch {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, _ := n.done.Pop()
	return b
}

// wasCut notes that only the first items of a batch, as many as count says, are still in it. Each
// item is taken out at most once, whatever a worker tells.
func (n *mapNews) wasCut(b *mapBatch, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if count < 1 || count >= b.kept {
		return
	}
	n.cuts = append(n.cuts, mapCut{b, count, b.kept})
	b.kept = count
	goroutine.Wake(n.wake)
}

// takeCuts takes all cuts.
func (n *mapNews) takeCuts() []mapCut {
	n.mu.Lock()
	defer n.mu.Unlock()
	cuts := n.cuts
	n.cuts = nil
	return cuts
}

// rest returns how many items are still in a batch that is done, and the number behind its last
// item that has not been sent again. It takes the cuts of this batch: their items are sent again
// together with the items that are still in the batch and have no outcome.
func (n *mapNews) rest(b *mapBatch) (kept, end int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	kept, end = b.kept, b.kept
	others := n.cuts[:0]
	for _, c := range n.cuts {
		if c.batch == b {
			end = max(end, c.to)
		} else {
			others = append(others, c)
		}
	}
	clear(n.cuts[len(others):])
	n.cuts = others
	return kept, end
}

// mapFlow is how many batches of a Map are on their way, and when the part follows them. Any
// goroutine may touch it.
type mapFlow struct {
	workers int          // how many workers there are for batches; 0 if items travel one by one; does not change
	late    *time.Timer  // sends the part when it has waited for long; nil if items travel one by one; does not change
	partial atomic.Bool  // there is a part
	sent    atomic.Int32 // how many batches were sent and have no outcome
	// line is the last batch that stood in line for room in the queue, or nil.
	line atomic.Pointer[submission]
}

// hungry reports whether workers may have nothing to do. While none is hungry, a part waits until
// the batch is full.
func (f *mapFlow) hungry() bool { return batch.Hungry(int(f.sent.Load()), f.workers) }

// hurry sees to it that a part does not wait for long if workers may have nothing to do. It never
// waits.
func (f *mapFlow) hurry() {
	if f.partial.Load() && f.hungry() {
		f.late.Reset(batch.PartTime)
	}
}

// partGone notes that there is no part any more.
func (f *mapFlow) partGone() {
	if f.partial.Swap(false) {
		f.late.Stop()
	}
}

// inLine returns a channel that is closed when the queue has taken all batches that stand in line
// for room in it, or nil if none does.
func (f *mapFlow) inLine() <-chan struct{} {
	s := f.line.Load()
	if s == nil {
		return nil
	}
	if goroutine.Closed(s.accepted) {
		f.line.CompareAndSwap(s, nil)
		return nil
	}
	return s.accepted
}
