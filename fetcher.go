package multiprolab

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/queue"
)

// This file is how tasks come from a Backend of the user, in main. What becomes of a lease that has
// come is in lease.go.

// fetchers fetch tasks from a Backend, as many of each lane as the rules of tasks have asked for.
// They exist in main; any goroutine may use them.
type fetchers struct {
	// ctx is the context of every call of the Backend. When it ends, the fetchers end. It never
	// changes.
	ctx context.Context
	// backend is the Backend of the user. It never changes.
	backend backend.Backend
	// desk gets what was fetched. It never changes.
	desk fetchDesk
	// work is the goroutines of the fetchers.
	work sync.WaitGroup

	// mu guards lanes.
	mu sync.Mutex
	// lanes are the fetchers of the lanes that workers take tasks from.
	lanes map[queue.Lane]*fetcher
}

// fetchDesk is what the store does with what was fetched.
type fetchDesk interface {
	// arrive hands a task that was fetched to the broker.
	arrive(from queue.Lane, of backend.Lease)
	// sendBack gives a task that was fetched too late back to the Backend.
	sendBack(of backend.Lease)
	// logf logs a warning.
	logf(format string, args ...any)
}

// fetcher fetches the tasks of one lane from a Backend, on a goroutine of its own. It exists in
// main.
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

	// mu guards credit.
	mu sync.Mutex
	// credit is how many tasks are to be fetched and have not come.
	credit int
}

// draw lets the fetcher of a lane fetch n more tasks. The broker holds its mutex.
func (s *fetchers) draw(l queue.Lane, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return
	}
	f := s.lanes[l]
	if f == nil {
		f = &fetcher{lane: l, name: laneName(l), wake: make(chan struct{}, 1)}
		f.ctx, f.stop = context.WithCancel(s.ctx)
		s.lanes[l] = f
		s.work.Go(func() { f.run(s) }) // ends with ctx, or drawNoMore
	}
	f.owe(n)
	goroutine.Wake(f.wake)
}

// drawNoMore ends the fetcher of a lane that no worker takes tasks from any more. The broker holds
// its mutex.
func (s *fetchers) drawNoMore(l queue.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.lanes[l]; f != nil {
		f.stop()
		delete(s.lanes, l)
	}
}

// run fetches tasks as long as there is credit, and waits for more credit otherwise.
func (f *fetcher) run(s *fetchers) {
	for {
		n := f.owe(0)
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
			s.sendBack(leases)
			return
		}
		if err != nil {
			s.desk.logf("fetching tasks of %s: %v", f.name, err)
			f.pause()
			continue
		}
		f.owe(-len(leases))
		for _, l := range leases {
			s.desk.arrive(f.lane, l)
		}
	}
}

// find fetches a task of a queue of the Backend, or returns nil if none is due there, or none any
// more.
func (s *fetchers) find(name string) backend.Lease {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	if !s.has(ctx, name) {
		return nil
	}
	fetched := make(chan []backend.Lease, 1)
	go func() { // ends with ctx at the latest; find waits for it
		leases, err := s.backend.Fetch(ctx, name, 1)
		if err != nil && ctx.Err() == nil {
			s.desk.logf("fetching a task of %s: %v", name, err)
		}
		fetched <- leases
	}()
	again := time.NewTicker(backendPause)
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
func (s *fetchers) has(ctx context.Context, name string) bool {
	depth, err := s.backend.Depth(ctx, name)
	if err != nil && ctx.Err() == nil {
		s.desk.logf("counting the tasks of %s: %v", name, err)
	}
	return err == nil && depth.Ready > 0
}

// sendBack gives tasks back that were fetched too late.
func (s *fetchers) sendBack(leases []backend.Lease) {
	for _, l := range leases {
		s.desk.sendBack(l)
	}
}

// owe adds n to the credit, or takes as many tasks off it that have come if n is negative. It
// returns what the credit is now, which is never below zero.
func (f *fetcher) owe(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.credit = max(0, f.credit+n)
	return f.credit
}

// pause waits after a call of the Backend that failed.
func (f *fetcher) pause() {
	timer := time.NewTimer(backendPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

// backendPause is the pause after a call of a Backend that failed.
const backendPause = 100 * time.Millisecond

// laneName returns what the queue of a lane is called in a Backend.
func laneName(l queue.Lane) string {
	return l.Queue + "/" + l.Type + "/" + strconv.Itoa(int(l.Priority))
}

// laneNames knows what the queue of a lane is called in a Backend. It exists in main; the broker's
// mutex guards it.
type laneNames struct {
	// lane is the lane that was asked for last.
	lane queue.Lane
	// name is the name for that lane, or empty before the first question.
	name string
}

// of returns the name for a lane. Consecutive tasks are mostly of the same lane, so the last name
// is kept.
func (n *laneNames) of(l queue.Lane) string {
	if n.lane != l || n.name == "" {
		n.lane, n.name = l, laneName(l)
	}
	return n.name
}
