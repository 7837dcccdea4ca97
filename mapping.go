package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// This file is how a Map makes batches of its items and sends them. What comes back is in
// mapreturns.go; the parts of the state that others than the goroutine that ranges may touch are in
// mapbatch.go. batch.Pace decides how many items travel together.

// maxFree is how many bodies of batches are kept to be filled again.
const maxFree = 4

// mapping is the state of one range over a Map, in the process of its caller. The goroutine that
// ranges owns it, except for places, news and flow, which say who else may touch what.
//
// Nobody waits while holding a lock, or on the timer's goroutine. In main a submission never waits,
// because the task stands in line for room in the queue. In a worker, where a submission may wait
// for the wire, there is no timer, and no lock is held while a task is submitted.
type mapping struct {
	ctx    context.Context // the context that Map was given
	node   *node           // the process that ranges over the Map
	typ    string          // the type of the tasks
	cfg    *MapConfig      // the configuration of the Map
	inMain bool            // the process is main

	count    int         // how many items were taken from the sequence and not yielded
	ended    bool        // the sequence has ended
	progress MapProgress // what OnProgress is told
	pace     batch.Pace  // how many items travel together
	free     [][]byte    // the bodies of batches that may be filled again

	places mapPlaces // the batches that have not been yielded
	news   mapNews   // what other goroutines tell the goroutine that ranges
	flow   mapFlow   // how many batches are on their way
}

// newMapping returns the state of a range. If batches is false, items travel one by one.
func newMapping(ctx context.Context, n *node, typ string, c *MapConfig, batches bool) *mapping {
	m := &mapping{ctx: ctx, node: n, typ: typ, cfg: c}
	_, m.inMain = n.up.(*mainRouter)
	if batches {
		m.flow.workers = n.up.batches(typ, &c.Task)
	}
	m.pace = batch.NewPace(m.flow.workers, c.Window, batchFull)
	if m.flow.workers > 0 {
		m.flow.late = time.AfterFunc(time.Hour, m.flush)
		m.flow.late.Stop()
	}
	m.news.wake = make(chan struct{}, 1)
	if c.Unordered {
		m.places.open = map[*mapBatch]bool{}
	}
	return m
}

// addItem takes in the item that v points to: it puts the item into the part, and sends the part
// once it is full.
func addItem[T any](m *mapping, encode codec.Coder[T], v *T) {
	m.count++
	if m.flow.workers == 0 {
		addTask(m, encode, v)
	} else {
		m.places.mu.Lock()
		defer m.places.mu.Unlock()
		body, p, err := encode.AppendEncode(m.beginItem(), v)
		if err == nil && len(p.Data) <= m.node.maxBody {
			m.endItem(body, p)
		} else {
			m.sendPart()
			m.place(m.refused(*v, p, err))
		}
	}
	m.progress.Taken++
}

// addTask is addItem if items travel one by one: the item is a task of its own.
func addTask[T any](m *mapping, encode codec.Coder[T], v *T) {
	_, p, err := encode.AppendEncode(nil, v)
	b := &mapBatch{first: m.progress.Taken, n: 1}
	if err != nil || len(p.Data) > m.node.maxBody {
		b = m.refused(*v, p, err)
	}
	m.places.mu.Lock()
	m.place(b)
	m.places.mu.Unlock()
	if b.outcomes == nil {
		m.send(b, p, &m.cfg.Task)
	}
}

// refused returns an item that is not sent, because it could not be encoded or is too large, as a
// batch that has its outcome.
func (m *mapping) refused(item any, p codec.Payload, err error) *mapBatch {
	if err != nil {
		err = &EncodeError{Type: m.typ, GoType: fmt.Sprintf("%T", item), Err: err}
	} else {
		err = &SizeError{Type: m.typ, Size: int64(len(p.Data)), Limit: int64(m.node.maxBody)}
	}
	return &mapBatch{first: m.progress.Taken, n: 1, outcomes: []reply{{err: err}}}
}

// beginItem returns the body of the part, with the head of the next item. The caller holds
// places.mu.
func (m *mapping) beginItem() []byte {
	b := m.places.part
	if b == nil {
		b = &mapBatch{first: m.progress.Taken}
		m.places.part = b
		if n := len(m.free); n > 0 {
			b.body = m.free[n-1]
			m.free = m.free[:n-1]
		}
	}
	return batch.Begin(b.body)
}

// endItem makes what was encoded since beginItem an item of the part or, if the part would be too
// large with it, a task of its own. The caller holds places.mu.
func (m *mapping) endItem(body []byte, p codec.Payload) {
	if len(body)+batch.OwnSize > m.node.mostBody() {
		m.sendPart()
		b := &mapBatch{first: m.progress.Taken, n: 1}
		m.place(b)
		m.send(b, p, &m.cfg.Task) // p need not be lent: the memory of so large a part is not used again
		return
	}
	b := m.places.part
	b.body = batch.End(body, len(b.body), batch.OK, p)
	b.n++
	if m.pace.Full(b.n, len(b.body)) {
		m.sendPart()
	} else if b.n == 1 {
		m.flow.partial.Store(true)
		m.flow.hurry()
	}
}

// full reports whether no further item may be taken in now: the window is full, or the queue has no
// room for the last item.
func (m *mapping) full() bool {
	return m.count >= m.pace.Window() || m.flow.line.Load() != nil && m.flow.inLine() != nil
}

// yielded counts the outcome that is yielded next.
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

// flush sends the part, if there is one. The timer calls it, too.
func (m *mapping) flush() {
	m.places.mu.Lock()
	defer m.places.mu.Unlock()
	m.sendPart()
}

// sendPart is flush for a caller that holds places.mu.
func (m *mapping) sendPart() {
	b := m.places.part
	m.places.part = nil
	if b != nil && b.n > 0 {
		m.flow.partGone()
		m.place(b)
		m.sendBatch(b)
	}
}

// place puts a batch behind all batches. The caller holds places.mu.
func (m *mapping) place(b *mapBatch) {
	if !m.places.unordered() {
		m.places.items.Push(b)
		return
	}
	m.places.open[b] = true
	if b.outcomes != nil {
		m.news.finished(b)
	}
}

// sendBatch submits a batch. The caller holds places.mu.
func (m *mapping) sendBatch(b *mapBatch) {
	b.kept = b.n
	// A worker may answer before the wire has written the whole body. So a body that may be filled
	// again is only lent to the wire, which copies it.
	m.send(b, codec.Payload{Encoding: codec.Bytes, Data: b.body, Lent: b.reusable()}, &m.cfg.Task)
}

// sendLater submits one item as a task of its own, which begins after a time.
func (m *mapping) sendLater(b *mapBatch, p codec.Payload, after time.Duration) {
	o := m.cfg.Task
	o.Delay = after
	m.send(b, p, &o)
}

// send submits a task: a batch or, if b has no body, one item. In main it never waits.
func (m *mapping) send(b *mapBatch, p codec.Payload, o *TaskOptions) {
	m.flow.sent.Add(1)
	s, err := m.node.submitPayload(m.ctx, m.typ, p, o, func(s *submission) {
		s.lines = m.inMain
		if b.body != nil {
			s.batch = b.n
			s.split = func(count int) { m.news.wasCut(b, count) }
		}
	}, true, true)
	if err != nil {
		m.flow.sent.Add(-1)
		for range b.n {
			b.outcomes = append(b.outcomes, reply{err: err})
		}
		if m.places.unordered() {
			m.news.finished(b)
		}
		return
	}
	b.task = s
	if m.inMain && !goroutine.Closed(s.accepted) {
		m.flow.line.Store(s)
	}
	s.onDone(func() {
		m.flow.sent.Add(-1)
		m.flow.hurry()
		if m.places.unordered() {
			m.news.finished(b)
		}
	})
}

// cancel cancels the tasks that are not done.
func (m *mapping) cancel() {
	m.places.mu.Lock()
	defer m.places.mu.Unlock()
	m.places.part = nil
	m.flow.partial.Store(false)
	if m.flow.late != nil {
		m.flow.late.Stop()
	}
	for b := range m.places.open {
		m.places.items.Push(b)
	}
	var left []*submission
	for b := range m.places.items.All() {
		if b.task != nil && !goroutine.Closed(b.task.done) {
			left = append(left, b.task)
		}
	}
	// The last task is cancelled first. In the other order, the room that the first tasks leave
	// would let later ones begin.
	slices.SortFunc(left, func(x, y *submission) int { return cmp.Compare(y.id, x.id) })
	for _, s := range left {
		s.giveUp(m.ctx)
	}
}
