package store

import (
	"context"
	"time"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/queue"
)

// pause is the pause after a call of a Backend that failed.
const pause = 100 * time.Millisecond

// fetcher fetches the tasks of one lane from a Backend, on a goroutine of its own, as many as the
// rules have asked for. It exists in main; the mutex of the Store guards its credit.
type fetcher struct {
	// lane is the lane. It never changes.
	lane queue.Lane
	// name is the name of the lane's queue in the Backend. It never changes.
	name string
	// wake has room for one: it tells the goroutine that there is more credit.
	wake chan struct{}
	// ctx ends when the fetcher is to end. It never changes.
	ctx context.Context
	// stop ends ctx. It never changes.
	stop context.CancelFunc
	// credit is how many tasks are to be fetched and have not come.
	credit int
}

// Draw fetches n more tasks of a lane. The caller holds the lock of the rules.
func (s *Store) Draw(l queue.Lane, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	f := s.fetchers[l]
	if f == nil {
		f = &fetcher{lane: l, name: laneName(l), wake: make(chan struct{}, 1)}
		f.ctx, f.stop = context.WithCancel(s.ctx)
		s.fetchers[l] = f
		s.work.Go(func() { f.run(s) }) // ends with ctx, or DrawNoMore
	}
	f.credit += n
	goroutine.Wake(f.wake)
}

// DrawNoMore ends the fetching of a lane that no worker takes tasks from any more. The caller holds
// the lock of the rules.
func (s *Store) DrawNoMore(l queue.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.fetchers[l]; f != nil {
		f.stop()
		delete(s.fetchers, l)
	}
}

// run fetches tasks as long as there is credit, and waits for more credit otherwise.
func (f *fetcher) run(s *Store) {
	for {
		n := s.owed(f, 0)
		if n == 0 {
			select {
			case <-f.wake:
				continue
			case <-f.ctx.Done():
				return
			}
		}
		leases, err := s.Backend.Fetch(f.ctx, f.name, n)
		if f.ctx.Err() != nil {
			s.sendBack(leases)
			return
		}
		if err != nil {
			s.Warnf("fetching tasks of %s: %v", f.name, err)
			f.rest()
			continue
		}
		s.owed(f, len(leases))
		for _, l := range leases {
			s.arrive(f.lane, l)
		}
	}
}

// find fetches a task of a queue of the Backend, or returns nil if none is due there, or none any
// more.
func (s *Store) find(name string) backend.Lease {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	if !s.has(ctx, name) {
		return nil
	}
	fetched := make(chan []backend.Lease, 1)
	go func() { // ends with ctx at the latest; find waits for it
		leases, err := s.Backend.Fetch(ctx, name, 1)
		if err != nil && ctx.Err() == nil {
			s.Warnf("fetching a task of %s: %v", name, err)
		}
		fetched <- leases
	}()
	again := time.NewTicker(pause)
	defer again.Stop()
	for {
		select {
		case leases := <-fetched:
			if s.ctx.Err() != nil || len(leases) == 0 {
				s.sendBack(leases)
				return nil
			}
			s.sendBack(leases[1:])
			return leases[0]
		case <-again.C:
			if !s.has(ctx, name) { // another one was faster
				cancel()
			}
		}
	}
}

// has reports whether a queue of the Backend has a task that is due.
func (s *Store) has(ctx context.Context, name string) bool {
	depth, err := s.Backend.Depth(ctx, name)
	if err != nil && ctx.Err() == nil {
		s.Warnf("counting the tasks of %s: %v", name, err)
	}
	return err == nil && depth.Ready > 0
}

// sendBack gives tasks back that were fetched too late.
func (s *Store) sendBack(leases []backend.Lease) {
	for _, l := range leases {
		(&Lease{of: l, store: s}).giveBack(0, "nobody takes it now", nil)
	}
}

// owed takes as many tasks off the credit of a fetcher as have come, and returns what is left of
// it, which is never below zero.
func (s *Store) owed(f *fetcher, came int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.credit = max(0, f.credit-came)
	return f.credit
}

// rest waits after a call of the Backend that failed.
func (f *fetcher) rest() {
	select {
	case <-time.After(pause):
	case <-f.ctx.Done():
	}
}
