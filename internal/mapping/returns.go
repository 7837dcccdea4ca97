package mapping

import (
	"context"
	"slices"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// This file is what comes back to a Range from the batches that it has sent: outcomes, which are
// yielded, and items without an outcome, which are sent again. All of it runs on the goroutine that
// ranges.

// Next returns the outcome of an item, or false if Await has to be called first.
func (r *Range) Next() (p codec.Payload, err error, ok bool) {
	b := r.current
	switch {
	case b == nil || b.results.Done() && b.others == 0:
		return p, nil, false
	case b.results.Done():
		b.others--
		if err = b.err; err == nil {
			p = b.task.Outcome().Payload
		}
	default:
		var status batch.Status
		if status, p, _ = b.results.Next(); status != batch.OK { // there is one, because results was checked
			_, err = b.task.Error(p.Data)
		}
	}
	b.first++
	r.yielded++
	return p, err, true
}

// Index returns the index in the sequence of the item whose outcome Next has returned last.
func (r *Range) Index() int { return r.current.first - 1 }

// Await waits for the batch whose outcomes Next returns from then on. It reports false if ctx ends
// before or, with more set, when a further item may be taken in. Without it no further item will
// come.
func (r *Range) Await(ctx context.Context, more bool) bool {
	if b := r.current; b != nil && b.whole && len(r.free) < maxFree && b.reusable() {
		r.free = append(r.free, b.body[:0]) // nobody needs the items any more
	}
	r.current = nil
	if !more || r.hungry() {
		r.flush()
	}
	var heard Task // the task whose reports of progress are kept, because they will be handed on
	var done, news <-chan struct{}
	for ctx.Err() == nil {
		r.resend()
		b, first := r.nextReady()
		if b != nil {
			r.collect(ctx, b)
			r.current = b
			return true
		}
		if first != nil {
			if done = first.Done(); heard == nil {
				heard, news = first, first.Listen(1)
				defer first.Listen(-1)
			}
		}
		var room <-chan struct{}
		if more && r.Left() < r.pace.Window() {
			if room = r.flow.inLine(); room == nil {
				return false
			}
		}
		select {
		case <-room:
		case <-done:
		case <-news:
			heard.Report(ctx)
		case <-r.news.wake:
		case <-ctx.Done():
		}
	}
	return false
}

// nextReady takes out the batch that is to be yielded next, if it has its outcomes. Otherwise it
// returns the task of the batch whose items come next, or nil if they come unordered.
func (r *Range) nextReady() (b *Batch, first Task) {
	r.places.mu.Lock()
	defer r.places.mu.Unlock()
	if r.cfg.Unordered {
		if b = r.news.nextFinished(); b != nil {
			delete(r.places.open, b)
		}
		return b, nil
	}
	b = *r.places.items.First()
	if !b.ready && !goroutine.Closed(b.task.Done()) {
		return nil, b.task
	}
	r.places.items.Pop()
	return b, nil
}

// collect finds the outcomes of the items of a batch that is done, and sends the items without an
// outcome again.
func (r *Range) collect(ctx context.Context, b *Batch) {
	if b.ready {
		return
	}
	b.ready = true
	b.task.Report(ctx)
	o := b.task.Outcome()
	if b.body == nil {
		b.others, b.err = 1, o.Err
		return
	}
	kept, end := r.news.rest(b)
	s := batch.Share(o.Payload.Data, kept, o.Ending)
	b.results = batch.Read(s.Body)
	if o.Ending == batch.Returned {
		b.whole = s.Count() == b.n
		r.pace.Measure(o.Took, s.Count(), len(s.Body))
	}
	r.places.mu.Lock()
	defer r.places.mu.Unlock()
	if from := kept - s.Again; from < end {
		rest := b.from(from, end)
		r.places.insert(nil, rest)
		r.sendBatch(rest)
	}
	last := b
	if s.Later > 0 {
		last = r.postpone(b)
	}
	last.others, last.err = s.Blamed, o.Err
}

// resend sends the items that were taken out of batches again, in parts: they were taken out
// because a worker had nothing to do, and by now there may be several such workers.
func (r *Range) resend() {
	r.news.mu.Lock()
	cuts := r.news.cuts
	r.news.cuts = nil
	r.news.mu.Unlock()
	if len(cuts) == 0 {
		return
	}
	r.places.mu.Lock()
	defer r.places.mu.Unlock()
	for _, c := range cuts {
		last, from := c.batch, c.from
		for parts := r.pace.Parts(c.to - from); from < c.to; parts-- {
			to := from + (c.to-from+parts-1)/parts
			rest := c.batch.from(from, to)
			r.places.insert(last, rest)
			r.sendBatch(rest)
			last, from = rest, to
		}
	}
}

// postpone sends those items of a batch again whose handlers have asked for it, each as a task of
// its own that begins after its time. The outcomes behind such an item become those of a new batch.
// It returns the last of these batches. The caller holds places.mu.
func (r *Range) postpone(b *Batch) (last *Batch) {
	var order []*Batch // the batches that follow b, in their order
	last, b.whole = b, false
	rest := b.results
	for i := 0; ; i++ {
		here := rest
		status, p, ok := rest.Next()
		if !ok {
			break
		}
		if status != batch.Later {
			continue
		}
		after, _ := b.task.Error(p.Data)
		if after <= 0 {
			continue // the worker lies, and so the item counts as failed
		}
		last.results = last.results.Before(here)
		item := &Batch{of: r, first: b.first + i, n: 1}
		last = &Batch{of: r, first: item.first + 1, task: b.task, ready: true, results: rest}
		order = append(order, item, last)
		items := batch.Read(batch.From(b.body, i, i+1)) // From copies the item, which may wait for long
		_, p, _ = items.Next()
		r.send(item, p, after)
		r.news.finished(last)
	}
	for _, next := range slices.Backward(order) {
		r.places.insert(nil, next)
	}
	return last
}
