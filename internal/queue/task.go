package queue

import (
	"math"
	"time"
)

// The states of a task, and what each event does in each of them. TestTable tries every cell. What
// is not named leaves the task as it is. "Ends" means with its one outcome, after which nothing of
// the task remains in the books. To condemn a task means that the end of its attempt is certain
// while its worker still has it.
//
//	blocked    waits for room in the queue
//	delayed    waits for its time; with a Backend it does so there
//	stored     is in a Backend, and due
//	queued     is in its lane, and waits for a worker, or for a throttle of its lane; with a
//	           Backend, it is leased from here on
//	parked     has come to the front of its lane while its key held it up: another task had it, or
//	           as many as a throttle allows, or the throttle had no token
//	assigned   was sent to a worker, its holder; it may be recalled, or condemned, or both
//	running    the holder has begun; any may be condemned, a batch recalled, and then cut
//	ended      has its outcome; a Backend may keep it for the next run
//
// What a submitter does:
//
//	Submit     blocked if the queue is full, else as "room". It is refused, and there is no task,
//	           if the program ends, if no worker takes it nor may turn out to, if all who do wait
//	           for it, or if the queue is full and the submitter does not wait. A number that the
//	           submitter uses already is a lie.
//	Cancel     blocked to parked: ends. assigned, running: condemned; one that was condemned since
//	           its time was over is not attempted again. ended: it came late, and is dropped.
//	Refuse     the submitter must not wait: as Cancel, as the end of a circle of waits.
//
// What comes by time, with Tick:
//
//	due        delayed: queued; with a Backend it arrives then.
//	timeout    running: condemned.
//	grace      running, condemned: the holder is asked for its stacks, and then killed.
//	sits       assigned: recalled, if another worker has nothing to do.
//	lookout    running, a batch of some time: recalled, if another worker has nothing to do.
//
// What the holder does:
//
//	Began      assigned: running; if it is condemned, its grace begins. Else a lie.
//	Ended      running: ends. After a failure with attempts left: delayed, or queued if there is
//	           no pause; after the last of several it is a dead letter as well. If the handler
//	           asks for a later time: delayed, and the attempt does not count. What has condemned
//	           a task is how its attempt ends, whatever comes; so is its timeout if the holder
//	           says that it was late. assigned, condemned: that it was cancelled ends it. All else
//	           is a lie (and the task has begun, whatever the holder says); so are more outcomes
//	           than a batch has items, and none at all. What comes when the holder is being killed
//	           for the task is dropped: its death is how the attempt ends.
//	Returned   assigned, recalled: queued, before those that have not been out; if it is condemned
//	           it ends, and so it does if no worker is left that takes it. Else a lie.
//	Split      running, recalled, a batch: cut, and smaller by what has not begun. A second one,
//	           one that is out of range, and all else is a lie.
//	Checkpoint running: kept for the next attempt, in place of the last one; dropped if it is of a
//	           batch of several. Else a lie.
//	Leave      assigned: queued, before those that have not been out; if it is condemned it ends.
//	           running: as Ended with the death; what a batch had finished stands.
//	Retire     assigned: recalled. The holder gets nothing new.
//	Unsent     assigned: ends as failed. No worker can be sent it.
//
// What others do:
//
//	room       blocked: queued, or delayed, or with a Backend on its way there, in order.
//	a worker   queued: assigned, if it is the next that the worker may have: of its queues and
//	gets room  types, not paused, not waited for by itself; of the highest priority the oldest. If
//	           its key is taken: parked, and the next is looked at. If there is none for a worker
//	           with nothing to do, what others were given ahead, or a batch, is recalled for it.
//	key freed  parked: queued, the first of each lane. So it is when a token comes, or a throttle
//	           is changed; a lane that was shut is looked at as if its first task had just come.
//	Pause      assigned, of the queue: recalled.
//	Enter,     blocked to parked: ends, if no worker is left that takes it or may turn out to: as
//	Retire,    unknown, or as one whose workers are gone if one that took it is, or as a circle if
//	Gone,      those that take it wait for it. A Backend keeps what nobody in this run has
//	Remove     submitted.
//	Cancel-    blocked to parked, of the queue: ends.
//	 Pending
//	Stop       without drain, blocked to parked: ends as stopped, and a Backend that has it keeps
//	           it. assigned: the same when it comes back. running: the attempt is the last; a
//	           Backend keeps the task if it would have had another. With drain no new task is
//	           taken.
//	End        ends as stopped, whatever it is; a Backend that has it keeps it.
//
// What a Backend does:
//
//	Stored     ok: the submitter is told. Else ends as failed. About an earlier Store, from before
//	           the task was a dead letter: nothing.
//	Arrived    delayed, stored: queued. ended: the Backend is told. Any other: its lease was lost,
//	           and this is the new one.
//	Found      a task of an earlier run: queued if a worker takes it; else it is refused.
//	Unstored   delayed, stored: ends as failed. It could not be given back for its next attempt.
type state uint8

const (
	fresh state = iota // not in the books yet
	blocked
	delayed
	stored
	queued
	parked
	assigned
	running
	ended
)

// waits reports whether a task in this state counts for the limit of tasks.
func (s state) waits() bool { return s == stored || s == queued || s == parked }

// weighs reports whether a task in this state counts for the limit of bytes.
func (s state) weighs() bool { return s == delayed || s.waits() }

// Fault is a set of failures.
type Fault uint8

// The faults that are worth another attempt.
const (
	Deaths Fault = 1 << iota
	Timeouts
	Errors
)

// Options are what tasks have in common that were submitted alike. They are not changed after the
// first Submit with them. The zero value is good, and so is none.
type Options struct {
	Timeout  time.Duration // of an attempt; 0 is no limit
	Grace    time.Duration // from the end of that, or from Cancel, to the kill; 0 is defaultGrace
	Delay    time.Duration // before which the task is not begun
	Attempts int           // that may begin; 0 is 1
	Key      string        // of which one task at a time is with a worker; "" is none
	Sticky   bool          // the task goes to the home of its key
	On       Fault         // worth another attempt; 0 is all
	First    time.Duration // the pause before the second attempt; 0 is defaultFirst
	Factor   float64       // by what the pause grows with each; 0 is 2
	Max      time.Duration // the longest pause; 0 is defaultMax
}

const (
	defaultGrace = time.Second
	defaultFirst = 100 * time.Millisecond
	defaultMax   = 30 * time.Second
)

// standard is the options of a task that has none.
var standard Options

// Task is a task as main sees it, from its submission to its one outcome. The caller fills in the
// exported fields before Submit or Found, and changes none of them after. Only the rules
// touch the others. A million of them may wait, so that its size is held by a test.
type Task struct {
	Data    any       // the caller's: the body and all that the rules need not know
	Options *Options  // shared by many; nil is the zero value
	Number  uint64    // the submitter's own number for it; 0: nobody waits for the outcome
	Size    int       // of the body in bytes
	From    Submitter // who has submitted it
	Items   int32     // of a batch that are still in it, or 0 if it is none; Split lowers it

	attempts int32   // that have begun and count
	storing  int32   // Stores of it that the Backend has not answered yet: several if it was a dead letter meanwhile
	id       ID      // given by Submit
	lane     *lane   // that it belongs to, wherever it is
	prev     *Task   // the one before it in the list that it is in
	next     *Task   // the one behind it there
	holder   *worker // that has it, while it is assigned or running; else nil
	at       Time    // when its alarm goes off, while place says that it is set
	began    Time    // when the attempt that runs has begun; before that, when it could have
	place    int32   // in timers.alarms, or in lane.front, from 1; below 0: in timers.unstamped; 0: in none

	what      alarm     // what is to be done when the alarm goes off
	state     state     // changed by Queue.move alone
	condemned condemned // what the end of this attempt will be, while its holder still has it
	sat       uint8     // how often it was recalled because its holder had not begun for some time
	front     bool      // it has been out, or parked: in its lane it stands before those that have not
	paid      bool      // it has its tokens, and they are not used up
	recalled  bool      // the holder was asked to give it, or the rest of a batch, back
	cut       bool      // the holder has answered that with Split
	kept      bool      // it has ended only because the program did: the Backend keeps it
	origin    origin    // where it comes from, if nobody waits for it
	Saved     uint16    // the size of its last checkpoint in KiB, rounded up; from then on Checkpoint changes it
}

// origin says where a task comes from.
type origin uint8

const (
	submitted origin = iota // somebody in this run has submitted it
	found                   // it was found in the Backend: nobody in this run waits for it
	revived                 // it was a dead letter, and becomes one again if it does not succeed
	resumed                 // an earlier program has accepted it: it becomes a dead letter if it does not succeed
)

// condemned is what is certain about the end of an attempt.
type condemned uint8

const (
	spared    condemned = iota // nothing is
	byCancel                   // Cancel
	byTimeout                  // its time is over
	byCircle                   // Refuse
)

// verdict is the end of an attempt that is condemned.
func (c condemned) verdict() Verdict {
	return Verdict{Kind: [...]Kind{byCancel: Cancelled, byTimeout: TimedOut, byCircle: Cycle}[c]}
}

// ID is the number of the task, from its submission on.
func (t *Task) ID() ID { return t.id }

// Kept reports whether the task has ended only because the program does: with its options and its
// body, another program can go on with it.
func (t *Task) Kept() bool { return t.kept }

// Begun is how many attempts have begun and count.
func (t *Task) Begun() int { return int(t.attempts) }

// Resume says, before Submit, that an earlier program has accepted the task, and how many attempts
// at it have begun there.
func (t *Task) Resume(attempts int) { t.attempts, t.origin = int32(attempts), resumed }

// Attempt is the number of the attempt that runs or comes next, from 1.
func (t *Task) Attempt() int {
	if t.state == running {
		return int(t.attempts)
	}
	return int(t.attempts) + 1
}

// Lane is what the task has in common with those that wait in line with it.
func (t *Task) Lane() Lane { return t.lane.Lane }

// Ended reports whether the task has its outcome.
func (t *Task) Ended() bool { return t.state == ended }

// Holder is the worker that has the task, or 0.
func (t *Task) Holder() Worker {
	if t.holder == nil {
		return 0
	}
	return t.holder.id
}

// State is the state of the task in a word, for who looks into the books, with a mark behind a plus
// for what is to become of it at its holder: r if it was recalled, x if it was cut, c if it is
// condemned, k if the holder is being killed.
func (t *Task) State() string {
	word := [...]string{
		"fresh", "blocked", "delayed", "stored", "queued", "parked", "assigned", "running", "ended",
	}[t.state]
	if t.holder == nil {
		return word
	}
	marks := ""
	for _, m := range []struct {
		is   bool
		mark string
	}{{t.recalled, "r"}, {t.cut, "x"}, {t.condemned != spared, "c"}, {t.holder.doomed, "k"}} {
		if m.is {
			marks += m.mark
		}
	}
	if marks != "" {
		word += "+" + marks
	}
	return word
}

// options are those of the task.
func (t *Task) options() *Options {
	if t.Options == nil {
		return &standard
	}
	return t.Options
}

// delay is the time before which a task that is taken is not due. What has been a dead letter has
// had its delay.
func (t *Task) delay() time.Duration {
	if t.origin == revived {
		return 0
	}
	return t.options().Delay
}

// key is the key of the task, or "".
func (t *Task) key() string { return t.options().Key }

// key is the key of a task, or "".
func (o *Options) key() string {
	if o == nil {
		return ""
	}
	return o.Key
}

// bucket is the bucket of a task that is sticky, or 0.
func (o *Options) bucket() Bucket {
	if o == nil || !o.Sticky || o.Key == "" {
		return 0
	}
	return BucketOf(o.Key)
}

// allowed is how many attempts may begin.
func (t *Task) allowed() int32 { return int32(min(max(1, t.options().Attempts), math.MaxInt32)) }

// Grace is the time that a condemned attempt has to end by itself.
func (t *Task) Grace() time.Duration {
	if d := t.options().Grace; d > 0 {
		return d
	}
	return defaultGrace
}

// lead is the end of the grace, in which the worker can say where it is.
func (t *Task) lead() time.Duration { return min(dumpTime, t.Grace()/2) }

// count is the number of tasks that the task counts for.
func (t *Task) count() int { return max(1, int(t.Items)) }

// bytes is what the task counts for in the limit of bytes.
func (t *Task) bytes() int { return taskCost + t.Size + int(t.Saved)<<10 }

// taskCost is what a task counts for beyond its body and its checkpoint, in bytes.
const taskCost = 1 << 10
