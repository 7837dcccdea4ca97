package queue

import (
	"slices"

	"github.com/multiprolab/multiprolab/internal/ring"
)

// Config is what a Queue is told at its beginning.
type Config struct {
	Limit      int                // how many tasks may wait that are due; beyond it submitters wait
	LimitBytes int                // how many bytes the waiting tasks may have; see Queue.Allow
	DeadLimit  int                // how many dead letters are kept; beyond it the oldest are dropped
	Stored     bool               // tasks wait in a Backend of the user's
	Rand       func() float64     // a random number from 0 on, below 1, for pauses
	Busy       func(w Worker) int // the messages and calls that a worker has to handle; asked at ties alone
}

// Queue is the books of the tasks. Whoever calls its methods guards it with a lock, and does so in
// one way each time: the event, then its effects in their order, then what they have asked for at
// once (Tick, Unsent, Stored), and then the lock is let go, and what was posted is written.
//
// An event changes the state of tasks and workers, and notes which lanes have a new first task and
// which workers may have room. Its last step hands out what can be: no event leaves a task in its
// lane beside a worker that could have it.
type Queue struct {
	cfg     Config   // as New was told
	effects []Effect // what is to be done and was not taken yet, in its order; emit adds to it
	figures figures  // the counts for users; move, enter, tally and Split keep them, and those of queues and types
	queues  tallies  // the same of each queue
	types   tallies  // the same of each type
	timers  timers   // what waits for a time
	stopped bool     // no new task is taken
	halted  bool     // no new task is taken, and no queued task is handed out

	lastID    ID                   // the last id that was given to a task
	live      int                  // how many tasks have not ended, wherever they are
	out       map[ID]*Task         // the tasks that workers have, by their ids; workers speak of no others
	submitted map[submission]*Task // the tasks that workers have submitted and that have not ended
	blocked   list                 // tasks that wait for room, in the order in which they get it
	waiting   int                  // how many tasks count for Config.Limit
	bytes     int                  // the bytes of the tasks that count for Config.LimitBytes
	assigned  int                  // how many tasks workers have and have not begun
	aways     uint64               // how often a task was taken from a worker that had not begun it for some time
	batches   []*Task              // batches that run, in the order in which they began
	dead      ring.Ring[*Task]     // dead letters, the oldest first; they have ended

	byLane map[laneKey]*lane    // laneOf makes the lanes, dropLane forgets them
	lanes  []*lane              // the lanes in byLane
	sticky int                  // how many of them are of sticky tasks
	recent *lane                // the last lane that laneOf has returned and nobody waits for, or nil
	keys   map[string]*keyState // the keys that tasks or throttles need; newKey and dropKey keep them
	pauses []queuePause         // what is paused, each queue at most once

	throttles []*throttle // in the order in which they were set
	behind    [][]*lane   // the lanes whose tasks all go through the gate of each of throttles
	keyList   []*keyState // what is in keys
	spareKey  *keyState   // was forgotten, and can be used again; or nil

	pools   []*pool             // all pools, in the order in which they were added
	slots   map[Slot]*slot      // the slots of the pools, and removed slots that may still have a life
	workers map[Worker]*worker  // the workers that are ready
	ready   []*worker           // the same workers, in the order in which they became ready
	kinds   []*kind             // the kinds of these workers
	stirred pile[*lane, byStir] // lanes that have a new first task
	woken   ring.Ring[*worker]  // workers that may have room, or nothing to do
	demands bool                // there may be more room with the workers for tasks of the Backend, or less
}

// submission is a submitter's own number of a task.
type submission struct {
	from   Submitter // who has submitted the task
	number uint64    // the number that the submitter has given the task
}

// queuePause is that the tasks of a queue, or with "" of every queue, are not handed out.
type queuePause struct {
	queue string // the queue, or ""
	until Time   // when it ends, or never
}

// New returns an empty Queue.
func New(c Config) *Queue {
	return &Queue{
		cfg:       c,
		timers:    timers{lookout: never, resumes: never, wakes: never},
		out:       map[ID]*Task{},
		submitted: map[submission]*Task{},
		byLane:    map[laneKey]*lane{},
		keys:      map[string]*keyState{},
		slots:     map[Slot]*slot{},
		workers:   map[Worker]*worker{},
	}
}

// Effects returns what is to be done about the events since the last call, in order. The Queue
// keeps spare, which the caller does not use any more: two slices that change places are memory
// enough.
func (q *Queue) Effects(spare []Effect) []Effect {
	clear(spare)
	effects := q.effects
	q.effects = spare[:0]
	return effects
}

// emit adds an effect.
func (q *Queue) emit(e Effect) { q.effects = append(q.effects, e) }

// move brings a task into another state. It is the only place that does, and keeps the counts.
func (q *Queue) move(t *Task, to state) {
	q.weigh(t, t.state, -1)
	q.weigh(t, to, 1)
	n := t.count()
	for _, f := range q.figuresOf(t.lane) {
		f.at[t.state] -= n
		f.at[to] += n
	}
	t.state = to
}

// weigh counts a task in a state, or with -1 does so no more.
func (q *Queue) weigh(t *Task, s state, by int) {
	switch s {
	case fresh, ended:
		return
	case running:
		return
	case blocked:
		t.lane.blocked += by
	case parked:
		t.lane.parked += by
	case assigned:
		q.assigned += by
	}
	if s.waits() {
		q.waiting += by
		t.lane.waits += by * t.count()
	}
	if s.weighs() {
		q.bytes += by * t.bytes()
	}
}

// figuresOf returns the figures of a lane: those of all, of its queue and of its type.
func (q *Queue) figuresOf(l *lane) [3]*figures {
	return [...]*figures{&q.figures, &l.queue.figures, &l.typ.figures}
}

// unheld returns the tasks that no worker has, of those lanes that ok is true for, in the order of
// their submission.
func (q *Queue) unheld(ok func(l *lane) bool) []*Task {
	var found []*Task
	blocked := false
	for _, l := range q.lanes {
		if ok(l) {
			found = l.appendUnheld(found)
			blocked = blocked || l.blocked > 0
		}
	}
	for t := q.blocked.first; blocked && t != nil; t = t.next {
		if ok(t.lane) {
			found = append(found, t)
		}
	}
	sortByAge(found)
	return found
}

// sortByAge puts tasks into the order of their submission.
func sortByAge(tasks []*Task) {
	slices.SortFunc(tasks, func(a, b *Task) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
}

// heldBy returns the tasks that a worker has, in the order of their submission.
func heldBy(w *worker) []*Task {
	held := w.held.appendTo(nil)
	sortByAge(held)
	return held
}

// stir notes that a lane has a new first task.
func (q *Queue) stir(l *lane) {
	if l.stirred == 0 && l.open() {
		q.stirred.push(l)
	}
}

// wake notes that a worker may have room, or nothing left to do.
func (q *Queue) wake(w *worker) {
	if !w.woken {
		w.woken = true
		q.woken.Push(w)
	}
}

// look finds the workers that have nothing to do something that others hold.
func (q *Queue) look() {
	for _, w := range q.ready {
		if w.idle() {
			q.wake(w)
		}
	}
}

// idleFor reports whether a worker has nothing to do that could have a task which another one has.
func (q *Queue) idleFor(t *Task) bool {
	for _, w := range q.ready {
		if w != t.holder && w.idle() && w.mayHave(t.lane) {
			return true
		}
	}
	return false
}

// isPaused reports whether the tasks of a queue are not handed out.
func (q *Queue) isPaused(queue string) bool {
	return slices.ContainsFunc(q.pauses, func(p queuePause) bool { return p.queue == "" || p.queue == queue })
}
