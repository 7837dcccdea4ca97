package fleet

import "time"

// Fleet is the rules of all lives of a program. The shell guards it: no two of its methods may run
// at a time. A method is an event; what follows from it is in Effects afterwards.
type Fleet struct {
	// rand is Config.Rand.
	rand func() float64
	// crewed are the pools that have spares.
	crewed []*pool
	// pools are all pools, by their numbers, which is the order of their registration.
	pools []*pool
	// slots finds a slot by its number: all that are in a pool, and those that have left it and are
	// not buried yet.
	slots map[Slot]*slot
	// lastSlot is the number of the newest slot.
	lastSlot Slot
	// lastAsk is the number of the newest request for a replacement.
	lastAsk Ask
	// stage is how far the program has come.
	stage stage
	// mode is how the program is to end, once the stage is asked.
	mode Mode
	// now is the latest time that an event has told.
	now time.Duration
	// line are the slots of the start that have not had their turn yet. It is the turn of the
	// first.
	line []*slot
	// waiting are the slots that begin a life as soon as they may.
	waiting waiters
	// timers are the pauses between lives, and the ages at which workers are replaced.
	timers timers
	// startsLeft counts the slots of the start that have been neither ready nor buried.
	startsLeft int
	// unburied counts the slots that have not been buried.
	unburied int
	// effects is what the shell has to do and has not taken yet. Its memory is used again.
	effects []Effect
}

// stage is how far the program has come.
type stage uint8

const (
	// In the first stage pools are added, and nothing has begun.
	_ stage = iota
	// stageRunning: lives begin and end.
	stageRunning
	// stageAsked: the end was asked for, and the workers go on until End: the queue may be drained.
	stageAsked
	// stageEnding: the workers are led out, and no life begins any more.
	stageEnding
	// stageGone: every slot is buried, and nothing more follows.
	stageGone
)

// waiters are slots that begin a life as soon as they may.
type waiters struct {
	// slots are in the order in which they began to wait. A slot that does not wait any more is
	// taken out at the next look.
	slots []*slot
	// looked is how many slots at the front of slots were looked at and could not begin.
	looked int
	// stirred says that a slot which was looked at may be able to begin by now, or is certain never
	// to begin.
	stirred bool
}

// New returns rules without pools.
func New(c Config) *Fleet {
	return &Fleet{rand: c.Rand, slots: map[Slot]*slot{}, timers: timers{told: Never}}
}

// emit adds an effect to those that the shell has to carry out, in this order.
func (f *Fleet) emit(e Effect) { f.effects = append(f.effects, e) }

// Effects appends to into what the shell has to do since it last asked, in the order in which it
// has to begin with it, and forgets that.
func (f *Fleet) Effects(into []Effect) []Effect {
	into = append(into, f.effects...)
	clear(f.effects) // reasons hold errors of the shell
	f.effects = f.effects[:0]
	return into
}

// known returns a slot that has a life, or nil for an event that comes too late for it.
func (f *Fleet) known(id Slot) *slot {
	if s := f.slots[id]; s != nil && s.busy() {
		return s
	}
	return nil
}

// change brings a slot into another state and sets or takes away its mark. It keeps the counts of
// its pool and group in step, and notes when those who wait for these may be able to go on.
func (f *Fleet) change(s *slot, to State, shaken bool) {
	p := s.pool
	alive, unready, leaving := p.alive, p.unready, p.leaving()
	p.weigh(s, -1)
	if s.state != to {
		s.since = f.now
	}
	s.state, s.shaken = to, shaken
	p.weigh(s, 1)
	if p.unready == 0 && unready > 0 || p.alive == 0 && alive > 0 || p.leaving() == 0 && leaving > 0 {
		f.waiting.stirred = true
	}
}

// move brings a slot into another state.
func (f *Fleet) move(s *slot, to State) { f.change(s, to, s.shaken) }

// shake marks a slot as one that restarts with its group.
func (f *Fleet) shake(s *slot) { f.change(s, s.state, true) }

// alter changes what the counts of the pool look at, other than state and shaken.
func (f *Fleet) alter(s *slot, change func()) {
	s.pool.weigh(s, -1)
	change()
	s.pool.weigh(s, 1)
}
