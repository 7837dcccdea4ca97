package fleet

import "time"

// Pool names what one registration asked for: identical workers. Pools are numbered from 0 in the
// order in which they were added.
type Pool uint32

// Slot names the place of one worker. It outlasts the lives that fill it one after the other. Slots
// are numbered from 1 as they come, and no number is used twice.
type Slot uint32

// Ask names one request for the replacement of a worker.
type Ask uint32

// Mode says how the program ends. The values are those of the shell's shutdown modes.
type Mode uint8

const (
	// FinishRunning lets each worker finish what it is working on.
	FinishRunning Mode = iota
	// DrainQueue lets the workers go on until the shell calls End, and then as FinishRunning. It is
	// also how a worker ends that is replaced or taken away while the program goes on.
	DrainQueue
	// KillAll ends the workers at once, and heeds no order between them.
	KillAll
)

// Kind says what an effect asks of the shell.
type Kind uint8

const (
	// Place: there is a new slot. The shell makes what belongs to it, and keeps what an earlier
	// slot with this Pool and Index has left behind for it.
	Place Kind = iota + 1
	// Spawn: the life with the number Life begins in the Slot. The shell starts a process and tells
	// Started, Greeted, Up and Ended, as far as it comes.
	Spawn
	// Promote: the spare that stands by in From takes the place of the Slot, where it is the life
	// with the number Life, and ready. What the shell tells of it concerns the Slot from now on.
	Promote
	// Lend: the spare that stands by in From works on the tasks of the Slot from now on, as the
	// life with the number Life, while the present life of the Slot is killed. What the shell tells
	// of the spare concerns From until a Promote. If none comes, the spare is led out.
	Lend
	// Retire: the worker is to be given nothing new. The shell tells Idle once it holds nothing.
	Retire
	// LeadOut: the life is to end, in Mode: the exit message, SIGTERM and SIGKILL, each with its
	// time. ForGood says that no other life follows, and Reason why it ends. One that has not said
	// hello is killed. What the worker has not begun goes to others.
	LeadOut
	// Down: the life with the number Life has ended. Failed, Restart and After are what the shell
	// tells those who watch. It comes without a process too, if a life could not begin: then no
	// Spawn has named it, and Reason says why.
	Down
	// Bury: no life of the Slot follows, for a Reason. What waits for it fails. It is the last
	// effect that names the slot, except for Replaced.
	Bury
	// Replaced: the Ask has its answer. Its Reason is none if the replacement is ready, or not
	// needed any more.
	Replaced
	// AllUp: the program has started. It comes once at most, and only before its end is asked for.
	AllUp
	// Release: main begins to handle messages. It comes with AllUp, and without it if the last
	// worker becomes ready while the queue is drained.
	Release
	// EndProgram: the shell ends the program as with Exit(FinishRunning), which has been noted
	// already. Its error is the Reason for which the Slot has failed.
	EndProgram
	// AllGone: every slot has been buried after End. It is the last effect of all.
	AllGone
	// Wake: the shell is to call Tick at the time At, and not at the time of an earlier Wake. At is
	// Never if there is nothing to wait for.
	Wake
)

// Never is the time of a Wake that does not come.
const Never = time.Duration(-1)

// Effect is what the shell has to do. Only the fields that its kind names are set.
type Effect struct {
	// Kind says what is to be done.
	Kind Kind
	// Slot is whom it concerns.
	Slot Slot
	// Pool is that of a new slot.
	Pool Pool
	// Index is the number of a new slot within its pool, or among the pool's spares.
	Index int
	// Spare says that a new slot is for spares.
	Spare bool
	// From is the slot that a spare leaves.
	From Slot
	// Life is the number of a life, from 1, counted over all slots that had the place.
	Life int
	// Ask is the request that has its answer.
	Ask Ask
	// Mode is how a life is led out.
	Mode Mode
	// ForGood says that no other life of the slot follows.
	ForGood bool
	// Failed says that a life has ended with an error that is its own.
	Failed bool
	// Restart says that another life follows.
	Restart bool
	// After is the pause before the next life.
	After time.Duration
	// At is the time of a Wake.
	At time.Duration
	// Reason is why; its kind is None if nothing is wrong.
	Reason Reason
}

// Why is the kind of a reason.
type Why uint8

const (
	// None: there is no reason.
	None Why = iota
	// Failed: a life has ended with the error in Cause.
	Failed
	// Quit: a life has ended by itself, without an error.
	Quit
	// NeedGone: the Pool has ended for good, of the Behind of its last slot.
	NeedGone
	// Limit: the worker has failed too often, or for good, if Permanent. Causes are its failures.
	Limit
	// Fellow: the slot in Fellow, of the same group, has failed, of Behind.
	Fellow
	// Left: the pool has shrunk, or the worker has ended without an error and is not replaced.
	Left
	// Replace: the worker is replaced on request.
	Replace
	// Ended: the program ends.
	Ended
)

// Reason says why something ends. It is a value; the shell makes the error and its text of it.
type Reason struct {
	// Kind says which of the other fields are set.
	Kind Why
	// Pool is that of the other slot, whose reason is Behind: the one that has ended for good, or
	// that of the Fellow.
	Pool Pool
	// Index is the number of the other slot within its pool.
	Index int
	// Fellow is the slot that has failed. The shell may have forgotten it by now.
	Fellow Slot
	// Permanent says that another start would have failed alike.
	Permanent bool
	// Restarts is how often the worker has been replaced within its window.
	Restarts int
	// Cause is the How.Cause of a life. The rules do not look into it.
	Cause any
	// Causes are the last failures of a worker that has reached its limit, the last one last.
	Causes []Reason
	// Behind is the reason of the other slot.
	Behind *Reason
}
