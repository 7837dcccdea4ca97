// Package contexts is the contexts of functions that run for others: how such a context ends, what
// it costs as long as nobody asks whether it has ended, how a deadline crosses a wire, and what the
// error of a wait says that has ended with its context.
//
// It knows no messages, tasks, loops or frames, and not why a function is not wanted any more.
package contexts

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

// Function is the context of a function while it runs. It exists in the process of the function.
// The machinery of a context that can end, which most functions never use, is made when it is first
// asked for. Any goroutine may use it as a context.
type Function struct {
	Parent context.Context // the context above; set before the function runs
	Limit  *Limit          // when the context ends at the latest, or nil; set before the function runs
	over   atomic.Bool     // the function has returned
	// end is how the context ends; nil until somebody asks for it.
	end atomic.Pointer[ending]
}

// ending is how the context of a function ends. It does not change.
type ending struct {
	ctx    context.Context         // the context that ends
	cancel context.CancelCauseFunc // ends ctx
	stop   context.CancelFunc      // gives up the timer of the limit; nil if there is no limit
}

// ending returns how the context ends, and makes it if nobody has.
func (f *Function) ending() *ending {
	if e := f.end.Load(); e != nil {
		return e
	}
	e := &ending{}
	e.ctx, e.cancel = context.WithCancelCause(f.Parent)
	if l := f.Limit; l != nil {
		e.ctx, e.stop = context.WithDeadlineCause(e.ctx, l.Due, l.Cause) // cancel ends this context, too
	}
	if !f.end.CompareAndSwap(nil, e) {
		e.cancel(nil) // another goroutine was faster, and nobody has e
		return f.end.Load()
	}
	if f.over.Load() { // End may not have seen e
		e.cancel(nil)
	}
	return e
}

// Begin notes that the function runs from now on. There is something to do only in a build for
// measurements.
func (f *Function) Begin() {
	if ablate.Without(ablate.Contexts) {
		f.ending()
	}
}

// Return notes that the function has returned. End follows.
func (f *Function) Return() { f.over.Store(true) }

// Over reports whether the function has returned.
func (f *Function) Over() bool { return f.over.Load() }

// End ends the context of a function that has returned.
func (f *Function) End() {
	if e := f.end.Load(); e != nil {
		e.cancel(nil)
	}
}

// Cancel ends the context while the function runs.
func (f *Function) Cancel(cause error) { f.ending().cancel(cause) }

// nearTime is how much later a deadline may come in the process of the function than in the process
// that has set it, because the two have no clock in common.
const nearTime = 100 * time.Millisecond

// GiveUp ends the context because nobody waits for the function any more. soft says that the reason
// is that a deadline has passed in the process that has set it; otherwise it is cause. If the
// deadline comes here within nearTime, GiveUp leaves it to that: then the context itself says that
// its deadline has passed.
func (f *Function) GiveUp(soft bool, cause error) {
	switch {
	case !soft:
		f.Cancel(cause)
	case f.Limit == nil || time.Until(f.Limit.Due) > nearTime:
		f.Cancel(context.DeadlineExceeded)
	}
}

// Deadline returns when the function must have returned, at the latest.
func (f *Function) Deadline() (deadline time.Time, ok bool) {
	deadline, ok = f.Parent.Deadline()
	if l := f.Limit; l != nil && (!ok || l.Due.Before(deadline)) {
		return l.Due, true
	}
	return deadline, ok
}

// Done returns a channel that is closed when the function has returned or must end.
func (f *Function) Done() <-chan struct{} { return f.ending().ctx.Done() }

// Err says whether Done is closed, and why.
func (f *Function) Err() error {
	if e := f.end.Load(); e != nil {
		return e.ctx.Err()
	}
	if f.over.Load() {
		return context.Canceled
	}
	if f.Limit != nil {
		return f.ending().ctx.Err()
	}
	return f.Parent.Err()
}

// Value returns the value of the context above. It is asked of the context that ends, because
// context.Cause asks for the cause with a key of its own.
func (f *Function) Value(key any) any { return f.ending().ctx.Value(key) }
