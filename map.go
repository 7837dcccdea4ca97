package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"reflect"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// This file is Map as users see it. What is behind it is in mapping.go, mapbatch.go and
// mapreturns.go.

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
		err := n.mapThrough(ctx, typ, &c.Task, func(ctx context.Context, o *TaskOptions) (first error) {
			with := c
			with.Task = *o
			mapItems(ctx, n, typ, items, &with, func(result R, err error) bool {
				first = cmp.Or(first, err)
				return yield(result, err)
			})
			return first
		})
		if err != nil {
			yield(zero, err)
		}
	}
}

// mapItems is Map behind the middlewares.
func mapItems[R, T any](
	ctx context.Context, n *node, typ string, items iter.Seq[T], c *MapConfig, yield func(R, error) bool,
) {
	var zero R
	// If a worker dies with a batch, the outcomes that it leaves come without type definitions,
	// which results of interface types need.
	batches := reflect.TypeFor[R]().Kind() != reflect.Interface
	m := newMapping(ctx, n, typ, c, batches)
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
			err = &DecodeError{Receiver: m.node.name(), Type: typ, Err: err}
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
