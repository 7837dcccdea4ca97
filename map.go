package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"reflect"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/mapping"
)

// This file is Map as users see it, and how it submits its tasks. Which items travel together, and
// what is sent again, is in internal/mapping.

// Map runs a task of the type for each item and yields the results. The items are pulled one by one
// as there is room, on the goroutine that ranges over the results, so that an endless sequence
// takes no more memory than the window. Leaving the loop early, and the end of ctx, cancel the
// tasks that are not done; Map waits for none of them.
//
// If items take less time than a message, many travel at a time, provided that Map is called in
// main and the options of the task are the default ones. Only the speed shows it. Each item still
// has its own outcome: the death of a worker costs the item that was running, what had been
// finished stands, and the other items run elsewhere.
//
// An item has one outcome, whatever its size: an item over Config.MaxMessageSize, or one with such
// a result, has a *SizeError. While the queue has no room, no further item is pulled; results that
// are there are yielded meanwhile.
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
			yield(
				zero,
				&ConfigError{
					"MapConfig.Window",
					c.Window,
					"it cannot be negative: leave it zero for the default, or give a value above zero",
				},
			)
			return
		}
		n := p.self()
		if n.sending.none() {
			mapItems(ctx, n, typ, items, &c, yield)
			return
		}
		err := n.mapThrough(ctx, typ, &c.Task, func(ctx context.Context, o *TaskOptions) (taken int, first error) {
			with := c
			with.Task = *o
			taken = mapItems(ctx, n, typ, items, &with, func(result R, err error) bool {
				first = cmp.Or(first, err)
				return yield(result, err)
			})
			return taken, first
		})
		if err != nil {
			yield(zero, err)
		}
	}
}

// mapItems is Map behind the middlewares. It returns how many items it has taken in.
func mapItems[R, T any](
	ctx context.Context, n *node, typ string, items iter.Seq[T], c *MapConfig, yield func(R, error) bool,
) (taken int) {
	var zero R
	// If a worker dies with a batch, the outcomes that it leaves come without type definitions,
	// which results of interface types need.
	workers := 0
	if reflect.TypeFor[R]().Kind() != reflect.Interface {
		workers = n.up.batches(typ, &c.Task)
	}
	m := newRange(ctx, n, typ, c, workers)
	defer func() {
		m.Cancel(ctx)
		taken = m.Taken()
	}()
	encode, decode := codec.CoderOf[T](n.codec), codec.CoderOf[R](n.codec)
	var body T // the item that is being taken in; declared here, so that all items share its memory
	var result R
	var progress MapProgress
	// one yields the next result, and reports whether the sequence goes on. With more set it
	// also returns when a further item may be taken in.
	one := func(more bool) bool {
		p, err, ok := m.Next()
		for ; !ok; p, err, ok = m.Next() {
			if !awaitBatch(ctx, m, more) {
				if ctx.Err() == nil {
					return true
				}
				yield(zero, fmt.Errorf("multiprolab: map %q: %w", typ, contexts.CauseOf(ctx)))
				return false
			}
		}
		if err != nil {
			err = n.recognise(err)
		} else if err = decode.Decode(p, &result); err != nil {
			err = n.misfit(typ, p, err)
		}
		if overtaken(ctx, err) {
			yield(zero, fmt.Errorf("multiprolab: map %q: %w", typ, contexts.CauseOf(ctx)))
			return false
		}
		if err != nil {
			result, err = zero, &MapError{Index: m.Index(), Err: err}
			progress.Failed++
		}
		if c.OnProgress != nil {
			progress.Taken, progress.Yielded = m.Taken(), progress.Yielded+1
			c.OnProgress(progress)
		}
		return yield(result, err) && (err == nil || !c.FailFast)
	}
	if ctx.Err() == nil {
		for item := range items {
			body = item
			if size, err := mapping.Add(m, encode, &body); err != nil {
				m.Fail(&EncodeError{Type: typ, GoType: fmt.Sprintf("%T", any(body)), Err: err})
			} else if size > n.maxBody {
				m.Fail(&SizeError{Type: typ, Size: int64(size), Limit: int64(n.maxBody)})
			}
			for m.Full() || ctx.Err() != nil {
				if !one(true) {
					return taken
				}
			}
		}
	}
	for m.Left() > 0 || ctx.Err() != nil {
		if !one(false) {
			return taken
		}
	}
	return taken
}

// newRange returns the state of a range over a Map, for which there are so many workers that work
// on batches.
//
// In main a submission never waits, because the task stands in line for room in the queue. In a
// worker, where it may wait for the wire, items travel one by one.
func newRange(ctx context.Context, n *node, typ string, c *MapConfig, workers int) *mapping.Range {
	_, inMain := n.up.(*mainRouter)
	submit := func(b *mapping.Batch, p codec.Payload, after time.Duration) (mapping.Task, error) {
		o := &c.Task
		if after > 0 {
			later := c.Task
			later.Delay, o = after, &later
		}
		s, err := n.submitPayload(ctx, typ, p, o, func(s *submission) {
			s.lines = inMain
			if s.batch = b.Items(); s.batch > 0 {
				s.split = b.Cut
			}
		}, true, true)
		if err != nil {
			return nil, err
		}
		s.onDone(b.Ended)
		return mapTask{s}, nil
	}
	return mapping.New(mapping.Config{Workers: workers, Window: c.Window, Unordered: c.Unordered, Lines: inMain,
		MaxItem: n.maxBody, MaxBody: n.mostBody(), Outcomes: batchFull, Submit: submit})
}

// awaitBatch is mapping.Range.Await for the loop that ctx belongs to.
func awaitBatch(ctx context.Context, m *mapping.Range, more bool) bool {
	defer stall(ctx)()
	return m.Await(ctx, more)
}

// mapTask is a task of a Map: a batch, or one item. It exists in the process that ranges over the
// Map.
type mapTask struct{ *submission }

// Done is closed when the task has its outcome.
func (t mapTask) Done() <-chan struct{} { return t.done }

// Accepted is closed when the queue has had room for the task.
func (t mapTask) Accepted() <-chan struct{} { return t.accepted }

// Listen counts the goroutines that wait for the task and hand its reports on.
func (t mapTask) Listen(by int) (news <-chan struct{}) {
	if t.news != nil {
		t.listen(by)
	}
	return t.news
}

// Report hands the reports that have come to the submitter's function.
func (t mapTask) Report(ctx context.Context) { t.report(ctx) }

// Outcome returns what the task has come to.
func (t mapTask) Outcome() mapping.Outcome {
	r, err := t.outcome, t.outcome.err
	if t.batch > 0 {
		err = cmp.Or(err, errBatch)
	}
	return mapping.Outcome{Payload: r.payload, Err: err, Ending: r.ending(), Took: r.took}
}

// Error reads the error of an item among the outcomes of a batch, and after what time the item is
// to be started again.
func (t mapTask) Error(packed []byte) (after time.Duration, err error) {
	err = t.outcome.vouch(t.typ, unmarshalError(packed))
	if remote, ok := err.(*RemoteError); ok {
		after = remote.after
	}
	return after, err
}

// GiveUp cancels the task.
func (t mapTask) GiveUp(ctx context.Context) { t.giveUp(ctx) }
