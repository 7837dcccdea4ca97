package fleet

import "time"

// State is where a slot is on its way from one life to the next.
type State uint8

const (
	// Queued: another slot, which has left the pool, still has the place.
	Queued State = iota
	// Lined: the program starts, and other slots have their turn first.
	Lined
	// Waiting: the next life begins as soon as the workers that it needs are up, and all workers of
	// its group that restart with it have ended.
	Waiting
	// Pausing: the worker has failed, and the next life begins after a pause.
	Pausing
	// Spawning: the shell starts a process.
	Spawning
	// Starting: there is a process, which has not said hello.
	Starting
	// Greeted: the worker has said hello, and sets itself up.
	Greeted
	// Standby: a spare has set itself up, and waits for a place.
	Standby
	// Ready: the worker works.
	Ready
	// Buried: no life follows.
	Buried
)

// slot is the place of one worker.
type slot struct {
	// id is the number by which the shell knows the slot. It never changes.
	id Slot
	// pool is the pool of the slot, even when the slot has left it. It never changes.
	pool *pool
	// spare says that its lives are spares, which leave it when they get a place. It never
	// changes.
	spare bool
	// index is the number of the slot in its pool, or among its spares. It never changes.
	index int
	stand
	// lives is the number of the present life, or of the last one. The lives of the slots that had
	// the place before are counted, too.
	lives int
	// life is what is known of the present life. It is empty between two lives.
	life life
	// shaken says that the slot restarts together with others of its group, and has not begun its
	// next life yet. Fleet.change alone changes it.
	shaken bool
	// initial says that the start of the program still waits for the slot.
	initial bool
	// required says that the program ends if the next life does not become ready.
	required bool
	// why is set once it is certain that no further life follows: it is the reason of the burial.
	why Reason
	// record is the failures so far, as far as they count.
	record record
	// timer is for the end of a pause, or for the greatest age of a worker that is ready.
	timer timer
	// lending is to whom a spare is lent.
	lending
	// asks are the requests for a replacement that have no answer yet, the oldest first.
	asks []Ask
}

// stand is where a slot is.
type stand struct {
	// state is changed by Fleet.change alone, for the counts of pool and group depend on it.
	state State
	// since is when the slot came into its state. Fleet.change alone changes it.
	since time.Duration
}

// life is what the rules know of the present life of a slot.
type life struct {
	// ready says that the worker has become ready in this life.
	ready bool
	// since is when the worker became ready in this life.
	since time.Duration
	// led says that the shell has been told to lead the life out, which happens once.
	led bool
	// retired says that the shell has been told to retire it because it is due.
	retired bool
	// aged says that it has reached its age. It is due from then on.
	aged bool
	// bows says that it was led out since it held nothing any more, and nobody else has led it out.
	bows bool
	// quits says that it leaves of its own accord, and for good. Fleet.Leave alone sets it.
	quits bool
}

// lending is which spare is lent to which slot.
type lending struct {
	// heir is the spare that is lent to the slot, whose own life is about to end; or nil.
	heir *slot
	// heirOf is the slot that a spare which stands by is lent to; or nil.
	heirOf *slot
}

// timer is when something is due for a slot.
type timer struct {
	// due is the time, if the slot is in the heap.
	due time.Duration
	// at is one more than the index in the heap, or 0 if the slot is not in the heap.
	at int
}

// busy reports whether there is a life, or the shell begins one.
func (s *slot) busy() bool { return s.state >= Spawning && s.state <= Ready }

// up reports whether those who need the worker find it: it is ready, and is not being ended with
// its group. A worker that is replaced on request, or led out at the end of the program, is up
// until it has ended.
func (s *slot) up() bool { return s.state == Ready && !s.shaken }

// listed reports whether the slot is still in its pool.
func (s *slot) listed() bool {
	return !s.spare && s.index < len(s.pool.slots) && s.pool.slots[s.index] == s
}

// leaves reports whether no life follows the present one.
func (s *slot) leaves() bool {
	return s.why.Kind != None || s.life.quits || !s.spare && !s.listed()
}
