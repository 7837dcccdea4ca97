package multiprolab

import (
	"cmp"
	"math"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/recorder"
	"github.com/multiprolab/multiprolab/internal/store"
)

// broker owns the task queue. It exists in main. Any goroutine may call it, and nothing waits while
// its mutex is held. The rules in internal/queue decide what becomes of a task, who works on it and
// when: the broker tells them what happens, and carries out what they say.
//
// Its other files are: job.go is what it keeps of a task; admission.go takes tasks from their
// submitters; staff.go and roster.go are the workers and what they say; effects.go carries out what
// the rules say; verdicts.go makes the errors; deadletters.go is the list of dead letters;
// throttle.go is the limits of tasks; loopwaits.go is who waits for whom.
type broker struct {
	// node is main as a process. It never changes.
	node *node
	// store is the way to a Backend of the user. It is nil if tasks wait in main's memory. It never
	// changes, and has a lock of its own.
	store *store.Store
	// epoch is the moment from which the rules count the time. It never changes.
	epoch time.Time

	// mu guards rules, spare, timer, staff, loops, recent, stopped, heir and joiners, queuedTask,
	// and those fields of job, slot, peer and client whose comments name the broker's mutex.
	mu brokerMutex
	// rules are the rules of tasks.
	rules *recorder.Tasks
	// spare is memory for effects that carryOut and the rules use by turns.
	spare []queue.Effect
	// timer calls tick when the rules have asked for that; nil before its first use.
	timer *time.Timer
	// staff is the workers that may work on tasks.
	staff staff
	// loops is who waits for whom.
	loops loopWaits
	// defaults is the options of tasks that their submitters have left zero. It does not change
	// once the program runs.
	defaults taskDefaults
	// recent is the options of the latest task that had any: most tasks that follow it have the
	// same.
	recent meta.Recent
	// stopped is why no new task is taken, or nil.
	stopped error
	// heir is given each task that ends only because the program does, and that nobody has begun
	// with; or nil. due is when the task would be due, from now on.
	heir func(j *job, due time.Duration)
	// dog is the watchdog.
	dog watchdog
	// joiners are channels that are closed, each once, when no task is left.
	joiners []chan struct{}
}

// brokerMutex is the broker's mutex, in main. Unlock first carries out what the rules have said to
// the events since Lock, in their order. Frames are posted before the mutex is free, and written
// after that: so what one event posts cannot overtake what an earlier event has posted.
type brokerMutex struct {
	// Mutex is the lock itself. Who locks it alone carries out nothing.
	lockorder.Mutex[lockorder.Tasks]
	// carryOut carries out what the rules have said to the events so far. The caller holds the
	// mutex. It never changes.
	carryOut func()
	// posted are the links that have frames which Unlock is to write. The mutex guards them.
	posted []*link.Link
	// doomed are the workers that Unlock is to have killed. The mutex guards them.
	doomed []doomed
}

// doomed is a worker that is to be killed together with its task. It exists in main; the mutex of
// the broker guards it.
type doomed struct {
	// peer is the life of the worker.
	peer *peer
	// why is the reason, for people.
	why string
}

// Unlock implements sync.Locker. It waits neither for a pipe nor for a worker.
func (m *brokerMutex) Unlock() {
	m.carryOut()
	var few [2]*link.Link // mostly these are enough, and nothing is allocated
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

// watchdog finds a task that waits long beside a worker that could have it, which the rules of
// tasks do not let happen. It exists in main; the broker's mutex guards it. It looks only while
// there are tasks.
type watchdog struct {
	// alarm is told of such a task. It does not change after New.
	alarm func(task string)
	// neglected returns such a task, or nil. It is the method of the rules, but in tests.
	neglected func() *queue.Task
	timer     *time.Timer // calls look; nil before its first use
	set       bool        // the timer runs
	seen      queue.ID    // the task that waited when the watchdog last looked, or 0
	told      bool        // alarm was called
}

// now returns the time as the rules count it.
func (b *broker) now() queue.Time { return time.Since(b.epoch) }

// wake sets the timer: tick is called at this moment, and at no other. If the moment has passed,
// wake does nothing and returns true.
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

// happens has a function tell the rules what has happened.
func (b *broker) happens(event func(rules *queue.Queue)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules.Opaque("what a Backend has said")
	event(b.rules.Queue)
}

// tick tells the rules the time, so that they do what is due. It runs on a goroutine of the timer.
func (b *broker) tick() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules.Tick(b.now())
}

// pause stops the handing out of tasks, if on is set, or lets it go on. It concerns one queue or,
// if the name is "", every queue.
func (b *broker) pause(queue string, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules.Pause(queue, on)
}

// pauseUntil is pause up to a time of day, as far away as that is now.
func (b *broker) pauseUntil(queue string, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.rules.PauseUntil(queue, now+min(time.Until(until), math.MaxInt64-now), now)
}

// stop refuses new tasks with an error. If drain is not set, the tasks that no worker has end with
// that error as well. The error of the first call stands.
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

// count returns how many tasks there are and were.
func (b *broker) count() TaskStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return taskStats(b.rules.Stats())
}

// taskStats returns counts of the rules as users see them.
func taskStats(s queue.Stats) TaskStats {
	return TaskStats{
		Received:  uint64(s.Received),
		Succeeded: uint64(s.Succeeded),
		Failed:    uint64(s.Failed),
		Cancelled: uint64(s.Cancelled),
		Queued:    uint64(s.Queued),
		Running:   uint64(s.Running),
	}
}

// submitted returns the job without an outcome that a worker, or main if by is nil, has submitted
// under this number. It returns nil if there is none. The caller holds the mutex.
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
