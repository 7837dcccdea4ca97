package multiprolab

import (
	"cmp"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/queue"
)

// broker owns the task queue. It exists in main. Any goroutine may call it, and nothing under its
// mutex waits. What becomes of a task, who works on it and when is decided by the rules in
// internal/queue: the broker tells them what happens, and carries out what they say.
//
// The others of its files: job.go is what it keeps of a task, admission.go takes tasks from their
// submitters, staff.go is the workers and what they say, effects.go what is to be done about it,
// verdicts.go the errors, store.go and fetcher.go the way to a Backend of the user's, loopwaits.go
// who waits for whom.
type broker struct {
	node  *node
	store *store    // the way to a Backend of the user; nil: tasks wait in main's memory
	epoch time.Time // from which the rules count the time

	// mu guards all below, what it says of itself in job, in slot, in peer and in client, and
	// Submission.job.
	mu      brokerMutex
	rules   *queue.Queue
	spare   []queue.Effect // memory that carryOut and the rules use by turns
	timer   *time.Timer    // which calls tick; nil before its first use
	staff   staff
	loops   loopWaits
	recent  *queue.Options  // of the last task that had any: most tasks that follow have the same
	stopped error           // why no new task is taken; or nil
	joiners []chan struct{} // each is closed when no task is left
}

// brokerMutex is the broker's mutex, in main. Who lets it go carries out first what is to be done
// about the events under it, in the order in which they were. Frames are posted then, and written
// when the mutex is free: what one event posts cannot overtake what an earlier one has posted.
type brokerMutex struct {
	lockorder.Mutex[lockorder.Tasks]
	carryOut func()       // does what is to be done about the events so far; the caller holds the mutex
	posted   []*link.Link // to which something was posted that Unlock is to write
	doomed   []doomed     // workers that Unlock is to have killed
}

// doomed is a worker that is to be killed with its task, and why.
type doomed struct {
	peer *peer
	why  string
}

// Unlock implements sync.Locker. It never waits for a pipe, nor for a worker.
func (m *brokerMutex) Unlock() {
	m.carryOut()
	var few [2]*link.Link // mostly that is enough, and no memory is needed
	posted := append(few[:0], m.posted...)
	clear(m.posted)
	m.posted = m.posted[:0]
	kill := m.doomed
	m.doomed = nil
	m.Mutex.Unlock()
	for _, l := range posted {
		l.Push()
	}
	for _, d := range kill {
		go d.peer.killWithTask(d.why) // ends when the worker has printed its stacks, or after quitTimeout
	}
}

// now is the time as the rules count it.
func (b *broker) now() queue.Time { return time.Since(b.epoch) }

// wake has tick called at a moment, and at no other. If that has passed it does nothing, and
// reports so.
func (b *broker) wake(at queue.Time) (passed bool) {
	wait := at - b.now()
	switch {
	case wait <= 0:
		return true
	case b.timer == nil:
		b.timer = time.AfterFunc(wait, b.tick)
	default:
		b.timer.Reset(wait)
	}
	return false
}

// tick has the rules do what is to be done by now. It runs on a goroutine of the timer.
func (b *broker) tick() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules.Tick(b.now())
}

// pause stops handing out the tasks of a queue or, with "", of every queue, or goes on with it.
func (b *broker) pause(queue string, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules.Pause(queue, on)
}

// stop refuses new tasks with err. Unless drain is set, those that no worker has end with it as
// well. The first error stands.
func (b *broker) stop(err error, drain bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = cmp.Or(b.stopped, err)
	b.rules.Stop(drain)
}

// join returns a channel that is closed when no task is left.
func (b *broker) join() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := make(chan struct{})
	if b.rules.Live() == 0 {
		close(done)
	} else {
		b.joiners = append(b.joiners, done)
	}
	return done
}

// count counts the tasks.
func (b *broker) count() TaskStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.rules.Stats()
	return TaskStats{
		Received:  uint64(s.Received),
		Succeeded: uint64(s.Succeeded),
		Failed:    uint64(s.Failed),
		Cancelled: uint64(s.Cancelled),
		Queued:    uint64(s.Queued),
		Running:   uint64(s.Running),
	}
}

// submitted returns the job that a worker, or with nil main, has submitted under a number and that
// has no outcome, or nil. The caller holds the mutex.
func (b *broker) submitted(by *client, id uint64) *job {
	if by == nil {
		if s := b.node.submission(id, false); s != nil {
			j, _ := s.job.(*job)
			return j
		}
		return nil
	}
	if t := b.rules.Submitted(by.number, id); t != nil {
		return jobOf(t)
	}
	return nil
}
