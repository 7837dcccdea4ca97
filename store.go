package multiprolab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
)

const (
	// storeBatch is how many tasks are stored with one call of Enqueue.
	storeBatch = 128
	// storePause is the pause after a call of a Backend that failed.
	storePause = 100 * time.Millisecond
	// storeFlush bounds what is still said to a Backend at the end.
	storeFlush = 5 * time.Second
)

// store connects the broker to a Backend that may take its time: nothing in the broker waits for it. It exists in main. Tasks that are submitted are stored by one goroutine
// in their order; the ends of leases are told by the same one; each lane has a goroutine that fetches as many tasks as there is room for with the workers. What was fetched waits in the
// broker's lanes.
type store struct {
	broker  *broker
	backend Backend
	run     string // tells the tasks of this run from those of others
	logf    func(format string, args ...any)

	ctx    context.Context // of everything: ends with close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	todo     queue[func(ctx context.Context)] // what is to be said to the Backend, in order
	puts     []QueuedTask                     // to be stored, after what is in todo
	wake     chan struct{}
	byID     map[string]*job     // stored and not fetched yet
	dropped  map[string]bool     // have ended before they were fetched
	fetchers map[string]*fetcher // by lane
}

// fetcher draws the tasks of one lane.
type fetcher struct {
	lane *lane
	wake chan struct{} // there may be room
}

func newStore(b *broker, cfg *Config) *store {
	s := &store{broker: b, backend: cfg.Backend, run: newCookie()[:16], wake: make(chan struct{}, 1), byID: map[string]*job{},
		dropped: map[string]bool{}, fetchers: map[string]*fetcher{}}
	logger := cfg.Logger
	s.logf = func(format string, args ...any) { logger.Warn("multiprolab: " + fmt.Sprintf(format, args...)) }
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// open starts the goroutine that talks to the Backend. It ends with close.
func (s *store) open() {
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

// speak does what is to be done, until nothing is left.
func (s *store) speak(ctx context.Context) {
	for {
		s.mu.Lock()
		say, ok := s.todo.pop()
		var tasks []QueuedTask
		if !ok {
			n := min(len(s.puts), storeBatch)
			tasks, s.puts = s.puts[:n:n], s.puts[n:]
		}
		s.mu.Unlock()
		switch {
		case ok:
			say(ctx)
		case len(tasks) > 0:
			s.enqueue(ctx, tasks)
		default:
			return
		}
	}
}

// later has fn called on the goroutine that talks to the Backend.
func (s *store) later(fn func(ctx context.Context)) {
	s.mu.Lock()
	s.todo.push(fn)
	s.mu.Unlock()
	wakeUp(s.wake)
}

// put stores a task. The broker holds its mutex.
func (s *store) put(j *job, t QueuedTask) {
	t.ID = fmt.Sprintf("%s-%d", s.run, j.id)
	t.Body, t.Options, t.job = s.pack(j.payload), j.meta.marshal(), j
	j.storedAs = t.ID
	s.mu.Lock()
	s.byID[t.ID] = j
	s.puts = append(s.puts, t)
	s.mu.Unlock()
	s.fetch(j.lane)
	wakeUp(s.wake)
}

// expect notes that a task will come again. The broker holds its mutex.
func (s *store) expect(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[j.storedAs] = j
}

func (s *store) enqueue(ctx context.Context, tasks []QueuedTask) {
	_, err := s.backend.Enqueue(ctx, tasks...)
	b := s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range tasks {
		switch {
		case err != nil:
			b.finish(t.job, &reply{err: fmt.Errorf("multiprolab: %v could not be stored: %w", t.job, err)})
		case t.job.state != ended:
			b.accept(t.job)
		}
	}
}

// drop notes that a task has ended without having been fetched: it is to be removed when it comes, unless it is kept for the next run. The broker holds
// its mutex.
func (s *store) drop(j *job, keep bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[j.storedAs] == j {
		delete(s.byID, j.storedAs)
		if !keep {
			s.dropped[j.storedAs] = true
		}
	}
}

// fetch sees to it that tasks of a lane are fetched. The broker holds its mutex.
func (s *store) fetch(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetchers[l.name] != nil || s.ctx.Err() != nil {
		return
	}
	f := &fetcher{lane: l, wake: make(chan struct{}, 1)}
	s.fetchers[l.name] = f
	wakeUp(f.wake)
	s.work.Go(func() { s.draw(f) }) // ends with close
}

// demand tells the fetchers that there may be room with the workers.
func (s *store) demand() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fetchers {
		wakeUp(f.wake)
	}
}

// draw fetches the tasks of a lane, as many as there is room for.
func (s *store) draw(f *fetcher) {
	for {
		select {
		case <-f.wake:
		case <-s.ctx.Done():
			return
		}
		for room := s.broker.roomFor(f.lane); room > 0; room = s.broker.roomFor(f.lane) {
			leases, err := s.backend.Fetch(s.ctx, f.lane.name, room)
			if s.ctx.Err() != nil {
				for _, l := range leases {
					s.end(&storedLease{Lease: l, store: s}, func(ctx context.Context) error { return l.Retry(ctx, 0, "the program ended") })
				}
				return
			}
			if err != nil {
				s.logf("fetching tasks of %s: %v", f.lane.name, err)
				timer := time.NewTimer(storePause)
				select {
				case <-timer.C:
				case <-s.ctx.Done():
				}
				timer.Stop()
				continue
			}
			for _, l := range leases {
				s.arrive(f.lane, l)
			}
		}
	}
}

// arrive hands a task that was fetched to the broker.
func (s *store) arrive(l *lane, lease Lease) {
	t := lease.Task()
	held := &storedLease{Lease: lease, store: s}
	held.keep()
	s.mu.Lock()
	j, dropped := s.byID[t.ID], s.dropped[t.ID]
	delete(s.byID, t.ID)
	delete(s.dropped, t.ID)
	s.mu.Unlock()
	if dropped {
		_ = held.Ack(s.ctx)
		return
	}
	var err error
	if j == nil { // of an earlier run, or of another main
		j = &job{storedAs: t.ID, attempts: max(lease.Attempt()-1, t.Attempts)}
		if j.meta, err = unmarshalTaskMeta(t.Options); err == nil {
			j.payload, err = s.unpack(t.Body)
		}
	}
	if err != nil {
		s.logf("task %q (id %s) cannot be read and is given up: %v", t.Type, t.ID, err)
		_ = held.Dead(s.ctx, err.Error())
		return
	}
	s.broker.arrived(j, l, held)
}

// pack makes a body that is complete in itself.
func (s *store) pack(p codec.Payload) []byte {
	defs := s.broker.node.codec.Definitions(p.Defs)
	b := binary.AppendUvarint([]byte{p.Encoding}, uint64(len(defs)))
	return append(append(b, defs...), p.Data...)
}

// unpack reads what pack wrote.
func (s *store) unpack(b []byte) (p codec.Payload, err error) {
	if len(b) < 2 {
		return p, errors.New("its body is cut short")
	}
	n, size := binary.Uvarint(b[1:])
	if size <= 0 || n > uint64(len(b)-1-size) {
		return p, errors.New("its body is cut short")
	}
	p.Encoding = b[0]
	defs, data := b[1+size:1+size+int(n)], b[1+size+int(n):]
	if len(defs) > 0 {
		p.Defs, err = s.broker.node.codec.Define(defs)
	}
	p.Data = data
	return p, err
}

// close ends the fetching, says to the Backend what is still to be said, and closes it.
func (s *store) close() {
	s.cancel()
	s.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), storeFlush)
	defer cancel()
	s.speak(ctx)
	if err := s.backend.Close(ctx); err != nil {
		s.logf("closing the backend of the task queue: %v", err)
	}
}

// storedLease is a lease of a Backend whose ends are told by the store's goroutine, and which is extended until then.
type storedLease struct {
	Lease
	store *store

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

// keep extends the lease when half of its time has passed, again and again.
func (l *storedLease) keep() {
	deadline := l.Lease.Deadline()
	if deadline.IsZero() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.timer = time.AfterFunc(time.Until(deadline)/2, func() {
			l.store.later(func(ctx context.Context) {
				if l.ended() {
					return
				}
				if err := l.Lease.Extend(ctx); err != nil {
					l.store.logf("the lease of task %q (id %s) could not be extended: %v", l.Task().Type, l.Task().ID, err)
				}
				l.keep()
			})
		})
	}
}

func (l *storedLease) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// end has the end of a lease told to the Backend.
func (s *store) end(l *storedLease, say func(ctx context.Context) error) error {
	l.mu.Lock()
	l.over = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	s.later(func(ctx context.Context) {
		if err := say(ctx); err != nil {
			s.logf("the end of task %q (id %s) could not be told to the backend, which may hand it out again: %v", l.Task().Type, l.Task().ID, err)
		}
	})
	return nil
}

// Ack implements Lease.
func (l *storedLease) Ack(context.Context) error { return l.store.end(l, l.Lease.Ack) }

// Retry implements Lease.
func (l *storedLease) Retry(_ context.Context, after time.Duration, cause string) error {
	return l.store.end(l, func(ctx context.Context) error { return l.Lease.Retry(ctx, after, cause) })
}

// Dead implements Lease.
func (l *storedLease) Dead(_ context.Context, reason string) error {
	return l.store.end(l, func(ctx context.Context) error { return l.Lease.Dead(ctx, reason) })
}

// The broker's side.

// roomFor returns how many tasks of a lane the workers have room for, less those that are here already.
func (b *broker) roomFor(l *lane) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.halted || b.paused[l.queue] {
		return 0
	}
	room := -l.returned.len()
	for _, w := range b.workers {
		for _, f := range w.fetches {
			if w.sound() && slices.Contains(f.types, l.typ) && slices.Contains(w.queues, l.queue) {
				room++
			}
		}
		if w.hasRoom() && w.takes(l) {
			room += w.window() - len(w.held)
		}
	}
	return room
}

// arrived takes a job that was fetched.
func (b *broker) arrived(j *job, l *lane, lease Lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j.state == ended && !j.kept { // while it was on its way
		_ = lease.Ack(context.Background())
		return
	}
	if j.state == ended || b.halted {
		_ = lease.Retry(context.Background(), 0, "the program ended")
		return
	}
	if j.id == 0 {
		b.lastID++
		j.id, j.lane = b.lastID, l
		b.jobs[j.id] = j
		b.stats.Received++
		j.state = queued
		b.waiting++
	}
	j.lease = lease
	l.returned.push(j)
	b.place(l)
}
