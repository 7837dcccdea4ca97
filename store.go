package multiprolab

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/ring"
)

const (
	// storeBatch is how many tasks are stored with one call of Enqueue.
	storeBatch = 128
	// storePause is the pause after a call of a Backend that failed.
	storePause = 100 * time.Millisecond
	// storeFlush bounds what is still said to a Backend at the end.
	storeFlush = 5 * time.Second
)

// store connects the broker to a Backend that may take its time: nothing in the broker waits for
// it. It exists in main. Tasks that are submitted are stored by one goroutine in their order; the
// ends of leases are told by the same one; each lane has a goroutine that fetches as many tasks as
// there is room for with the workers. What was fetched waits in the broker's lanes.
type store struct {
	broker  *broker
	backend Backend
	run     string // tells the tasks of this run from those of others
	lastID  uint64 // of what was stored in this run; guarded by the broker's mutex
	logf    func(format string, args ...any)

	ctx    context.Context // of everything: ends with close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	todo     ring.Ring[func(ctx context.Context)] // what is to be said to the Backend, in order
	puts     []storing                            // to be stored, after what is in todo
	wake     chan struct{}
	byID     map[string]*job     // that are to be fetched
	leased   map[string]*job     // that have been fetched and have not ended
	dropped  map[string]bool     // have ended before they were fetched
	fetchers map[string]*fetcher // by lane
}

// storing is a job that is to be stored, as the Backend gets it. It exists in main.
type storing struct {
	job  *job
	task QueuedTask
}

// fetcher draws the tasks of one lane.
type fetcher struct {
	lane *lane
	wake chan struct{} // there may be room
	ctx  context.Context
	stop context.CancelFunc
}

func newStore(b *broker, cfg *Config) *store {
	s := &store{broker: b, backend: cfg.Backend, run: newCookie()[:16], wake: make(chan struct{}, 1),
		byID: map[string]*job{}, leased: map[string]*job{}, dropped: map[string]bool{}, fetchers: map[string]*fetcher{}}
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
		say, ok := s.todo.Pop()
		var puts []storing
		if !ok {
			n := min(len(s.puts), storeBatch)
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
func (s *store) later(fn func(ctx context.Context)) {
	s.mu.Lock()
	s.todo.Push(fn)
	s.mu.Unlock()
	wakeUp(s.wake)
}

// put stores a task. The broker holds its mutex.
func (s *store) put(j *job) {
	s.lastID++
	j.storedAs = fmt.Sprintf("%s-%d", s.run, s.lastID)
	t := QueuedTask{ID: j.storedAs, Queue: j.lane.name, Type: j.lane.typ, Body: s.pack(j.payload),
		Options: j.meta.marshal()}
	if j.meta.Delay > 0 {
		t.NotBefore = time.Now().Add(j.meta.Delay)
	}
	s.mu.Lock()
	s.byID[t.ID] = j
	s.puts = append(s.puts, storing{j, t})
	s.mu.Unlock()
	// If no worker takes it yet, it is fetched once one does: see enter.
	base := s.broker.lane(laneKey{queue: j.lane.queue, typ: j.lane.typ, priority: j.lane.priority}, nil)
	if len(base.offers) > 0 {
		s.fetch(base)
	} else {
		s.broker.dropLane(base)
	}
	wakeUp(s.wake)
}

// expect notes that a task will come again. The broker holds its mutex.
func (s *store) expect(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.leased, j.storedAs)
	s.byID[j.storedAs] = j
}

func (s *store) enqueue(ctx context.Context, puts []storing) {
	tasks := make([]QueuedTask, len(puts))
	for i, p := range puts {
		tasks[i] = p.task
	}
	_, err := s.backend.Enqueue(ctx, tasks...)
	b := s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range puts {
		switch {
		case err != nil:
			b.finish(p.job, &reply{err: fmt.Errorf("multiprolab: %v could not be stored: %w", p.job, err)})
		case p.job.state != ended:
			b.accept(p.job)
		}
	}
}

// settle tells the Backend how a task has ended: at once if its lease is here, and else when it
// comes. The broker holds its mutex.
func (s *store) settle(j *job, how settlement, why error) {
	lease := j.lease
	j.lease = nil
	s.mu.Lock()
	delete(s.leased, j.storedAs)
	if s.byID[j.storedAs] == j {
		delete(s.byID, j.storedAs)
		if how != keep {
			s.dropped[j.storedAs] = true
		}
	}
	s.mu.Unlock()
	switch {
	case lease == nil:
	case how == keep:
		lease.giveBack(0, brief(why), nil)
	case how == giveUp:
		lease.giveUp(brief(why))
	default:
		lease.done()
	}
}

// fetch sees to it that tasks of a lane are fetched, as long as workers take them. The broker holds
// its mutex.
func (s *store) fetch(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fetchers[l.name] != nil || s.ctx.Err() != nil {
		return
	}
	f := &fetcher{lane: l, wake: make(chan struct{}, 1)}
	f.ctx, f.stop = context.WithCancel(s.ctx)
	s.fetchers[l.name] = f
	wakeUp(f.wake)
	s.work.Go(func() { s.draw(f) }) // ends with close, or fetchNoMore
}

// fetchNoMore ends the fetching for a lane that nobody takes from. The broker holds its mutex.
func (s *store) fetchNoMore(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.fetchers[l.name]; f != nil {
		f.stop()
		delete(s.fetchers, l.name)
	}
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
		case <-f.ctx.Done():
			return
		}
		for room := s.broker.roomFor(f.lane); room > 0; room = s.broker.roomFor(f.lane) {
			leases, err := s.backend.Fetch(f.ctx, f.lane.name, room)
			if f.ctx.Err() != nil {
				for _, l := range leases {
					newLease(s, l).giveBack(0, "nobody takes it now", nil)
				}
				return
			}
			if err != nil {
				s.logf("fetching tasks of %s: %v", f.lane.name, err)
				timer := time.NewTimer(storePause)
				select {
				case <-timer.C:
				case <-f.ctx.Done():
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
func (s *store) arrive(l *lane, of Lease) {
	t := of.Task()
	lease := newLease(s, of)
	lease.keep()
	s.mu.Lock()
	j, dropped := cmp.Or(s.byID[t.ID], s.leased[t.ID]), s.dropped[t.ID]
	delete(s.byID, t.ID)
	delete(s.dropped, t.ID)
	if j != nil {
		s.leased[t.ID] = j
	}
	s.mu.Unlock()
	if dropped {
		lease.done()
		return
	}
	if j != nil {
		s.broker.arrived(j, lease)
		return
	}
	j = &job{storedAs: t.ID, attempts: max(of.Attempt()-1, t.Attempts)} // of an earlier run, or of another main
	var err error
	if j.meta, err = unmarshalTaskMeta(t.Options); err == nil {
		j.payload, err = s.unpack(t.Body)
	}
	if err != nil {
		s.logf("task %q (id %s) cannot be read and is given up: %v", t.Type, t.ID, err)
		lease.giveUp(err.Error())
		return
	}
	j.meta.Waits, j.meta.Chain = false, "" // who waited for it then, does not now
	s.broker.found(j, l, lease)
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

// The broker's side.

// roomFor returns how many tasks of a lane the workers have room for, less those that are here
// already.
func (b *broker) roomFor(l *lane) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.halted || l.paused {
		return 0
	}
	room := -l.jobs.n
	for _, o := range l.offers {
		for _, w := range o.kind.workers {
			switch {
			case !w.sound():
			case o.pull == given:
				room += max(0, w.window()-len(w.held))
			default:
				for _, f := range w.fetches {
					if f.types.has(o.pull) {
						room++
					}
				}
			}
		}
	}
	return room
}

// arrived takes a job of this run that was fetched.
func (b *broker) arrived(j *job, lease *storedLease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case j.state == ended && !j.kept: // while it was on its way
		b.store.settle(j, done, nil)
		lease.done()
	case j.state == ended || b.halted:
		b.store.settle(j, keep, nil)
		lease.giveBack(0, "the program ended", nil)
	case j.state == stored || j.state == delayed:
		j.lease = lease
		b.lineUp(j, false)
	default: // its lease was lost, and it has come again
		j.lease.forget()
		j.lease = lease
	}
}

// found takes a job of an earlier run, or of another main, that was fetched.
func (b *broker) found(j *job, l *lane, lease *storedLease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.servable(l.laneKey, nil); err != nil || b.halted {
		lease.giveBack(0, "no worker takes it now", nil)
		return
	}
	l = b.lane(l.laneKey, nil) // it may have been dropped, and be there again
	b.lastID++
	j.id, j.lease = b.lastID, lease
	b.store.mu.Lock()
	b.store.leased[j.storedAs] = j
	b.store.mu.Unlock()
	b.enlist(j, l)
	b.stats.Received++
	b.lineUp(j, false)
}
