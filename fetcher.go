package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/queue"
)

// This file is how tasks come from a Backend, in main: what draws them, and the leases that they
// come with.

// fetcher draws the tasks of one lane from a Backend. It exists in main, with a goroutine of its
// own.
type fetcher struct {
	lane   queue.Lane
	name   string        // of the lane in the Backend
	credit int           // tasks that are to be fetched and have not come; guarded by the mutex of the store
	wake   chan struct{} // has room for one: there is more credit
	ctx    context.Context
	stop   context.CancelFunc
}

// draw has n more tasks of a lane fetched. The broker holds its mutex.
func (s *store) draw(l queue.Lane, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	f := s.fetchers[l]
	if f == nil {
		f = &fetcher{lane: l, name: s.names.of(l), wake: make(chan struct{}, 1)}
		f.ctx, f.stop = context.WithCancel(s.ctx)
		s.fetchers[l] = f
		s.work.Go(func() { f.run(s) }) // ends with close, or drawNoMore
	}
	f.credit += n
	wakeUp(f.wake)
}

// drawNoMore ends the fetching for a lane that nobody takes from. The broker holds its mutex.
func (s *store) drawNoMore(l queue.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.fetchers[l]; f != nil {
		f.stop()
		delete(s.fetchers, l)
	}
}

// run fetches what there is credit for.
func (f *fetcher) run(s *store) {
	for {
		n := f.owed(s, 0)
		if n == 0 {
			select {
			case <-f.wake:
				continue
			case <-f.ctx.Done():
				return
			}
		}
		leases, err := s.backend.Fetch(f.ctx, f.name, n)
		if f.ctx.Err() != nil {
			for _, l := range leases {
				newLease(s, l).giveBack(0, "nobody takes it now", nil)
			}
			return
		}
		if err != nil {
			s.logf("fetching tasks of %s: %v", f.name, err)
			f.pause()
			continue
		}
		f.owed(s, len(leases))
		for _, l := range leases {
			s.arrive(f.lane, l)
		}
	}
}

// owed takes n tasks that have come from the credit, and returns what is left of it.
func (f *fetcher) owed(s *store, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.credit = max(0, f.credit-n)
	return f.credit
}

// pause waits before the next try.
func (f *fetcher) pause() {
	timer := time.NewTimer(storePause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

// storedLease is a lease of a Backend as the broker has it: its ends are told by the store's
// goroutine, so that none of its methods waits, and it is extended until then. An error of the
// Backend is logged: a task that it hands out again runs again, here or elsewhere. It exists in
// main; any goroutine may use it.
type storedLease struct {
	of    Lease
	store *store

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

func newLease(s *store, of Lease) *storedLease { return &storedLease{of: of, store: s} }

// keep extends the lease when half of its time has passed, again and again. One that the Backend
// says is lost is extended no more: the task runs on here, and others may work on it as well.
func (l *storedLease) keep() {
	deadline := l.of.Deadline()
	if deadline.IsZero() {
		return
	}
	l.extendAfter(time.Until(deadline) / 2)
}

func (l *storedLease) extendAfter(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.timer = time.AfterFunc(max(d, 0), func() { l.store.later(l.extend) })
	}
}

func (l *storedLease) extend(ctx context.Context) {
	if l.ended() {
		return
	}
	switch err := l.of.Extend(ctx); {
	case err == nil:
		l.keep()
	case errors.Is(err, ErrLeaseLost):
		l.store.logf("the lease of %s is lost: the backend may hand it out again while it runs here", l.what())
	default:
		l.store.logf("the lease of %s could not be extended: %v", l.what(), err)
		l.extendAfter(max(storePause, time.Until(l.of.Deadline())/2))
	}
}

// what names the task of the lease.
func (l *storedLease) what() string {
	t := l.of.Task()
	return fmt.Sprintf("task %q (id %s)", t.Type, t.ID)
}

func (l *storedLease) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// forget ends the lease without a word: another one has come in its place.
func (l *storedLease) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// end has the end of the lease told to the Backend. failed, if not nil, is called if that cannot be
// done.
func (l *storedLease) end(say func(ctx context.Context) error, failed func(err error)) {
	l.forget()
	l.store.later(func(ctx context.Context) {
		if err := say(ctx); err != nil {
			l.store.logf("the end of %s could not be told to the backend, which may hand it out again: %v",
				l.what(), err)
			if failed != nil {
				failed(err)
			}
		}
	})
}

// done removes the task.
func (l *storedLease) done() { l.end(l.of.Ack, nil) }

// giveBack gives the task back, to be due after a time. failed, if not nil, is called if that
// cannot be told.
func (l *storedLease) giveBack(after time.Duration, cause string, failed func(err error)) {
	l.end(func(ctx context.Context) error { return l.of.Retry(ctx, after, cause) }, failed)
}

// giveUp makes the task one that is dead.
func (l *storedLease) giveUp(reason string) {
	l.end(func(ctx context.Context) error { return l.of.Dead(ctx, reason) }, nil)
}
