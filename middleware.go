package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/meta"
)

// Middleware surrounds what a process handles, or what it sends; see UseHandle and UseSend. It is
// called once, and gets the next step: another middleware or, as the last, the thing itself. It
// returns a function that is called for each message, call and task, and calls next with its ctx,
// or one that is derived from it, and with op:
//
//	func timed(next multiprolab.Step) multiprolab.Step {
//		return func(ctx context.Context, op *multiprolab.Operation) error {
//			begun := time.Now()
//			err := next(ctx, op)
//			log.Println(op.Kind, op.Type, time.Since(begun), err)
//			return err
//		}
//	}
//
// If it does not call next, nothing is handled or sent: then the error that it returns is the
// outcome, and without one an empty reply or result. The error of next may be replaced, also by
// nil.
type Middleware func(next Step) Step

// Step does what is to be done with an operation: it handles or sends it, or calls the next step
// for that.
type Step func(ctx context.Context, op *Operation) error

// Operation is one message, call or task as a Middleware sees it, in the process that sends it or
// in that of its handler.
type Operation struct {
	// Kind is "message", "call" or "task", and "map" for all tasks of a Map together, where they
	// are sent.
	Kind string
	// Type is the type of the message, call or task.
	Type string
	// Sender is the name of the process that sends it.
	Sender string
	// Receiver is the name of the process whose handler it is, or, where it is sent, the name that
	// the sender gives; that is "" for a task, which goes to whichever worker is free, and for a
	// broadcast to all.
	Receiver string
	// Body is the body where a message, call or task is sent, and otherwise nil: the handler's side
	// finds it with Decode of MessageFrom(ctx) or TaskFrom(ctx).
	Body any
	// Header is the headers that travel with it, which Message.Header and Task.Header show to the
	// receiver. Where it is sent, a middleware may set Header, and add to it before it calls next:
	// 8 KiB at most in all. For its handler, nobody may change it. It is nil if there are none.
	Header map[string]string
	// Items is how many items a Map has taken in; it is known when next has returned.
	Items int

	// do handles or sends, after the last middleware. It does not change.
	do Step
}

// SetHeader sets a header, where a message, call or task is sent.
func (op *Operation) SetHeader(name, value string) {
	if op.Header == nil {
		op.Header = map[string]string{}
	}
	op.Header[name] = value
}

// packed returns the headers as they travel; none are "".
func (op *Operation) packed() (string, error) {
	header, err := meta.MarshalHeader(op.Header)
	if err != nil {
		err = fmt.Errorf("multiprolab: %w", err)
	}
	return header, err
}

// middlewares are the middlewares of one direction in a process, the outermost first. It exists in
// main and in each worker. Any goroutine may use it.
type middlewares struct {
	// steps is nil if there are none. What it points to does not change.
	steps atomic.Pointer[[]Step]
}

// use adds a middleware inside those that there are.
func (m *middlewares) use(mw Middleware) {
	for {
		old := m.steps.Load()
		var steps []Step
		if old != nil {
			steps = *old
		}
		n := len(steps)
		s := mw(func(ctx context.Context, op *Operation) error { return m.from(ctx, op, n+1) })
		steps = append(steps[:n:n], s)
		if m.steps.CompareAndSwap(old, &steps) {
			return
		}
	}
}

// none reports whether there are no middlewares.
func (m *middlewares) none() bool { return m.steps.Load() == nil }

// through has an operation go through all middlewares, the last of which calls do.
func (m *middlewares) through(ctx context.Context, op *Operation, do Step) error {
	op.do = do
	return m.from(ctx, op, 0)
}

// handleThrough runs a handler inside the middlewares. w is the message or the task.
func handleThrough[W any](
	ctx context.Context, m *middlewares, op *Operation, fn func(context.Context, W) (any, error), w W,
) (value any, err error) {
	err = m.through(ctx, op, func(ctx context.Context, _ *Operation) (err error) {
		value, err = fn(ctx, w)
		return err
	})
	return value, err
}

// from has an operation go through the middlewares from number n on.
func (m *middlewares) from(ctx context.Context, op *Operation, n int) error {
	if steps := *m.steps.Load(); n < len(steps) {
		return steps[n](ctx, op)
	}
	if op.do == nil {
		return errors.New("multiprolab: a middleware has called next with an Operation of its own: " +
			"pass on the one that it was called with, or a copy of that")
	}
	return op.do(ctx, op)
}

// secondNext makes the error of a middleware that calls next again where that would give what has
// come a second time. verb is the kind of the operation.
func secondNext(verb, typ string) error {
	return fmt.Errorf("multiprolab: %s %q: a middleware has called next twice", verb, typ)
}
