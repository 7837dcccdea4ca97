// Package store connects the rules of tasks in main to a Backend of the user, which may take its
// time: the rules never wait for it. It stores the tasks that are submitted, fetches as many as the
// rules have drawn, keeps the leases of those that have come, and tells the Backend how they end.
//
// It does not know what is in a task, who has submitted it or who works on it, and decides nothing
// about it: the rules do.
package store

import (
	"context"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/ring"
)

const (
	// batch is how many tasks are stored with one call of Enqueue.
	batch = 128
	// flushTime bounds what is still said to a Backend at the end.
	flushTime = 5 * time.Second
)

// Config is what a Store needs. It exists in main, and never changes.
type Config struct {
	// Backend is the Backend of the user.
	Backend backend.Backend
	// Run begins the ids of the tasks of this run, so that they differ from those of other runs.
	Run string
	// Happens has a function tell the rules of tasks what has happened, under their lock.
	Happens func(event func(rules *queue.Queue))
	// Foreign makes an Entry of a task that was stored in an earlier run, or by another main.
	Foreign func(t backend.Task) (*Entry, error)
	// Warnf logs a warning.
	Warnf func(format string, args ...any)
}

// Store is the way to a Backend. It exists in main. One goroutine stores the tasks that are
// submitted, in their order, and tells the Backend how leases end. Each lane has a goroutine that
// fetches as many tasks as the rules have asked for. Methods that carry out what the rules say are
// called under the lock of the rules, and do not wait.
type Store struct {
	// Config is what the Store was made with.
	Config
	// entries are the tasks that the Backend has. The lock of the rules guards them.
	entries entries

	// ctx is the context of every call of the Backend, apart from those at the end. Close ends it.
	ctx context.Context
	// cancel ends ctx. It never changes.
	cancel context.CancelFunc
	// work is the goroutines of the Store.
	work sync.WaitGroup
	// wake has room for one: it tells the goroutine that there is something in todo or puts.
	wake chan struct{}

	// mu guards todo, puts and fetchers. The lock of the rules is never taken while it is held.
	mu sync.Mutex
	// todo is what is to be said to the Backend, in order.
	todo ring.Ring[func(ctx context.Context)]
	// puts are the tasks that are to be stored, after what is in todo was said.
	puts []put
	// fetchers are those of the lanes that workers take tasks from.
	fetchers map[queue.Lane]*fetcher
}

// put is a task that is to be stored. It exists in main, and never changes.
type put struct {
	entry *Entry       // the task
	task  backend.Task // the task in the form in which the Backend gets it
}

// Failure is the cause of a task's end that the rules get if the Backend could not be told of the
// task. It exists in main, and never changes.
type Failure struct {
	What string // what could not be done, to follow the name of the task in a text
	Err  error  // what the Backend has said
}

// New returns the way to a Backend, which is not used before Open.
func New(cfg Config) *Store {
	s := &Store{Config: cfg, entries: newEntries(cfg.Run), wake: make(chan struct{}, 1),
		fetchers: map[queue.Lane]*fetcher{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Open starts the goroutine that talks to the Backend. That goroutine ends with Close.
func (s *Store) Open() {
	s.work.Go(func() {
		for {
			select {
			case <-s.wake:
				s.speak(s.ctx)
			case <-s.ctx.Done():
				return
			}
		}
	})
}

// speak says to the Backend what is in todo and puts, until nothing is left there.
func (s *Store) speak(ctx context.Context) {
	for {
		s.mu.Lock()
		say, ok := s.todo.Pop()
		var puts []put
		if !ok {
			n := min(len(s.puts), batch)
			puts, s.puts = s.puts[:n:n], s.puts[n:]
		}
		s.mu.Unlock()
		switch {
		case ok:
			say(ctx)
		case len(puts) > 0:
			s.enqueue(ctx, puts)
		default:
			return
		}
	}
}

// later has fn called on the goroutine that talks to the Backend.
func (s *Store) later(fn func(ctx context.Context)) {
	s.mu.Lock()
	s.todo.Push(fn)
	s.mu.Unlock()
	goroutine.Wake(s.wake)
}

// Put stores a task, which becomes due after a time. t is its body and its options; the Store fills
// in the rest. The caller holds the lock of the rules.
func (s *Store) Put(e *Entry, t backend.Task, after time.Duration) {
	to := e.Lane()
	t.ID, t.Queue, t.Type = s.entries.enter(e), s.entries.name(to), to.Type
	if after > 0 {
		t.NotBefore = time.Now().Add(after)
	}
	s.mu.Lock()
	s.puts = append(s.puts, put{e, t})
	s.mu.Unlock()
	goroutine.Wake(s.wake)
}

// enqueue stores tasks with one call of the Backend, and tells the rules whether that has worked.
func (s *Store) enqueue(ctx context.Context, puts []put) {
	tasks := make([]backend.Task, len(puts))
	for i, p := range puts {
		tasks[i] = p.task
	}
	_, err := s.Backend.Enqueue(ctx, tasks...)
	var cause any
	if err != nil {
		cause = &Failure{"could not be stored", err}
	}
	s.Happens(func(rules *queue.Queue) {
		for _, p := range puts {
			rules.Stored(&p.entry.Task, err == nil, cause)
		}
	})
}

// EndLease tells the Backend how a task has ended, and why: at once if the task is leased here;
// otherwise when its lease comes. If it is kept for another run, that has it after a time. The
// caller holds the lock of the rules.
func (s *Store) EndLease(e *Entry, how queue.LeaseEnd, after time.Duration, why string) {
	lease := e.lease
	s.entries.end(e, how != queue.Keep && how != queue.Return)
	switch {
	case lease == nil:
	case how == queue.Return:
		lease.sendBack(why)
	case how == queue.Keep:
		lease.giveBack(after, why, nil)
	case how == queue.GiveUp:
		lease.giveUp(why)
	default:
		lease.done()
	}
}

// PutBack gives a task back to the Backend for its next attempt, which is due after a time, and
// says why the last one has failed. The caller holds the lock of the rules.
func (s *Store) PutBack(e *Entry, after time.Duration, why string) {
	lease, id := e.lease, e.id
	e.lease = nil
	lease.giveBack(after, why, func(err error) {
		s.Happens(func(rules *queue.Queue) {
			if e.id == id { // else it was a dead letter meanwhile, and is stored anew
				rules.Unstored(&e.Task, &Failure{"could not be put back into its queue", err})
			}
		})
	})
}

// Try fetches a task of a lane if the Backend has one now, for a request of a worker that does not
// wait. The caller holds the lock of the rules.
func (s *Store) Try(l queue.Lane, w queue.Worker, n queue.FetchID) {
	s.work.Go(func() { // ends when the Backend has answered, or with ctx
		if lease := s.find(laneName(l)); lease != nil {
			s.arrive(nil, l, lease)
		}
		s.Happens(func(rules *queue.Queue) { rules.Tried(w, n) })
	})
}

// arrive hands a task that was fetched to the rules, and reports whether it is still wanted. by is
// who has fetched it for its lane, or nil if it was tried.
func (s *Store) arrive(by *fetcher, from queue.Lane, of backend.Lease) (wanted bool) {
	lease := &Lease{of: of, store: s}
	lease.keep()
	if own, wanted := s.arriveOwn(by, lease); own {
		return wanted
	}
	t := of.Task()
	e, err := s.Foreign(t)
	if err != nil {
		s.Warnf("task %q (id %s) cannot be read and is given up: %v", t.Type, t.ID, err)
		lease.giveUp(err.Error())
		s.Happens(func(rules *queue.Queue) {
			s.came(by, rules)
			rules.Missed()
		})
		return true
	}
	s.Happens(func(rules *queue.Queue) {
		if wanted = s.came(by, rules); !wanted {
			lease.forget()
			return
		}
		if r := rules.Found(&e.Task, from, max(of.Attempt()-1, t.Attempts)); r.Refused() {
			lease.sendBack("no worker takes it now")
			return
		}
		e.id, e.lease = t.ID, lease
		s.entries.byID[t.ID] = e
	})
	return wanted
}

// arriveOwn is arrive for a task that was stored in this run, and reports whether it was. One that
// has ended before is always wanted.
func (s *Store) arriveOwn(by *fetcher, lease *Lease) (own, wanted bool) {
	s.Happens(func(rules *queue.Queue) {
		e, dropped := s.entries.arrived(lease.of.Task().ID)
		if own = dropped || e != nil; !own {
			return
		}
		wanted = s.came(by, rules) || dropped
		switch {
		case dropped:
			lease.done()
			rules.Missed()
		case !wanted:
			lease.forget()
		default:
			old := e.lease
			e.lease = lease
			if rules.Arrived(&e.Task) && old != nil { // the first lease was lost, and the task has come again
				old.forget()
			}
		}
	})
	return own, wanted
}

// Close ends the fetching, says to the Backend what is still to be said, and closes the Backend.
func (s *Store) Close() {
	s.cancel()
	s.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	s.speak(ctx)
	if err := s.Backend.Close(ctx); err != nil {
		s.Warnf("closing the backend of the task queue: %v", err)
	}
}

// Residue is what a Store holds.
type Residue struct {
	Tasks   int      // tasks that the Backend has and that have not ended
	Dropped int      // tasks that have ended before they were fetched
	Unsaid  int      // things that the Backend is to be told
	Queues  []string // the queues of the Backend that are fetched from
}

// Residue returns what the Store holds. The caller holds the lock of the rules.
func (s *Store) Residue() Residue {
	e := &s.entries
	r := Residue{Tasks: len(e.byID), Dropped: len(e.dropped) + len(e.older)}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Unsaid = s.todo.Len() + len(s.puts)
	for _, f := range s.fetchers {
		r.Queues = append(r.Queues, f.name)
	}
	return r
}
