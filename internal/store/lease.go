package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/backend"
)

// Lease is a lease of a Backend as main has it. It is extended until it is ended; the goroutine of
// the Store tells the Backend of the end, so that no method waits. Errors of the Backend are
// logged: a task that the Backend hands out again runs again, here or in another program. It exists
// in main; any goroutine may use it.
type Lease struct {
	// of is the lease as the Backend has made it. It never changes.
	of backend.Lease
	// store tells the Backend what becomes of the lease. It never changes.
	store *Store

	// mu guards timer, over and unsaved.
	mu sync.Mutex
	// timer extends the lease; nil if the lease has no end.
	timer *time.Timer
	// over says that the lease has ended, or was forgotten.
	over bool
	// unsaved is the checkpoint that the Backend is to be told next; nil if there is none. Only the
	// last one of a task counts, so that a task that saves faster than the Backend stores fills
	// nothing.
	unsaved []byte
}

// keep extends the lease when half of its time has passed, again and again. A lease that the
// Backend calls lost is not extended any more: the task runs on here, and others may work on it as
// well.
func (l *Lease) keep() {
	deadline := l.of.Deadline()
	if deadline.IsZero() {
		return
	}
	l.extendAfter(time.Until(deadline) / 2)
}

// extendAfter sets the timer for the next extension, unless the lease is over.
func (l *Lease) extendAfter(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.timer = time.AfterFunc(max(d, 0), func() { l.store.later(l.extend) })
	}
}

// extend extends the lease once. It runs on the goroutine of the Store.
func (l *Lease) extend(ctx context.Context) {
	if l.ended() {
		return
	}
	switch err := l.of.Extend(ctx); {
	case err == nil:
		l.keep()
	case errors.Is(err, backend.ErrLeaseLost):
		l.store.Warnf("the lease of %s is lost: the backend may hand it out again while it runs here", l.what())
	default:
		l.store.Warnf("the lease of %s could not be extended: %v", l.what(), err)
		l.extendAfter(max(pause, time.Until(l.of.Deadline())/2))
	}
}

// what names the task of the lease.
func (l *Lease) what() string {
	t := l.of.Task()
	return fmt.Sprintf("task %q (id %s)", t.Type, t.ID)
}

// ended reports whether the lease is over.
func (l *Lease) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// forget ends the lease without telling the Backend, because another lease of the same task has
// come.
func (l *Lease) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// end ends the lease, and has say tell the Backend of it. If that fails, failed is called, unless
// it is nil.
func (l *Lease) end(say func(ctx context.Context) error, failed func(err error)) {
	l.forget()
	l.store.later(func(ctx context.Context) {
		if err := say(ctx); err != nil {
			l.store.Warnf("the end of %s could not be told to the backend, which may hand it out again: %v",
				l.what(), err)
			if failed != nil {
				failed(err)
			}
		}
	})
}

// done removes the task from the Backend.
func (l *Lease) done() { l.end(l.of.Ack, nil) }

// giveBack gives the task back to the Backend, which hands it out again after a time. If the
// Backend cannot be told, failed is called, unless it is nil.
func (l *Lease) giveBack(after time.Duration, cause string, failed func(err error)) {
	l.end(func(ctx context.Context) error { return l.of.Retry(ctx, after, cause) }, failed)
}

// sendBack gives a task back with which nobody has begun.
func (l *Lease) sendBack(cause string) {
	if to, ok := l.of.(backend.Returner); ok {
		l.end(to.Return, nil)
		return
	}
	l.giveBack(0, cause, nil)
}

// giveUp tells the Backend that the task is dead.
func (l *Lease) giveUp(reason string) {
	l.end(func(ctx context.Context) error { return l.of.Dead(ctx, reason) }, nil)
}

// Checkpoint has the Backend store how far the task has got, packed, in place of what it stored
// before, if it can.
func (l *Lease) Checkpoint(packed []byte) {
	to, ok := l.of.(backend.Checkpointer)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unsaved == nil {
		l.store.later(func(ctx context.Context) {
			if err := to.Checkpoint(ctx, l.takeUnsaved()); err != nil {
				l.store.Warnf("the checkpoint of %s could not be stored: %v", l.what(), err)
			}
		})
	}
	l.unsaved = packed
}

// takeUnsaved returns the checkpoint that the Backend is to be told now.
func (l *Lease) takeUnsaved() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	packed := l.unsaved
	l.unsaved = nil
	return packed
}
