package multiprolab

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/queue"
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
// the rules have asked for.
type store struct {
	broker  *broker
	backend Backend
	run     string // tells the tasks of this run from those of others
	logf    func(format string, args ...any)
	names   laneNames
	lastID  uint64 // of what was stored in this run; guarded by the broker's mutex

	ctx    context.Context // of everything: ends with close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex                           // guards all below; the broker's is never taken under it
	todo     ring.Ring[func(ctx context.Context)] // what is to be said to the Backend, in order
	puts     []storing                            // to be stored, after what is in todo
	wake     chan struct{}                        // has room for one: there is something in todo or puts
	jobs     storedJobs
	fetchers map[queue.Lane]*fetcher
}

// storedJobs are the jobs that a Backend has. It exists in main; the mutex of its store guards it.
type storedJobs struct {
	byID    map[string]*job // that are to be fetched
	leased  map[string]*job // that have been fetched and have not ended
	dropped map[string]bool // that have ended before they were fetched
}

// storing is a job that is to be stored, as the Backend gets it. It exists in main.
type storing struct {
	job  *job
	task QueuedTask
}

// laneNames knows what the queue of a lane is called in a Backend. It exists in main; the broker's
// mutex guards it.
type laneNames struct {
	lane queue.Lane // that was asked for last
	name string     // its name
}

// of returns the name for a lane: most tasks that follow each other are of the same.
func (n *laneNames) of(l queue.Lane) string {
	if n.lane != l || n.name == "" {
		n.lane, n.name = l, l.Queue+"/"+l.Type+"/"+strconv.Itoa(int(l.Priority))
	}
	return n.name
}

func newStore(b *broker, cfg *Config) *store {
	s := &store{broker: b, backend: cfg.Backend, run: newCookie()[:16], wake: make(chan struct{}, 1),
		jobs:     storedJobs{byID: map[string]*job{}, leased: map[string]*job{}, dropped: map[string]bool{}},
		fetchers: map[queue.Lane]*fetcher{}}
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

// put stores a job, which is due after a time. The broker holds its mutex.
func (s *store) put(j *job, after time.Duration) {
	s.lastID++
	j.storedAs = fmt.Sprintf("%s-%d", s.run, s.lastID)
	to := j.Lane()
	t := QueuedTask{ID: j.storedAs, Queue: s.names.of(to), Type: to.Type, Body: s.pack(j.payload), Options: j.stored()}
	if after > 0 {
		t.NotBefore = time.Now().Add(after)
	}
	s.mu.Lock()
	s.jobs.byID[t.ID] = j
	s.puts = append(s.puts, storing{j, t})
	s.mu.Unlock()
	wakeUp(s.wake)
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
		var cause error
		if err != nil {
			cause = fmt.Errorf("multiprolab: %v could not be stored: %w", p.job, err)
		}
		b.rules.Stored(&p.job.Task, err == nil, cause)
	}
}

// settle tells the Backend how a job has ended: at once if its lease is here, and else when it
// comes. The broker holds its mutex.
func (s *store) settle(j *job, how queue.Settlement, why error) {
	lease := j.lease
	j.lease = nil
	s.mu.Lock()
	delete(s.jobs.leased, j.storedAs)
	if s.jobs.byID[j.storedAs] == j {
		delete(s.jobs.byID, j.storedAs)
		if how != queue.Keep {
			s.jobs.dropped[j.storedAs] = true
		}
	}
	s.mu.Unlock()
	switch {
	case lease == nil:
	case how == queue.Keep:
		lease.giveBack(0, brief(cmp.Or(why, ErrStopped)), nil)
	case how == queue.GiveUp:
		lease.giveUp(brief(why))
	default:
		lease.done()
	}
}

// putBack gives a job back to the Backend for its next attempt, which is due after a time. The
// broker holds its mutex.
func (s *store) putBack(j *job, after time.Duration, why error) {
	lease := j.lease
	j.lease = nil
	s.mu.Lock()
	delete(s.jobs.leased, j.storedAs)
	s.jobs.byID[j.storedAs] = j
	s.mu.Unlock()
	b := s.broker
	lease.giveBack(after, brief(why), func(err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.rules.Unstored(&j.Task, fmt.Errorf("multiprolab: %v could not be put back into its queue: %w", j, err))
	})
}

// arrive hands a task that was fetched to the broker.
func (s *store) arrive(from queue.Lane, of Lease) {
	lease := newLease(s, of)
	lease.keep()
	if s.arriveOwn(from, lease) {
		return
	}
	b := s.broker
	t := of.Task()
	j, err := s.foreign(t)
	if err != nil {
		s.logf("task %q (id %s) cannot be read and is given up: %v", t.Type, t.ID, err)
		lease.giveUp(err.Error())
		b.mu.Lock()
		defer b.mu.Unlock()
		b.rules.Missed(from)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	j.lease = lease
	if r := b.rules.Found(&j.Task, from, max(of.Attempt()-1, t.Attempts)); r.Refused() {
		lease.giveBack(0, "no worker takes it now", nil)
		return
	}
	s.mu.Lock()
	s.jobs.leased[j.storedAs] = j
	s.mu.Unlock()
}

// arriveOwn hands a task that was fetched to the broker if it is one of this run, and reports
// whether it is.
func (s *store) arriveOwn(from queue.Lane, lease *storedLease) bool {
	id := lease.of.Task().ID
	b := s.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	s.mu.Lock()
	j, dropped := cmp.Or(s.jobs.byID[id], s.jobs.leased[id]), s.jobs.dropped[id]
	delete(s.jobs.byID, id)
	delete(s.jobs.dropped, id)
	if j != nil {
		s.jobs.leased[id] = j
	}
	s.mu.Unlock()
	switch {
	case dropped:
		lease.done()
		b.rules.Missed(from)
	case j != nil:
		old := j.lease
		j.lease = lease
		if b.rules.Arrived(&j.Task) && old != nil { // its lease was lost, and it has come again
			old.forget()
		}
	default:
		return false
	}
	return true
}

// foreign makes a job of a task of an earlier run, or of another main. Nobody waits for it: who did
// then, does not now.
func (s *store) foreign(t QueuedTask) (*job, error) {
	meta, err := unmarshalTaskMeta(t.Options)
	if err != nil {
		return nil, err
	}
	p, err := s.unpack(t.Body)
	if err != nil {
		return nil, err
	}
	meta.Waits, meta.Chain = false, ""
	j := newJob(p, &meta)
	j.storedAs = t.ID
	j.Options = meta.options()
	return j, nil
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
