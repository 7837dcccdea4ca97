package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/ring"
)

// This file is how a Map makes batches of its items, sends them, and takes them back.

const (
	// batchTime is how long a worker should be busy with one batch.
	batchTime = 10 * time.Millisecond
	// maxBatch is the greatest number of items in a batch, maxBatchSize the greatest length of its
	// body before the last item, in bytes.
	maxBatch     = 4096
	maxBatchSize = 64 << 10
	// firstBatch is the greatest number of items in the first batches, if it is known how long an
	// item takes.
	firstBatch = 64
	// defaultMapWindow is the default of MapConfig.Window where items are not short, maxMapWindow
	// its most where they are.
	defaultMapWindow = 64
	maxMapWindow     = 16384
	// partTime is how long items may wait for more of their batch while the sequence is slow and a
	// worker may have nothing to do.
	partTime = time.Millisecond
	// mostTook is the longest time that an item is taken to need: long before it no two travel
	// together, and a worker that claims more is forgotten soon.
	mostTook = time.Second
	// leastPart is how long a worker should be busy with a part of a batch that was split.
	leastPart = time.Millisecond
	// maxFree is how many bodies of batches are kept to be filled again.
	maxFree = 4
)

// mapping is the state of one range over a Map, in the process of its caller. It is used by the
// goroutine that ranges, but for what mu guards. Nothing waits while it holds mu, nor on the
// timer's goroutine: in main a task stands in line for room in the queue, and a worker, where a
// submission may wait for the wire, has no timer and submits without mu.
type mapping struct {
	ctx      context.Context
	node     *node
	typ      string
	cfg      *MapConfig
	inMain   bool          // the caller is main
	workers  int           // that there are; 0: no batches
	count    int           // taken from the sequence and not yielded
	window   int           // the most that count may be
	ended    bool          // the sequence has
	size     int           // of the next batches, in items
	fits     int           // items whose outcomes a worker has room for, as large as the last were; at most maxBatch
	took     time.Duration // a running mean of how long an item takes on a worker; 0: none has been measured
	progress MapProgress
	free     [][]byte             // bodies to be filled again
	items    ring.Ring[*mapBatch] // in their order, unless the results come unordered
	open     map[*mapBatch]bool   // the same, if they do
	wake     chan struct{}        // an outcome is there, or a batch was split

	// held while a batch is sent, and so never where an outcome comes in; guards items, open and
	// the one below
	mu   sync.Mutex
	part *mapBatch // that is being filled

	line atomic.Pointer[Submission] // the last that stands in line for room in the queue, or nil

	// sends part; it runs while the sequence is slow and workers may have nothing to do. Nil if
	// there are no batches
	late    *time.Timer
	partial atomic.Bool  // there is a part
	sent    atomic.Int32 // batches that are sent and have no outcome

	newsMu sync.Mutex
	done   ring.Ring[*mapBatch] // those that have their outcome, if the results come unordered
	cuts   []mapCut             // what was taken out of batches and has not been sent again
}

// mapCut is items of a batch that were taken out of it on its way, from a number on up to another.
// It belongs to a mapping.
type mapCut struct {
	batch    *mapBatch
	from, to int
}

// mapBatch is some items of a Map that follow each other, on their way together: one task.
type mapBatch struct {
	first int // index of the first item
	n     int // items
	body  []byte
	task  *Submission // nil if it could not be sent
	kept  int         // guarded by mapping.newsMu: only its first items, so many, are still in it
	whole bool        // all its items have their outcomes in results
	ready bool        // settle has seen to it
	taken int         // outcomes by next

	// Once it is done, or could not be sent, the outcomes of its items: those in results, then
	// those in outcomes.
	common   uint64 // see itemsOf
	results  []byte
	vouch    func(typ string, err error) error // of the errors in results
	outcomes []reply
}

// next takes the next outcome. b may be nil.
func (b *mapBatch) next(typ string) (p codec.Payload, err error, ok bool) {
	if b == nil {
		return p, nil, false
	}
	b.taken++
	if len(b.results) == 0 {
		if len(b.outcomes) == 0 {
			return p, nil, false
		}
		r := b.outcomes[0]
		b.outcomes = b.outcomes[1:]
		return r.payload, r.err, true
	}
	status, p, rest, _ := cutItem(b.results, b.common) // they were checked
	b.results = rest
	if status == itemOK {
		return p, nil, true
	}
	return p, b.vouch(typ, unmarshalError(p.Data)), true
}

func newMapping(ctx context.Context, n *node, typ string, c *MapConfig, batches bool) *mapping {
	m := &mapping{ctx: ctx, node: n, typ: typ, cfg: c, window: cmp.Or(c.Window, defaultMapWindow), size: 1,
		fits: maxBatch, wake: make(chan struct{}, 1)}
	_, m.inMain = n.up.(*MessageRouter)
	if batches {
		m.workers = n.up.batches(typ, &c.Task)
	}
	if m.workers > 0 {
		m.late = time.AfterFunc(time.Hour, m.flush)
		m.late.Stop()
		if took, ok := n.paces.Load(typ); ok { // it may be another now: what holds others up is split
			m.resize(took.(time.Duration), firstBatch)
		}
	}
	if c.Unordered {
		m.open = map[*mapBatch]bool{}
	}
	return m
}

// addItem takes in the item that v points to: it puts it into the batch that is being filled, and
// sends that once it is full.
func addItem[T any](m *mapping, encode codec.Coder[T], v *T) {
	m.count++
	if m.workers == 0 {
		addTask(m, encode, v)
	} else {
		m.mu.Lock()
		defer m.mu.Unlock()
		body, p, err := encode.AppendEncode(m.beginItem(), v)
		if err == nil && len(p.Data) <= m.node.maxBody {
			m.endItem(body, p)
		} else {
			m.sendPart()
			m.queue(m.refused(*v, p, err))
		}
	}
	m.progress.Taken++
}

// addTask is addItem where there are no batches: the item is a task of its own.
func addTask[T any](m *mapping, encode codec.Coder[T], v *T) {
	_, p, err := encode.AppendEncode(nil, v)
	b := &mapBatch{first: m.progress.Taken, n: 1}
	if err != nil || len(p.Data) > m.node.maxBody {
		b = m.refused(*v, p, err)
	}
	m.mu.Lock()
	m.queue(b)
	m.mu.Unlock()
	if b.outcomes == nil {
		m.send(b, p, &m.cfg.Task)
	}
}

// refused is an item that is not sent, for it could not be encoded or is too large: a batch of its
// own that has its outcome.
func (m *mapping) refused(item any, p codec.Payload, err error) *mapBatch {
	if err != nil {
		err = &EncodeError{Type: m.typ, GoType: fmt.Sprintf("%T", item), Err: err}
	} else {
		err = &SizeError{Type: m.typ, Size: int64(len(p.Data)), Limit: int64(m.node.maxBody)}
	}
	return &mapBatch{first: m.progress.Taken, n: 1, outcomes: []reply{{err: err}}}
}

// beginItem returns the body of the batch that is being filled, with the head of the next item. The
// caller holds mu.
func (m *mapping) beginItem() []byte {
	if m.part == nil {
		m.part = &mapBatch{first: m.progress.Taken}
		if n := len(m.free); n > 0 {
			m.part.body = m.free[n-1]
			m.free = m.free[:n-1]
		}
	}
	return beginItem(m.part.body)
}

// endItem makes what has been encoded behind beginItem an item of the batch or, if the batch would
// be too large with it, a task of its own. The caller holds mu.
func (m *mapping) endItem(body []byte, p codec.Payload) {
	if len(body)+itemDefs > m.node.mostBody() {
		m.sendPart()
		b := &mapBatch{first: m.progress.Taken, n: 1}
		m.queue(b)
		m.send(b, p, &m.cfg.Task) // its memory is not that of the part, which is used again only if it is small
		return
	}
	b := m.part
	b.body = endItem(body, max(batchHead, len(b.body)), itemOK, p)
	b.n++
	if b.n >= m.size || len(b.body) >= maxBatchSize {
		m.sendPart()
	} else if b.n == 1 {
		m.partial.Store(true)
		m.hurry()
	}
}

// full reports whether no further item may be taken in now: the window is, or the queue has no room
// for the last one.
func (m *mapping) full() bool {
	return m.count >= m.window || m.line.Load() != nil && m.inLine() != nil
}

// inLine returns the channel that is closed when the queue has taken all that stands in line for
// room in it, or nil if nothing does.
func (m *mapping) inLine() <-chan struct{} {
	s := m.line.Load()
	if s == nil {
		return nil
	}
	if closed(s.accepted) {
		m.line.CompareAndSwap(s, nil)
		return nil
	}
	return s.accepted
}

// hungry reports whether workers may have nothing to do. While they have, a part waits until the
// batch is full.
func (m *mapping) hungry() bool { return int(m.sent.Load()) < 2*m.workers }

// hurry sees to it that a part does not wait for long if workers may have nothing to do. It never
// waits.
func (m *mapping) hurry() {
	if m.partial.Load() && m.hungry() {
		m.late.Reset(partTime)
	}
}

// yielded counts an outcome that is yielded next.
func (m *mapping) yielded(err error) {
	m.count--
	if m.cfg.OnProgress == nil {
		return
	}
	m.progress.Yielded++
	if err != nil {
		m.progress.Failed++
	}
	m.cfg.OnProgress(m.progress)
}

// reuse keeps the body of a batch that nobody needs any more.
func (m *mapping) reuse(b *mapBatch) {
	if b != nil && b.whole && len(m.free) < maxFree && b.reusable() {
		m.free = append(m.free, b.body[:0])
	}
}

// reusable reports whether the body of the batch may be filled again.
func (b *mapBatch) reusable() bool { return cap(b.body) <= 2*maxBatchSize }

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
	if b != nil && b.n > 0 {
		if m.partial.Swap(false) {
			m.late.Stop()
		}
		m.queue(b)
		m.sendBatch(b)
	}
}

// queue puts a batch in its place. The caller holds mu.
func (m *mapping) queue(b *mapBatch) {
	if !m.cfg.Unordered {
		m.items.Push(b)
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
	m.done.Push(b)
	wakeUp(m.wake)
}

// sendBatch submits a batch. The caller holds mu.
func (m *mapping) sendBatch(b *mapBatch) {
	b.kept = b.n
	// A worker may answer before its wire has written all of the body: what is used again then is
	// only lent to the wire.
	m.send(b, codec.Payload{Encoding: codec.Bytes, Data: b.body, Lent: b.reusable()}, &m.cfg.Task)
}

// send submits a task: a batch or, without a body, one item. In main it never waits.
func (m *mapping) send(b *mapBatch, p codec.Payload, o *TaskOptions) {
	m.sent.Add(1)
	s, err := m.node.submitPayload(m.ctx, m.typ, p, o, func(s *Submission) {
		s.lines = m.inMain
		if b.body != nil {
			s.batch = b.n
			s.split = func(count int) { m.wasCut(b, count) }
		}
	}, true, true)
	if err != nil {
		m.sent.Add(-1)
		for range b.n {
			b.outcomes = append(b.outcomes, reply{err: err})
		}
		if m.cfg.Unordered {
			m.finished(b)
		}
		return
	}
	b.task = s
	if m.inMain && !closed(s.accepted) {
		m.line.Store(s)
	}
	s.onDone(func() {
		m.sent.Add(-1)
		m.hurry()
		if m.cfg.Unordered {
			m.finished(b)
		}
	})
}

// wasCut notes that only the first items of a batch, count of them, are still in it. It never
// waits. Each item is taken out at most once, whatever main is told.
func (m *mapping) wasCut(b *mapBatch, count int) {
	m.newsMu.Lock()
	defer m.newsMu.Unlock()
	if count < 1 || count >= b.kept {
		return
	}
	m.cuts = append(m.cuts, mapCut{b, count, b.kept})
	b.kept = count
	wakeUp(m.wake)
}

// from returns the items of a batch from number k on, up to number n, as a batch of their own.
func (b *mapBatch) from(k, n int) *mapBatch {
	_, rest := itemsOf(b.body)
	for range k {
		_, _, rest, _ = cutItem(rest, 0)
	}
	end := rest
	for range n - k {
		_, _, end, _ = cutItem(end, 0)
	}
	body := slices.Concat(b.body[:batchHead], rest[:len(rest)-len(end)])
	body[batchHead] |= b.body[batchHead] & itemMixed
	return &mapBatch{first: b.first + k, n: n - k, body: body}
}

// resend sends what was taken out of batches, in parts: there was a worker that had nothing to do,
// and now there is another one.
func (m *mapping) resend() {
	m.newsMu.Lock()
	cuts := m.cuts
	m.cuts = nil
	m.newsMu.Unlock()
	if len(cuts) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range cuts {
		last, from := c.batch, c.from
		parts := m.workers
		if m.took > 0 {
			parts = min(parts, max(1, int(time.Duration(c.to-from)*m.took/leastPart)))
		}
		for ; from < c.to; parts-- {
			to := from + (c.to-from+parts-1)/parts
			rest := c.batch.from(from, to)
			if m.cfg.Unordered {
				m.queue(rest)
			} else {
				m.items.InsertAfter(last, rest)
			}
			m.sendBatch(rest)
			last, from = rest, to
		}
	}
}

// take waits for the batch whose outcomes are to be yielded next, and returns nil when ctx ends
// before or, if more is set, when a further item may be taken in.
func (m *mapping) take(more bool) *mapBatch {
	defer stall(m.ctx)()
	var heard *Submission // whose reports are kept, for they are called next
	hear := func(s *Submission) {
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
		b, done, news := m.next()
		if news != nil {
			hear(m.front().task)
		}
		if b != nil {
			m.settle(b)
			return b
		}
		var room <-chan struct{}
		if more && m.count < m.window {
			if room = m.inLine(); room == nil {
				return nil
			}
		}
		select {
		case <-room:
		case <-done:
		case <-news:
			m.front().task.report(m.ctx)
		case <-m.wake:
		case <-m.ctx.Done():
		}
	}
	return nil
}

// next takes the batch that is to be yielded next out of its place, if it has its outcome. Else it
// returns what says that it may have.
func (m *mapping) next() (b *mapBatch, done, news <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.Unordered {
		m.newsMu.Lock()
		defer m.newsMu.Unlock()
		if b, ok := m.done.Pop(); ok {
			delete(m.open, b)
			return b, nil, nil
		}
		return nil, nil, nil
	}
	b = *m.items.First()
	if !b.ready && b.outcomes == nil && !closed(b.task.done) {
		return nil, b.task.done, b.task.news
	}
	m.items.Pop()
	return b, nil, nil
}

func (m *mapping) front() *mapBatch {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.items.First()
}

// settle finds the outcomes of the items of a batch that is done, and sends the items again that
// have none.
func (m *mapping) settle(b *mapBatch) {
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
	m.newsMu.Lock()
	kept, n := b.kept, b.kept
	if len(m.cuts) > 0 {
		m.cuts = slices.DeleteFunc(m.cuts, func(c mapCut) bool {
			if c.batch == b { // it is sent again below
				n = max(n, c.to)
			}
			return c.batch == b
		})
	}
	m.newsMu.Unlock()
	o, blamed, again := r.shares(kept)
	b.common, b.results = itemsOf(o.list)
	b.vouch, b.whole = r.vouch, r.err == nil && o.count() == b.n
	if r.err == nil {
		m.measure(time.Duration(r.payload.Defs), o.count(), len(o.list))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if from := kept - again; from < n {
		rest := b.from(from, n)
		if m.cfg.Unordered {
			m.queue(rest)
		} else {
			m.items.PushFront(rest)
		}
		m.sendBatch(rest)
	}
	last := b
	if o.later > 0 {
		last = m.postpone(b)
	}
	for range blamed {
		last.outcomes = append(last.outcomes, reply{err: r.blame()})
	}
}

// postpone sends the items of a batch again whose handlers have asked for this with RetryAfter,
// each as a task of its own that begins after its time. What is behind such an item becomes a batch
// of its own. It returns the last of these. The caller holds mu.
func (m *mapping) postpone(b *mapBatch) (last *mapBatch) {
	var order []*mapBatch // behind b
	last = b
	rest := b.results
	for i := 0; len(rest) > 0; i++ {
		items := rest
		var status byte
		var p codec.Payload
		if status, p, rest, _ = cutItem(items, b.common); status&itemLater == 0 {
			continue
		}
		remote, ok := unmarshalError(p.Data).(*RemoteError)
		if !ok || remote.after <= 0 {
			continue // it is a lie: the item has failed
		}
		last.results = last.results[:len(last.results)-len(items)]
		last = &mapBatch{first: b.first + i + 1, ready: true, common: b.common, results: rest, vouch: b.vouch}
		order = append(order, m.delayed(b, i, remote.after), last)
	}
	b.whole = false
	for _, next := range slices.Backward(order) {
		switch {
		case !m.cfg.Unordered:
			m.items.PushFront(next)
		case next.ready:
			m.open[next] = true
			m.finished(next)
		}
	}
	return last
}

// delayed sends one item of a batch as a task of its own that begins after a time. The caller holds
// mu.
func (m *mapping) delayed(b *mapBatch, i int, after time.Duration) *mapBatch {
	common, items := itemsOf(b.from(i, i+1).body)
	_, p, _, _ := cutItem(items, common)
	item := &mapBatch{first: b.first + i, n: 1}
	if m.cfg.Unordered {
		m.queue(item)
	}
	o := m.cfg.Task
	o.Delay = after
	m.send(item, p, &o)
	return item
}

// measure takes in how long a worker was busy with some items, and how many bytes their outcomes
// take, and decides how large the next batches are.
func (m *mapping) measure(took time.Duration, items, bytes int) {
	if items == 0 || took <= 0 {
		return
	}
	each := min(max(1, took/time.Duration(items)), mostTook)
	if m.took == 0 {
		m.took = each
	} else {
		m.took += (each - m.took) / 4
	}
	m.fits = min(max(1, batchFull*items/bytes), maxBatch)
	m.resize(m.took, 4*m.size)
}

// resize decides how large the next batches are if an item takes so long: at most so many items.
func (m *mapping) resize(took time.Duration, most int) {
	// for each worker one that it works on, the next, and one that is being taken in or yielded
	fit := cmp.Or(m.cfg.Window, maxMapWindow) / (3 * m.workers)
	m.size = min(max(1, int(batchTime/took)), max(1, fit), most, m.fits)
	if m.cfg.Window == 0 && m.size > 1 {
		m.window = max(defaultMapWindow, min(maxMapWindow, m.size*(3*m.workers+1)))
	}
}

// cancel cancels what has not been yielded.
func (m *mapping) cancel() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.part = nil
	m.partial.Store(false)
	if m.late != nil {
		m.late.Stop()
	}
	if m.took > 0 {
		m.node.paces.Store(m.typ, m.took)
	}
	for b := range m.open {
		m.items.Push(b)
	}
	var left []*Submission
	for b := range m.items.All() {
		if b.task != nil && !closed(b.task.done) {
			left = append(left, b.task)
		}
	}
	// The last first: else the room that the first leave would let them begin.
	slices.SortFunc(left, func(x, y *Submission) int { return cmp.Compare(y.id, x.id) })
	for _, s := range left {
		s.giveUp(m.ctx)
	}
}
