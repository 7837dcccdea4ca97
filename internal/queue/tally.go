package queue

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/stats"
)

// This file is the counts of each queue and of each type of tasks. A lane has both, so that what
// is counted is counted for its queue, for its type and for all, in one step: the sums agree after
// each event. Names come from users, and only so many of them have counts of their own.

// Stats counts tasks, items of batches each. At any moment
//
//	Received = Succeeded + Failed + Cancelled + Queued + Running
type Stats struct {
	Received  int // taken, or waiting for room
	Succeeded int
	Failed    int
	Cancelled int // by their submitters, or since the program ends
	Queued    int // that no worker has begun
	Running   int
}

// MostNames is how many queues, and how many types of tasks, have counts of their own. If there are
// more, those that have been without a task and a worker for longest are counted together, under
// the empty name.
const MostNames = 1000

// Counts are the tasks of one queue, or of one type.
type Counts struct {
	Name     string // "" for all that have none of their own
	Stats           // Queued is Delayed, Assigned, Blocked and those that wait for a worker
	Delayed  int    // that wait for their time
	Assigned int    // that workers have and have not begun
	Blocked  int    // that wait for room
	Dead     int    // dead letters
	Retried  int    // attempts that were followed by another one
	Times    *Times // of the attempts; nil of a queue, and if none has begun
}

// Times are how long the attempts at the tasks of a type took.
type Times struct {
	Run     stats.Histogram // from the beginning of an attempt to its end
	Wait    stats.Histogram // from when the task could have begun
	Slowest stats.Slowest[Slow]
}

// Slow is an attempt that took long.
type Slow struct {
	Task  ID
	Slot  Slot  // whose worker it was
	Items int32 // of the batch that it was one of; 0: it was of none
	Ended Time
}

// states is how many states a task can be in.
const states = 9

// figures count tasks by what has become of them, and by the states that they are in.
type figures struct {
	received  int         // taken, or waiting for room
	succeeded int         // that have ended with a result
	failed    int         // that have ended with an error
	cancelled int         // by their submitters, or since the program ends
	at        [states]int // of fresh and ended tasks it says nothing
}

// add adds the figures of another one.
func (f *figures) add(o *figures) {
	f.received += o.received
	f.succeeded += o.succeeded
	f.failed += o.failed
	f.cancelled += o.cancelled
	for i, n := range o.at {
		f.at[i] += n
	}
}

// tally is the counts of one name, or of all that have none of their own.
type tally struct {
	figures
	name    string // "" for all that have none of their own
	dead    int    // dead letters
	retries int    // attempts that were followed by another one
	took    *Times // of the attempts; nil of a queue, and if none has begun

	lanes int    // lanes of this name
	place int    // the place in tallies.list; -1: it is not there
	prev  *tally // the one before it in tallies.idle
	next  *tally // the one behind it there
}

// tallied is the counts of a lane.
type tallied struct {
	queue *tally // those of its queue
	typ   *tally // those of its type
	waits int    // tasks that wait for a worker, their key or a throttle
}

// retried counts attempts that are followed by other ones.
func (c *tallied) retried(n int) {
	c.queue.retries += n
	c.typ.retries += n
}

// tallies are the counts of the queues, or of the types.
type tallies struct {
	byName map[string]*tally // those that have a name
	list   []*tally          // the same, in some order
	others tally             // all that have none of their own
	oldest *tally            // the tally that has been idle for longest, or nil
	newest *tally            // the one that has been for shortest
}

// idle reports whether nothing refers to a tally.
func (c *tally) idle() bool { return c.lanes == 0 && c.dead == 0 }

// of returns the tally of a name, to which nothing may refer.
func (s *tallies) of(name string) *tally {
	if c := s.byName[name]; c != nil {
		return c
	}
	return s.add(name)
}

// use returns the tally of a name, for a new lane.
func (s *tallies) use(name string) *tally {
	c := s.of(name)
	s.refer(c, func() { c.lanes++ })
	return c
}

// add makes the tally of a name, unless there are too many that are in use.
func (s *tallies) add(name string) *tally {
	if len(s.list) >= MostNames {
		if s.oldest == nil {
			return &s.others
		}
		s.fold(s.oldest)
	}
	if s.byName == nil {
		s.byName = map[string]*tally{}
	}
	c := &tally{name: name, place: len(s.list)}
	s.byName[name] = c
	s.list = append(s.list, c)
	s.pushIdle(c)
	return c
}

// refer changes what makes a tally idle.
func (s *tallies) refer(c *tally, change func()) {
	was := c.idle()
	change()
	switch {
	case c == &s.others || was == c.idle():
	case was:
		s.dropIdle(c)
	default:
		s.pushIdle(c)
	}
}

// fold counts what an idle tally has counted with the others, and forgets the tally.
func (s *tallies) fold(c *tally) {
	s.dropIdle(c)
	delete(s.byName, c.name)
	last := s.list[len(s.list)-1]
	s.list[c.place], last.place = last, c.place
	s.list[len(s.list)-1] = nil
	s.list = s.list[:len(s.list)-1]
	o := &s.others
	o.figures.add(&c.figures)
	o.retries += c.retries
	if c.took != nil {
		o.times().merge(c.took)
	}
}

// pushIdle puts a tally behind those that are idle.
func (s *tallies) pushIdle(c *tally) {
	c.prev, c.next = s.newest, nil
	if s.newest == nil {
		s.oldest = c
	} else {
		s.newest.next = c
	}
	s.newest = c
}

// dropIdle takes a tally out of those that are idle.
func (s *tallies) dropIdle(c *tally) {
	if c.prev == nil {
		s.oldest = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		s.newest = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}

// times returns the times of the attempts, and makes them if need be.
func (c *tally) times() *Times {
	if c.took == nil {
		c.took = &Times{}
	}
	return c.took
}

// merge takes in the times of another name.
func (t *Times) merge(o *Times) {
	t.Run.Merge(&o.Run)
	t.Wait.Merge(&o.Wait)
	t.Slowest.Merge(&o.Slowest)
}

// SlotCounts are the tasks of the lives of one slot.
type SlotCounts struct {
	Ended int           // attempts, of a batch the items
	Busy  time.Duration // the times that they took, together
}
