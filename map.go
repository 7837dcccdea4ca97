package multiprolab

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// MapConfig configures Map. Nil, and the zero value, are good defaults.
type MapConfig struct {
	// Window is the number of items that are with the workers or wait to be yielded: the read-ahead. Item Window+1 is taken from the
	// sequence only after a result has been yielded. Defaults to 64, and to more while items take less time than a message: as many as keep the workers busy for some
	// milliseconds, at most 16,384.
	Window int
	// Unordered yields results as they come instead of in the order of the items.
	Unordered bool
	// FailFast ends the sequence with the first error, and cancels what is still with the workers. Without it each item that fails
	// yields its error, and the sequence goes on.
	FailFast bool
	// Task are the options of each task.
	Task TaskOptions
	// OnProgress, if not nil, is called on the goroutine that ranges over the results, before each of them: for a progress bar.
	OnProgress func(MapProgress)
}

// MapError is the error of one item of a Map.
type MapError struct {
	Index int // of the item in the sequence, from 0
	Err   error
}

func (e *MapError) Error() string {
	return fmt.Sprintf("multiprolab: item %d: %s", e.Index, brief(e.Err))
}

// Unwrap returns the error of the item.
func (e *MapError) Unwrap() error { return e.Err }

// MapProgress counts the items of a Map.
type MapProgress struct {
	Taken   int // from the sequence
	Yielded int // the one that comes next included
	Failed  int // of those
}

// Map runs a task of the type for each item and yields the results. The items are pulled one by one as there is room, on the goroutine
// that ranges over the results, so that an endless sequence takes no more memory than the window. Leaving the loop early, and the end of ctx, cancel
// the tasks that are not done; Map waits for none of them.
//
// Items that take less time than a message travel many at a time, in main and where the options of the task are the default ones; nothing but the speed tells. Each item has its own
// outcome then, too: the death of a worker costs the item that was running, what had been finished stands, and the others run elsewhere.
//
// After the end of ctx the error of ctx is yielded once, as the last.
func Map[R, T any](ctx context.Context, p Process, typ string, items iter.Seq[T], cfg *MapConfig) iter.Seq2[R, error] {
	c := MapConfig{}
	if cfg != nil {
		c = *cfg
	}
	return func(yield func(R, error) bool) {
		var zero R
		if c.Window < 0 {
			yield(zero, &ConfigError{"MapConfig.Window", c.Window, "it cannot be negative: leave it zero for the default, or give a value above zero"})
			return
		}
		m := newMapping(ctx, p.self(), typ, &c)
		defer m.cancel()
		next, stop := iter.Pull(items)
		defer stop()
		for more := true; ; {
			for more && m.hasRoom() && ctx.Err() == nil {
				item, ok := next()
				if more = ok; ok {
					m.add(item)
				}
			}
			m.flush()
			switch {
			case ctx.Err() != nil:
				yield(zero, fmt.Errorf("multiprolab: map %q: %w", typ, context.Cause(ctx)))
				return
			case m.count == 0:
				return
			}
			batch := m.take()
			if batch == nil {
				continue // ctx has ended
			}
			for i := 0; ; i++ {
				outcome, ok := batch.next(typ)
				if !ok {
					break
				}
				var r R
				err := m.node.take(typ, &outcome, &r, m.node.codec.Decode)
				if err != nil {
					err = &MapError{Index: batch.first + i, Err: err}
				}
				m.count--
				if c.OnProgress != nil {
					m.progress.Yielded++
					if err != nil {
						m.progress.Failed++
					}
					c.OnProgress(m.progress)
				}
				if !yield(r, err) || err != nil && c.FailFast {
					return
				}
			}
		}
	}
}

const (
	// batchTime is how long a worker should be busy with one batch.
	batchTime = 4 * time.Millisecond
	// maxBatch is the greatest number of items in a batch, maxBatchSize the greatest length of its body before the last item, in bytes.
	maxBatch     = 4096
	maxBatchSize = 64 << 10
	// defaultMapWindow is the default of MapConfig.Window where items are not short, maxMapWindow its most where they are.
	defaultMapWindow = 64
	maxMapWindow     = 16384
	// partTime is how long items may wait for more of their batch while the sequence is slow.
	partTime = time.Millisecond
)

// mapping is the state of one range over a Map, in the process of its caller. It is used by the goroutine that ranges, but for what mu guards.
type mapping struct {
	ctx      context.Context
	node     *node
	typ      string
	cfg      *MapConfig
	workers  int           // that there are; 0: no batches
	count    int           // taken from the sequence and not yielded
	size     int           // of the next batches, in items
	took     time.Duration // a running mean of how long an item takes on a worker; 0: none has been measured
	progress MapProgress
	items    queue[*mapBatch]   // in their order, unless the results come unordered
	open     map[*mapBatch]bool // the same, if they do
	wake     chan struct{}      // an outcome is there, or a batch was split

	mu   sync.Mutex  // held while a batch is sent, and so never where an outcome comes in; guards items, open and the two below
	part *mapBatch   // that is being filled
	late *time.Timer // sends it if the sequence is slow

	newsMu sync.Mutex
	done   queue[*mapBatch] // those that have their outcome, if the results come unordered
	cuts   []*mapBatch      // those that were split, and whose rest has not been sent again
}

// mapBatch is some items of a Map that follow each other, on their way together: one task.
type mapBatch struct {
	first int // index of the first item
	n     int // items
	body  []byte
	task  *Submission // nil if it could not be sent
	cut   int         // guarded by mapping.newsMu: only so many items are still in it; 0: all

	// Once it is done, or could not be sent, the outcomes of its items: those in results, then those in outcomes.
	results  []byte
	vouch    func(typ string, err error) error // of the errors in results
	outcomes []reply
}

// next takes the next outcome.
func (b *mapBatch) next(typ string) (outcome reply, ok bool) {
	if len(b.results) == 0 {
		if len(b.outcomes) == 0 {
			return reply{}, false
		}
		outcome, b.outcomes = b.outcomes[0], b.outcomes[1:]
		return outcome, true
	}
	status, p, rest, _ := cutItem(b.results) // they were checked
	b.results = rest
	if status == itemFailed {
		return reply{err: b.vouch(typ, unmarshalError(p.Data))}, true
	}
	return reply{payload: p}, true
}

func newMapping(ctx context.Context, n *node, typ string, c *MapConfig) *mapping {
	m := &mapping{ctx: ctx, node: n, typ: typ, cfg: c, size: 1, wake: make(chan struct{}, 1)}
	m.workers = n.up.batches(&c.Task)
	if c.Unordered {
		m.open = map[*mapBatch]bool{}
	}
	return m
}

// hasRoom reports whether another item may be taken from the sequence.
func (m *mapping) hasRoom() bool {
	window := m.cfg.Window
	if window == 0 {
		window = defaultMapWindow
		if m.size > 1 {
			window = max(window, min(maxMapWindow, m.size*(3*m.workers+1)))
		}
	}
	return m.count < window
}

// add puts an item into the batch that is being filled, and sends that once it is full.
func (m *mapping) add(item any) {
	index := m.progress.Taken
	m.progress.Taken++
	m.count++
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.part
	if b == nil {
		b = &mapBatch{first: index}
		m.part = b
		if m.size > 1 {
			b.body = make([]byte, 0, 1<<10)
		}
	}
	start := len(b.body)
	b.body = beginItem(b.body)
	body, p, err := m.node.codec.AppendEncode(b.body, item)
	if err != nil {
		err = &EncodeError{Type: m.typ, GoType: fmt.Sprintf("%T", item), Err: err}
	} else if len(p.Data) > m.node.maxBody {
		err = &SizeError{Type: m.typ, Size: int64(len(p.Data)), Limit: int64(m.node.maxBody)}
	}
	if err != nil { // it is a batch of its own, which has its outcome
		b.body = b.body[:start]
		m.sendPart()
		m.queue(&mapBatch{first: index, n: 1, outcomes: []reply{{err: err}}})
		return
	}
	b.body = body
	endItem(b.body, start, itemOK, p)
	b.n++
	switch {
	case b.n >= m.size || len(b.body) >= maxBatchSize:
		m.sendPart()
	case b.n == 1 && m.late == nil:
		m.late = time.AfterFunc(partTime, m.flush)
	case b.n == 1:
		m.late.Reset(partTime)
	}
}

// flush sends the batch that is being filled.
func (m *mapping) flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sendPart()
}

// sendPart is flush. The caller holds mu.
func (m *mapping) sendPart() {
	b := m.part
	m.part = nil
	if m.late != nil {
		m.late.Stop()
	}
	if b != nil && b.n > 0 {
		m.queue(b)
		m.send(b)
	}
}

// queue puts a batch in its place. The caller holds mu.
func (m *mapping) queue(b *mapBatch) {
	if !m.cfg.Unordered {
		m.items.push(b)
		return
	}
	m.open[b] = true
	if b.outcomes != nil {
		m.finished(b)
	}
}

// finished notes a batch that has its outcome, if the results come unordered. It never waits.
func (m *mapping) finished(b *mapBatch) {
	m.newsMu.Lock()
	defer m.newsMu.Unlock()
	m.done.push(b)
	wakeUp(m.wake)
}

// send submits a batch. The caller holds mu.
func (m *mapping) send(b *mapBatch) {
	p := codec.Payload{Encoding: codec.Bytes, Data: b.body}
	prepare := func(s *Submission) {
		s.batch = b.n
		s.split = func(count int) { m.wasCut(b, count) }
	}
	if m.workers == 0 {
		_, p, _, _ = cutItem(b.body)
		prepare = func(*Submission) {}
	}
	var err error
	if b.task, err = m.node.submitPayload(m.ctx, m.typ, p, &m.cfg.Task, prepare, true, true); err != nil {
		for range b.n {
			b.outcomes = append(b.outcomes, reply{err: err})
		}
	}
	switch {
	case !m.cfg.Unordered:
	case err != nil:
		m.finished(b)
	default:
		b.task.onDone(func() { m.finished(b) })
	}
}

// wasCut notes that only the first items of a batch are still in it. It never waits.
func (m *mapping) wasCut(b *mapBatch, count int) {
	m.newsMu.Lock()
	defer m.newsMu.Unlock()
	b.cut = count
	m.cuts = append(m.cuts, b)
	wakeUp(m.wake)
}

// from returns the items of a batch from number k on, up to number n, as a batch of their own.
func (b *mapBatch) from(k, n int) *mapBatch {
	rest := b.body
	for range k {
		_, _, rest, _ = cutItem(rest)
	}
	end := rest
	for range n - k {
		_, _, end, _ = cutItem(end)
	}
	return &mapBatch{first: b.first + k, n: n - k, body: rest[:len(rest)-len(end)]}
}

// resend sends what was taken out of batches.
func (m *mapping) resend() {
	m.newsMu.Lock()
	cuts := m.cuts
	m.cuts = nil
	var rests []*mapBatch
	for _, b := range cuts {
		rests = append(rests, b.from(b.cut, b.n))
	}
	m.newsMu.Unlock()
	if len(cuts) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, rest := range rests {
		if m.cfg.Unordered {
			m.queue(rest)
		} else {
			m.items.insertAfter(cuts[i], rest)
		}
		m.send(rest)
	}
}

// take waits for the batch whose outcomes are to be yielded next, and returns nil when ctx ends before.
func (m *mapping) take() *mapBatch {
	defer stall(m.ctx)()
	for {
		m.resend()
		b, done, news := m.next()
		if b != nil {
			m.settle(b)
			return b
		}
		select {
		case <-done:
		case <-news:
			m.front().task.report(m.ctx)
		case <-m.wake:
		case <-m.ctx.Done():
			return nil
		}
	}
}

// next takes the batch that is to be yielded next out of its place, if it has its outcome. Else it returns what says that it may have.
func (m *mapping) next() (b *mapBatch, done, news <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.Unordered {
		m.newsMu.Lock()
		defer m.newsMu.Unlock()
		if b, ok := m.done.pop(); ok {
			delete(m.open, b)
			return b, nil, nil
		}
		return nil, nil, nil
	}
	b = *m.items.first()
	if b.outcomes == nil && !closed(b.task.done) {
		return nil, b.task.done, b.task.news
	}
	m.items.pop()
	return b, nil, nil
}

func (m *mapping) front() *mapBatch {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.items.first()
}

// settle finds the outcomes of the items of a batch that is done, and sends the items again that have none.
func (m *mapping) settle(b *mapBatch) {
	if b.outcomes != nil {
		return
	}
	b.task.report(m.ctx)
	r := b.task.outcome
	if b.task.batch == 0 {
		b.outcomes = []reply{*r}
		return
	}
	m.newsMu.Lock()
	n := b.n
	if i := slices.Index(m.cuts, b); i >= 0 { // it is all sent again below
		m.cuts = slices.Delete(m.cuts, i, i+1)
	} else if b.cut > 0 {
		n = b.cut // the rest is on its way
	}
	m.newsMu.Unlock()
	k := 0
	b.results, k = outcomes(r.payload.Data, n)
	b.vouch = r.vouch
	switch {
	case r.err == nil:
		m.measure(time.Duration(r.payload.Defs), k)
	case r.died:
		if k < n {
			b.outcomes = append(b.outcomes, reply{err: r.err})
			k++
		}
	default:
		for range n - k {
			b.outcomes = append(b.outcomes, reply{err: r.err})
		}
		k = n
	}
	if k < n {
		rest := b.from(k, n)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.cfg.Unordered {
			m.queue(rest)
		} else {
			m.items.pushFront(rest)
		}
		m.send(rest)
	}
}

// measure takes in how long a worker was busy with some items, and decides how large the next batches are.
func (m *mapping) measure(took time.Duration, items int) {
	if items == 0 || took <= 0 {
		return
	}
	each := max(1, took/time.Duration(items))
	if m.took == 0 {
		m.took = each
	} else {
		m.took += (each - m.took) / 4
	}
	most := maxBatch
	if w := m.cfg.Window; w > 0 { // enough batches for all workers fit into it
		most = max(1, w/(2*m.workers))
	}
	m.size = min(max(1, int(batchTime/max(1, m.took))), most, 4*m.size)
}

// cancel cancels what has not been yielded.
func (m *mapping) cancel() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.part = nil
	if m.late != nil {
		m.late.Stop()
	}
	for b := range m.open {
		m.items.push(b)
	}
	for b := range m.items.all() {
		if b.task != nil {
			b.task.Cancel()
		}
	}
}
