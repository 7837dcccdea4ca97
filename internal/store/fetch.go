package store

import (
	"context"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/queue"
)

const (
	// pause is the pause after a call of a Backend that failed.
	pause = 100 * time.Millisecond
	// linger is for how long a call of Fetch goes on that asks for more than is wanted: a worker
	// that has its task mostly asks for the next one soon.
	linger = 100 * time.Millisecond
	// tooLate is why a task goes back that was fetched when it was not wanted any more.
	tooLate = "nobody takes it now"
)

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
	// asked is how many tasks the call of Fetch asks for that goes on; 0 if none does.
	asked int
	// end ends that call. It is nil before the first one.
	end context.CancelFunc
	// trim calls less after a time, if it runs; nil before its first use.
	trim *time.Timer
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

// DrawLess fetches n tasks less of a lane than were drawn and have not come. What a call of Fetch
// that goes on brings beyond the rest is sent back. The caller holds the lock of the rules.
func (s *Store) DrawLess(l queue.Lane, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fetchers[l]
	if f == nil {
		return
	}
	if f.credit = max(0, f.credit-n); f.asked <= f.credit {
		return
	}
	if f.trim == nil {
		f.trim = time.AfterFunc(linger, func() { s.less(f) })
	} else {
		f.trim.Reset(linger)
	}
}

// less ends the call of Fetch that goes on, if it asks for more than is wanted.
func (s *Store) less(f *fetcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.asked > f.credit {
		f.end()
	}
}

// DrawNoMore ends the fetching of a lane that no worker takes tasks from any more. The caller holds
// the lock of the rules.
func (s *Store) DrawNoMore(l queue.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.fetchers[l]; f != nil {
		f.stop()
		f.credit = 0
		delete(s.fetchers, l)
	}
}

// came tells the rules that a task has come that was drawn, and reports whether it is still wanted.
// One that was tried is. The caller holds the lock of the rules.
func (s *Store) came(by *fetcher, rules *queue.Queue) (wanted bool) {
	if by == nil {
		return true
	}
	s.mu.Lock()
	if wanted = by.credit > 0; wanted {
		by.credit--
	}
	s.mu.Unlock()
	if wanted {
		rules.Came(by.lane)
	}
	return wanted
}

// run fetches tasks as long as there is credit, and waits for more credit otherwise.
func (f *fetcher) run(s *Store) {
	for {
		ctx, n := f.ask(s)
		if n == 0 {
			select {
			case <-f.wake:
				continue
			case <-f.ctx.Done():
				return
			}
		}
		leases, err := s.Backend.Fetch(ctx, f.name, n)
		enough := ctx.Err() != nil
		f.answered(s)
		switch {
		case f.ctx.Err() != nil:
			s.sendBack(leases)
			return
		case err != nil && !enough:
			s.Warnf("fetching tasks of %s: %v", f.name, err)
			f.rest()
		}
		for i, l := range leases {
			if !s.arrive(f, f.lane, l) {
				s.sendBack(leases[i:]) // in their order, whatever is drawn by now
				break
			}
		}
	}
}

// ask returns how many tasks are to be fetched, and if that is not 0 the context for it.
func (f *fetcher) ask(s *Store) (ctx context.Context, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.asked = f.credit; f.asked > 0 {
		ctx, f.end = context.WithCancel(f.ctx)
	}
	return ctx, f.asked
}

// answered notes that the call of Fetch is over.
func (f *fetcher) answered(s *Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.end()
	f.asked = 0
	if f.trim != nil {
		f.trim.Stop()
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

// sendBack gives tasks back that were fetched too late. Each goes to the front of its queue, so
// that they stand there in the order in which they have come.
func (s *Store) sendBack(leases []backend.Lease) {
	for _, l := range slices.Backward(leases) {
		(&Lease{of: l, store: s}).sendBack(tooLate)
	}
}

// rest waits after a call of the Backend that failed.
func (f *fetcher) rest() {
	select {
	case <-time.After(pause):
	case <-f.ctx.Done():
	}
}
