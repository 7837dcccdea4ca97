package multiprolab

import (
	"context"
	"fmt"
	"iter"
)

// MapConfig configures Map. Nil, and the zero value, are good defaults.
type MapConfig struct {
	// Window is the number of items that are with the workers or wait to be yielded: the read-ahead. Item Window+1 is taken from the
	// sequence only after a result has been yielded. Defaults to 64.
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
		if c.Window == 0 {
			c.Window = 64
		}
		m := &mapping{ctx: ctx, node: p.self(), typ: typ, cfg: &c, done: make(chan *mapItem, c.Window)}
		defer m.cancel()
		next, stop := iter.Pull(items)
		defer stop()
		for more := true; ; {
			for more && m.count < c.Window && ctx.Err() == nil {
				item, ok := next()
				if more = ok; ok {
					m.submit(item)
				}
			}
			switch {
			case ctx.Err() != nil:
				yield(zero, fmt.Errorf("multiprolab: map %q: %w", typ, context.Cause(ctx)))
				return
			case m.count == 0:
				return
			}
			item := m.take()
			if item == nil {
				continue // ctx has ended
			}
			var r R
			err := item.err
			if err == nil {
				err = item.task.Result(ctx, &r)
			}
			if err != nil {
				err = &MapError{Index: item.index, Err: err}
			}
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

// mapping is the state of one range over a Map.
type mapping struct {
	ctx      context.Context
	node     *node
	typ      string
	cfg      *MapConfig
	count    int // submitted and not yielded
	progress MapProgress
	items    queue[*mapItem]   // in their order, unless the results come unordered
	open     map[*mapItem]bool // the same, if they do
	done     chan *mapItem     // those that have their outcome, if the results come unordered; it has room for all
}

type mapItem struct {
	index int // in the sequence, from 0
	task  *Submission
	err   error // it could not be submitted
}

func (m *mapping) submit(body any) {
	item := &mapItem{index: m.progress.Taken}
	m.progress.Taken++
	item.task, item.err = m.node.submit(m.ctx, m.typ, body, &m.cfg.Task, false, true)
	m.count++
	if !m.cfg.Unordered {
		m.items.push(item)
		return
	}
	if m.open == nil {
		m.open = map[*mapItem]bool{}
	}
	m.open[item] = true
	if item.err != nil {
		m.done <- item
		return
	}
	item.task.onDone(func() { m.done <- item })
}

// take waits for the item whose outcome is to be yielded next, and returns nil when ctx ends before.
func (m *mapping) take() *mapItem {
	defer stall(m.ctx)()
	if m.cfg.Unordered {
		select {
		case item := <-m.done:
			delete(m.open, item)
			m.count--
			return item
		case <-m.ctx.Done():
			return nil
		}
	}
	item, _ := m.items.pop()
	m.count--
	if item.err == nil {
		_ = item.task.wait(m.ctx)
		if m.ctx.Err() != nil {
			item.task.Cancel()
			return nil
		}
	}
	return item
}

// cancel cancels what has not been yielded.
func (m *mapping) cancel() {
	for item := range m.open {
		m.items.push(item)
	}
	for item := range m.items.all() {
		if item.err == nil {
			item.task.Cancel()
		}
	}
}
