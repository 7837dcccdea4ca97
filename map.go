package multiprolab

import (
	"context"
	"fmt"
	"iter"
	"reflect"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// This file is Map as users see it. What is behind it is in mapping.go, mapbatch.go and
// mapreturns.go.

// MapConfig configures Map. Nil, and the zero value, are good defaults.
type MapConfig struct {
	// Window is the number of items that are with the workers or wait to be yielded: the
	// read-ahead. Item Window+1 is taken from the sequence only after a result has been yielded.
	// Defaults to 64, and to more while items take less time than a message: as many as keep the
	// workers busy for some milliseconds, at most 16,384.
	Window int
	// Unordered yields results as they come instead of in the order of the items.
	Unordered bool
	// FailFast ends the sequence with the first error, and cancels what is still with the workers.
	// Without it each item that fails yields its error, and the sequence goes on.
	FailFast bool
	// Task are the options of each task.
	Task TaskOptions
	// OnProgress, if not nil, is called on the goroutine that ranges over the results, before each
	// of them: for a progress bar.
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
		// If a worker dies with a batch, the outcomes that it leaves come without type definitions,
		// which results of interface types need.
		batches := reflect.TypeFor[R]().Kind() != reflect.Interface
		m := newMapping(ctx, p.self(), typ, &c, batches)
		defer m.cancel()
		encode, decode := codec.CoderOf[T](m.node.codec), codec.CoderOf[R](m.node.codec)
		var body T // the item that is being taken in; declared here, so that all items share its memory
		var result R
		var batch *mapBatch // the batch whose results are being yielded
		// one yields the next result, and reports whether the sequence goes on. With more set it
		// also returns when a further item may be taken in.
		one := func(more bool) bool {
			p, err, ok := batch.next(typ)
			for ; !ok; p, err, ok = batch.next(typ) {
				m.reuse(batch)
				if m.ended || m.flow.hungry() {
					m.flush()
				}
				if batch = m.awaitBatch(more); batch == nil {
					if ctx.Err() == nil {
						return true
					}
					yield(zero, fmt.Errorf("multiprolab: map %q: %w", typ, causeOf(ctx)))
					return false
				}
			}
			if err != nil {
				err = m.node.recognise(err)
			} else if err = decode.Decode(p, &result); err != nil {
				err = &DecodeError{Receiver: m.node.name, Type: typ, Err: err}
			}
			if overtaken(ctx, err) {
				yield(zero, fmt.Errorf("multiprolab: map %q: %w", typ, causeOf(ctx)))
				return false
			}
			if err != nil {
				result, err = zero, &MapError{Index: batch.first + batch.taken - 1, Err: err}
			}
			m.yielded(err)
			return yield(result, err) && (err == nil || !c.FailFast)
		}
		if ctx.Err() == nil {
			for item := range items {
				body = item
				addItem(m, encode, &body)
				for m.full() || ctx.Err() != nil {
					if !one(true) {
						return
					}
				}
			}
		}
		m.ended = true
		for m.count > 0 || ctx.Err() != nil {
			if !one(false) {
				return
			}
		}
	}
}
