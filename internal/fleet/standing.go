package fleet

import "time"

// Standing is where a slot is at a moment.
type Standing struct {
	// State is where it is.
	State State
	// Since is since when it is there.
	Since time.Duration
	// Lives is the number of the present life, or of the last one.
	Lives int
	// Led says that the present life was told to end.
	Led bool
	// Failed says that no life follows because of an error.
	Failed bool
}

// StateOf returns where a slot is. One that has left its pool and is buried has no state any more.
func (f *Fleet) StateOf(id Slot) Standing {
	s := f.slots[id]
	if s == nil {
		return Standing{State: Buried}
	}
	failed := false
	switch s.why.Kind {
	case Failed, NeedGone, Limit, Fellow:
		failed = true
	}
	return Standing{State: s.state, Since: s.since, Lives: s.lives, Led: s.life.led, Failed: failed}
}

// Restarts is how many lives have followed on another one in the places of a pool, those included
// that are in the pool no more. It only grows.
func (f *Fleet) Restarts(id Pool) (n int) {
	for _, at := range f.pools[id].places {
		lives := at.lives
		if at.owner != nil {
			lives = at.owner.lives
		}
		n += max(0, lives-1)
	}
	return n
}

// Tell tells the time of the events that follow, for StateOf. Nothing is done about it.
func (f *Fleet) Tell(now time.Duration) { f.now = max(f.now, now) }
