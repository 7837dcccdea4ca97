package multiprolab

import (
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/ring"
)

// mapBatch is some items of a Map that follow each other, on their way together: one task. It
// exists in the process that ranges over the Map. While it is a part it belongs to who holds
// mapPlaces.mu, then to the goroutine that ranges.
type mapBatch struct {
	first int         // index of the first item in the sequence
	n     int         // how many items it was sent with
	body  []byte      // its items; nil if it is one item that travels as a task of its own
	task  *Submission // nil if it could not be sent
	kept  int         // how many of its items are still in it, the first ones; guarded by mapNews.mu
	whole bool        // whether all its items have their outcomes in results
	ready bool        // whether its outcomes are there: settle has seen to it
	taken int         // how many outcomes next has returned

	// Once it is done, or could not be sent, the outcomes of its items are those in results, then
	// those in outcomes.
	results  batch.Reader
	vouch    func(typ string, err error) error // checks the errors in results
	outcomes []reply
}

// next takes the next outcome. b may be nil.
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
	status, p, _ := b.results.Next() // they were checked
	if status == batch.OK {
		return p, nil, true
	}
	return p, b.vouch(typ, unmarshalError(p.Data)), true
}

// reusable reports whether the body of the batch may be filled again.
func (b *mapBatch) reusable() bool { return cap(b.body) <= 2*batch.MaxSize }

// from returns the items of the batch from number k on, up to number n, as a batch of their own.
func (b *mapBatch) from(k, n int) *mapBatch {
	return &mapBatch{first: b.first + k, n: n - k, body: batch.From(b.body, k, n)}
}

// mapPlaces is the batches of a Map that have not been yielded, each in its place. It exists in the
// process that ranges over the Map. The goroutine that ranges fills it and empties it; the timer's
// goroutine sends the part.
type mapPlaces struct {
	// mu guards all below. It is held while a batch is sent, so that batches are sent in their
	// order, and so it is never taken where an outcome comes in. Nothing waits under it.
	mu    lockorder.Mutex[lockorder.Places]
	items ring.Ring[*mapBatch] // in the order of their items, unless the results come unordered
	open  map[*mapBatch]bool   // the same batches, if the results come unordered; else nil
	part  *mapBatch            // the batch that is being filled, which is not among the others; or nil
}

// unordered reports whether the results come as they are there.
func (p *mapPlaces) unordered() bool { return p.open != nil }

// insert puts a batch into its place: behind the batch after or, if that is nil, before all. The
// caller holds mu.
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

// mapCut is items of a batch that were taken out of it on its way, from number from on, up to
// number to.
type mapCut struct {
	batch    *mapBatch
	from, to int
}

// mapNews is what other goroutines tell the one that ranges over a Map, in its process. They never
// wait for it.
type mapNews struct {
	wake chan struct{} // has room for one: something below is new

	mu   lockorder.Mutex[lockorder.Leaf] // guards all below, and the kept of each mapBatch; nothing else is locked under it
	done ring.Ring[*mapBatch]            // batches that have their outcomes, if the results come unordered
	cuts []mapCut                        // what was taken out of batches and has not been sent again
}

// finished notes a batch that has its outcome.
func (n *mapNews) finished(b *mapBatch) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.done.Push(b)
	wakeUp(n.wake)
}

// nextFinished takes a batch that has its outcome, or nil.
func (n *mapNews) nextFinished() *mapBatch {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, _ := n.done.Pop()
	return b
}

// wasCut notes that only the first items of a batch, count of them, are still in it. Each item is
// taken out at most once, whatever main is told.
func (n *mapNews) wasCut(b *mapBatch, count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if count < 1 || count >= b.kept {
		return
	}
	n.cuts = append(n.cuts, mapCut{b, count, b.kept})
	b.kept = count
	wakeUp(n.wake)
}

// takeCuts takes all that was taken out of batches.
func (n *mapNews) takeCuts() []mapCut {
	n.mu.Lock()
	defer n.mu.Unlock()
	cuts := n.cuts
	n.cuts = nil
	return cuts
}

// rest returns how many items are still in a batch that is done, and the number up to which its
// items belong together: what was taken out of it last, and takeCuts has not taken, is sent again
// together with what has no outcome.
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

// mapFlow is how many batches of a Map are on their way, and when the part follows them, in the
// process that ranges over the Map. Any goroutine may touch it: workers and late never change.
type mapFlow struct {
	workers int                        // how many workers there are for batches; 0: items travel one by one
	late    *time.Timer                // sends the part, which has waited for long; nil if there are no batches
	partial atomic.Bool                // whether there is a part
	sent    atomic.Int32               // how many batches are sent and have no outcome
	line    atomic.Pointer[Submission] // the last batch that stands in line for room in the queue, or nil
}

// hungry reports whether workers may have nothing to do. While they have, a part waits until the
// batch is full.
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

// inLine returns the channel that is closed when the queue has taken all that stands in line for
// room in it, or nil if nothing does.
func (f *mapFlow) inLine() <-chan struct{} {
	s := f.line.Load()
	if s == nil {
		return nil
	}
	if closed(s.accepted) {
		f.line.CompareAndSwap(s, nil)
		return nil
	}
	return s.accepted
}
