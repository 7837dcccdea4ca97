// Package queue is the rules of tasks: what becomes of each, who works on it, and when. It belongs
// to main. It decides and does nothing else: there is no goroutine, lock, clock, pipe or text in
// it, and it never looks into the body of a task. Main's broker guards it, tells it what happens
// and carries out what it says.
//
// What happens is told by calling a method of Queue, an event. What is to be done about it is in a
// list of effects, which the caller takes with Effects after each event and carries out in its
// order. Whoever calls guards the Queue with a lock, posts the frames of the effects while it holds
// the lock, so that two events cannot swap them, and writes and spawns and kills only after it.
//
// A task has a table of states and events, which is in task.go. The files in the order in which
// they build on each other:
//
//	names.go effect.go lie.go refusal.go          what comes in and goes out
//	tally.go                                      what is counted
//	gate.go task.go list.go pile.go lane.go       what there is: limits, tasks, where they wait,
//	kind.go worker.go place.go key.go timers.go   workers and what they take, times
//	queue.go                                      the books, which all below write
//	line.go keys.go pass.go end.go admit.go       steps: what is done to one task
//	servable.go recall.go condemn.go hand.go
//	submit.go staff.go attempt.go pulls.go        events
//	pause.go throttle.go tick.go stored.go dead.go
//	stats.go counts.go waits.go                   what others ask
package queue

import "time"

// Time is a moment: how long after the beginning of the caller's clock it is. Events have one as an
// argument where it decides something, and only there.
type Time = time.Duration

// never is the moment that does not come.
const never = Time(1<<63 - 1)

// after returns the moment a time after another one. A time without end stays one.
func after(now Time, d time.Duration) Time {
	if d > never-now {
		return never
	}
	return now + d
}

// ID is the number of a task, in the order of submission. The first is 1.
type ID uint64

// Worker is one life of a worker, from the moment when it becomes ready. The caller numbers them,
// from 1, in any order, and uses no number twice.
type Worker uint32

// Slot is the place that one life of a worker after the other fills. The caller numbers them from
// 1.
type Slot uint32

// Pool is the slots whose workers are set up alike. The caller numbers them from 1.
type Pool uint32

// Submitter is who submits a task: 0 is main, others are lives of workers, numbered by the caller.
type Submitter uint32

// FetchID is a worker's own number for its request for a task.
type FetchID uint64

// Priority orders tasks that wait for the same workers: the highest goes first.
type Priority int8

// The priorities.
const (
	Low    Priority = -1
	Normal Priority = 0
	High   Priority = 1
)

// Lane is what tasks have in common that wait in one line.
type Lane struct {
	Queue    string
	Type     string
	Priority Priority
}

// Tally is the outcomes of the items of a batch that have one, in their order from the first item
// on.
type Tally struct {
	OK     int32
	Failed int32
	Later  int32 // the items come again as tasks of their own, after a time that they have asked for
}

// count is how many items have an outcome.
func (t Tally) count() int { return int(t.OK) + int(t.Failed) + int(t.Later) }

// Kind says how an attempt, or a task, has ended.
type Kind uint8

// The kinds. The first five may be said of an attempt, all of a task.
const (
	Done      Kind = iota // with a result
	Failed                // with an error of the handler, or of what decodes, encodes or stores it
	Died                  // the worker has ended meanwhile
	TimedOut              // the time of the attempt was over
	Cancelled             // by its submitter, or with CancelPending
	Stopped               // the program ends
	NoWorker              // the last worker that took it has ended for good
	Unknown               // no worker takes its type, or will
	Cycle                 // only workers take it that wait for it
)

// Verdict is how an attempt has ended, as the caller has classified it.
type Verdict struct {
	Kind  Kind
	Final bool          // Failed: another attempt would fail as well, or the handler says that it is the last
	Batch bool          // Done: the result is that of a batch
	Late  bool          // the time of the attempt was over, by the clock of the worker
	Kept  bool          // the worker has died: Items is what had been finished, and one item at most is to blame
	After time.Duration // Failed: the handler asks to be called again after this time, without a verdict
	Items Tally         // what became of the items of a batch
	Took  time.Duration // how long the attempt took by the clock of the worker; 0: only main's says
	Cause any           // the caller's result or error, which the rules only pass on
}
