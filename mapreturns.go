package multiprolab

import (
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// This file is what comes back to a Map from the batches that it has sent: outcomes, which are
// yielded, and items without an outcome, which are sent again. All of it runs on the goroutine that
// ranges.

// awaitBatch waits for the batch whose outcomes are to be yielded next. It returns nil if ctx ends
// before or, with more set, when a further item may be taken in.
func (m *mapping) awaitBatch(more bool) *mapBatch {
	defer stall(m.ctx)()
	var heard *submission // the task whose reports of progress are kept, because they will be handed on
	hear := func(s *submission) {
		if heard == s {
			return
		}
		if heard != nil {
			heard.listen(-1)
		}
		if heard = s; s != nil {
			s.listen(1)
		}
	}
	defer hear(nil)
	for m.ctx.Err() == nil {
		m.resend()
		b, done, news := m.nextReady()
		if news != nil {
			hear(m.front().task)
		}
		if b != nil {
			m.collect(b)
			return b
		}
		var room <-chan struct{}
		if more && m.count < m.pace.Window() {
			if room = m.flow.inLine(); room == nil {
				return nil
			}
		}
		select {
		case <-room:
		case <-done:
		case <-news:
			m.front().task.report(m.ctx)
		case <-m.news.wake:
		case <-m.ctx.Done():
		}
	}
	return nil
}

// nextReady takes out the batch that is to be yielded next, if it has its outcomes. Otherwise it
// returns channels on which to wait: done is closed when the batch has its outcomes, and news gets
// something when the task reports progress.
func (m *mapping) nextReady() (b *mapBatch, done, news <-chan struct{}) {
	m.places.mu.Lock()
	defer m.places.mu.Unlock()
	if m.places.unordered() {
		if b = m.news.nextFinished(); b != nil {
			delete(m.places.open, b)
		}
		return b, nil, nil
	}
	b = *m.places.items.First()
	if !b.ready && b.outcomes == nil && !goroutine.Closed(b.task.done) {
		return nil, b.task.done, b.task.news
	}
	m.places.items.Pop()
	return b, nil, nil
}

// front returns the first batch, whose items are to be yielded next.
func (m *mapping) front() *mapBatch {
	m.places.mu.Lock()
	defer m.places.mu.Unlock()
	return *m.places.items.First()
}

// collect finds the outcomes of the items of a batch that is done, and sends the items without an
// outcome again.
func (m *mapping) collect(b *mapBatch) {
	if b.ready || b.outcomes != nil {
		return
	}
	b.ready = true
	b.task.report(m.ctx)
	r := b.task.outcome
	if b.task.batch == 0 {
		b.outcomes = []reply{*r}
		return
	}
	kept, end := m.news.rest(b)
	s := r.shares(kept)
	b.results = batch.Read(s.Body)
	b.vouch, b.whole = r.vouch, r.err == nil && s.Count() == b.n
	if r.err == nil {
		m.pace.Measure(r.took, s.Count(), len(s.Body))
	}
	m.places.mu.Lock()
	defer m.places.mu.Unlock()
	if from := kept - s.Again; from < end {
		rest := b.from(from, end)
		m.places.insert(nil, rest)
		m.sendBatch(rest)
	}
	last := b
	if s.Later > 0 {
		last = m.postpone(b)
	}
	for range s.Blamed {
		last.outcomes = append(last.outcomes, reply{err: r.blame()})
	}
}

// resend sends the items that were taken out of batches again, in parts: they were taken out
// because a worker had nothing to do, and by now there may be several such workers.
func (m *mapping) resend() {
	cuts := m.news.takeCuts()
	if len(cuts) == 0 {
		return
	}
	m.places.mu.Lock()
	defer m.places.mu.Unlock()
	for _, c := range cuts {
		last, from := c.batch, c.from
		for parts := m.pace.Parts(c.to - from); from < c.to; parts-- {
			to := from + (c.to-from+parts-1)/parts
			rest := c.batch.from(from, to)
			m.places.insert(last, rest)
			m.sendBatch(rest)
			last, from = rest, to
		}
	}
}

// postpone sends those items of a batch again whose handlers have asked for it with RetryAfter,
// each as a task of its own that begins after its time. The outcomes behind such an item become
// those of a new batch. It returns the last of these batches. The caller holds places.mu.
func (m *mapping) postpone(b *mapBatch) (last *mapBatch) {
	var order []*mapBatch // the batches that follow b, in their order
	last = b
	rest := b.results
	for i := 0; !rest.Done(); i++ {
		here := rest
		status, p, ok := rest.Next()
		if !ok {
			break // this cannot be, because the outcomes were checked
		}
		if status != batch.Later {
			continue
		}
		remote, ok := unmarshalError(p.Data).(*RemoteError)
		if !ok || remote.after <= 0 {
			continue // the worker lies, and so the item counts as failed
		}
		last.results = last.results.Before(here)
		last = &mapBatch{first: b.first + i + 1, ready: true, results: rest, vouch: b.vouch}
		order = append(order, m.delayed(b, i, remote.after), last)
	}
	b.whole = false
	for _, next := range slices.Backward(order) {
		switch {
		case !m.places.unordered():
			m.places.insert(nil, next)
		case next.ready:
			m.places.insert(nil, next)
			m.news.finished(next)
		}
	}
	return last
}

// delayed sends item i of a batch again, as a task of its own that begins after a time. The caller
// holds places.mu.
func (m *mapping) delayed(b *mapBatch, i int, after time.Duration) *mapBatch {
	items := batch.Read(batch.From(b.body, i, i+1)) // From copies the item, which may wait for long
	_, p, _ := items.Next()
	item := &mapBatch{first: b.first + i, n: 1}
	if m.places.unordered() {
		m.places.insert(nil, item)
	}
	m.sendLater(item, p, after)
	return item
}
