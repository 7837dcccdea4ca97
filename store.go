package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/ring"
)

const (
	// storeBatch is how many tasks are stored with one call of Enqueue.
	storeBatch = 128
	// storeFlush bounds what is still said to a Backend at the end.
	storeFlush = 5 * time.Second
)

// store connects the broker to a Backend of the user, which may take its time: the broker never
// waits for it. It exists in main. One goroutine stores the tasks that are submitted, in their
// order, and tells the Backend how leases end. Each lane has a goroutine that fetches as many tasks
// as the rules have asked for.
type store struct {
	// happens has a function tell the rules of tasks what has happened, under the broker's mutex.
	// It never changes.
	happens func(event func(rules *queue.Queue))
	// codec knows the definitions of types that main has met. It never changes, and guards itself.
	codec *codec.Codec
	// logger is where warnings go. It never changes.
	logger *slog.Logger
	// backend is the Backend of the user. It never changes.
	backend backend.Backend
	// fetchers fetch what the Backend has. They guard themselves.
	fetchers fetchers
	// names knows the names of the queues in the Backend.
	names laneNames
	// ids makes the ids of the tasks.
	ids storedIDs

	// ctx is the context of every call of the Backend, apart from those at the end. close ends it.
	ctx context.Context
	// cancel ends ctx. It never changes.
	cancel context.CancelFunc
	// work is the goroutine of the store.
	work sync.WaitGroup

	// mu guards todo, puts and jobs. The mutex of the broker is never locked while it is held.
	mu sync.Mutex
	// todo is what is to be said to the Backend, in order.
	todo ring.Ring[func(ctx context.Context)]
	// puts are the jobs that are to be stored, after what is in todo was said.
	puts []storing
	// wake has room for one: it tells the goroutine that there is something in todo or puts.
	wake chan struct{}
	// jobs are the jobs that the Backend has.
	jobs storedJobs
}

// storedIDs makes the ids of tasks in a Backend. It exists in main; the broker's mutex guards it.
type storedIDs struct {
	// run begins the ids of the tasks of this run, so that they differ from those of other runs.
	run string
	// last is the number of the task that was stored last in this run.
	last uint64
}

// next returns an id that no other task has.
func (ids *storedIDs) next() string {
	ids.last++
	return fmt.Sprintf("%s-%d", ids.run, ids.last)
}

// storedJobs are the jobs that a Backend has, by their ids there. It exists in main; the mutex of
// the store guards it.
type storedJobs struct {
	// byID are the jobs that are to be fetched.
	byID map[string]*job
	// leased are the jobs that have been fetched and have not ended.
	leased map[string]*job
	// dropped are the ids of jobs that have ended before they were fetched.
	dropped map[string]bool
}

// storing is a job that is to be stored. It exists in main, and never changes.
type storing struct {
	// job is the job.
	job *job
	// task is the job in the form in which the Backend gets it.
	task backend.Task
}

// newStore returns the way to the Backend of a config, which is not used before open.
func newStore(c *codec.Codec, cfg *Config, happens func(event func(rules *queue.Queue))) *store {
	s := &store{happens: happens, codec: c, logger: cfg.Logger, backend: cfg.Backend,
		ids: storedIDs{run: newCookie()[:16]}, wake: make(chan struct{}, 1),
		jobs: storedJobs{byID: map[string]*job{}, leased: map[string]*job{}, dropped: map[string]bool{}}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.fetchers = fetchers{ctx: s.ctx, backend: s.backend, desk: s, lanes: map[queue.Lane]*fetcher{}}
	return s
}

// logf logs a warning.
func (s *store) logf(format string, args ...any) {
	s.logger.Warn("multiprolab: " + fmt.Sprintf(format, args...))
}

// open starts the goroutine that talks to the Backend. That goroutine ends with close.
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

// speak says to the Backend what is in todo and puts, until nothing is left there.
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
	goroutine.Wake(s.wake)
}

// put stores a job, which becomes due after a time. The broker holds its mutex.
func (s *store) put(j *job, after time.Duration) {
	j.storedAs = s.ids.next()
	to := j.Lane()
	t := backend.Task{
		ID: j.storedAs, Queue: s.names.of(to), Type: to.Type, Body: s.pack(j.payload), Options: j.stored(),
	}
	if after > 0 {
		t.NotBefore = time.Now().Add(after)
	}
	s.mu.Lock()
	s.jobs.byID[t.ID] = j
	s.puts = append(s.puts, storing{j, t})
	s.mu.Unlock()
	goroutine.Wake(s.wake)
}

// enqueue stores jobs with one call of the Backend, and tells the rules of tasks whether that has
// worked.
func (s *store) enqueue(ctx context.Context, puts []storing) {
	tasks := make([]backend.Task, len(puts))
	for i, p := range puts {
		tasks[i] = p.task
	}
	_, err := s.backend.Enqueue(ctx, tasks...)
	s.happens(func(rules *queue.Queue) {
		for _, p := range puts {
			var cause error
			if err != nil {
				cause = fmt.Errorf("multiprolab: %v could not be stored: %w", p.job, err)
			}
			rules.Stored(&p.job.Task, err == nil, cause)
		}
	})
}

// endLease tells the Backend how a job has ended: at once if the job is leased here; otherwise when
// its lease comes. If it is kept for another run, that has it after a time. The broker holds its
// mutex.
func (s *store) endLease(j *job, how queue.LeaseEnd, after time.Duration, why error) {
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
		lease.giveBack(after, brief(cmp.Or(why, ErrStopped)), nil)
	case how == queue.GiveUp:
		lease.giveUp(brief(why))
	default:
		lease.done()
	}
}

// putBack gives a job back to the Backend for its next attempt, which is due after a time. The
// broker holds its mutex.
func (s *store) putBack(j *job, after time.Duration, why error) {
	lease, id := j.lease, j.storedAs
	j.lease = nil
	s.mu.Lock()
	delete(s.jobs.leased, id)
	s.jobs.byID[id] = j
	s.mu.Unlock()
	lease.giveBack(after, brief(why), func(err error) {
		s.happens(func(rules *queue.Queue) {
			if j.storedAs == id { // else it was a dead letter meanwhile, and is stored anew
				rules.Unstored(&j.Task, fmt.Errorf("multiprolab: %v could not be put back into its queue: %w", j, err))
			}
		})
	})
}

// arrive hands a task that was fetched to the broker.
func (s *store) arrive(from queue.Lane, of backend.Lease) {
	lease := newLease(s, of)
	lease.keep()
	if s.arriveOwn(from, lease) {
		return
	}
	t := of.Task()
	j, err := s.foreign(t)
	if err != nil {
		s.logf("task %q (id %s) cannot be read and is given up: %v", t.Type, t.ID, err)
		lease.giveUp(err.Error())
		s.happens(func(rules *queue.Queue) { rules.Missed(from) })
		return
	}
	s.happens(func(rules *queue.Queue) {
		j.lease = lease
		if r := rules.Found(&j.Task, from, max(of.Attempt()-1, t.Attempts)); r.Refused() {
			lease.giveBack(0, "no worker takes it now", nil)
			return
		}
		s.mu.Lock()
		s.jobs.leased[j.storedAs] = j
		s.mu.Unlock()
	})
}

// try fetches a task of a lane if the Backend has one now, for a request of a worker that does not
// wait. The broker holds its mutex.
func (s *store) try(l queue.Lane, w queue.Worker, n queue.FetchID) {
	s.fetchers.work.Go(func() { // ends when the Backend has answered, or with ctx
		if lease := s.fetchers.find(laneName(l)); lease != nil {
			s.arrive(l, lease)
		} else {
			s.happens(func(rules *queue.Queue) { rules.Missed(l) })
		}
		s.happens(func(rules *queue.Queue) { rules.Tried(w, n) })
	})
}

// sendBack implements fetchDesk.
func (s *store) sendBack(of backend.Lease) { newLease(s, of).giveBack(0, "nobody takes it now", nil) }

// arriveOwn hands a task that was fetched to the broker if the task was stored in this run, and
// reports whether it was.
func (s *store) arriveOwn(from queue.Lane, lease *storedLease) (own bool) {
	id := lease.of.Task().ID
	s.happens(func(rules *queue.Queue) {
		s.mu.Lock()
		j, dropped := cmp.Or(s.jobs.byID[id], s.jobs.leased[id]), s.jobs.dropped[id]
		delete(s.jobs.byID, id)
		delete(s.jobs.dropped, id)
		if j != nil {
			s.jobs.leased[id] = j
		}
		s.mu.Unlock()
		own = dropped || j != nil
		switch {
		case dropped:
			lease.done()
			rules.Missed(from)
		case j != nil:
			old := j.lease
			j.lease = lease
			if rules.Arrived(&j.Task) && old != nil { // the first lease was lost, and the task has come again
				old.forget()
			}
		}
	})
	return own
}

// foreign makes a job of a task that was stored in an earlier run, or by another main. Nobody waits
// for its outcome here.
func (s *store) foreign(t backend.Task) (*job, error) {
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
	return j, j.goOnFrom(t.Checkpoint, s.codec)
}

// pack makes a body for the Backend that can be decoded in another run.
func (s *store) pack(p codec.Payload) []byte { return packBody(s.codec, p) }

// unpack reads what pack wrote.
func (s *store) unpack(b []byte) (codec.Payload, error) { return unpackBody(s.codec, b) }

// close ends the fetching, says to the Backend what is still to be said, and closes the Backend.
func (s *store) close() {
	s.cancel()
	s.fetchers.work.Wait()
	s.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), storeFlush)
	defer cancel()
	s.speak(ctx)
	if err := s.backend.Close(ctx); err != nil {
		s.logf("closing the backend of the task queue: %v", err)
	}
}
