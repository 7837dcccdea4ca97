package fleet

import "slices"

// What the tests may see of the rules.

// State says where a slot is. It is Buried for one that is not known any more.
func (f *Fleet) State(id Slot) State {
	if s := f.slots[id]; s != nil {
		return s.state
	}
	return Buried
}

// Residue counts what the rules still hold: slots that are not buried, waits, timers and requests.
// It is 0 after AllGone.
func (f *Fleet) Residue() int {
	n := f.unburied + len(f.line) + len(f.waiting.slots) + len(f.timers.heap) + len(f.effects)
	for _, p := range f.pools {
		n += len(p.away) + p.unready + p.alive + p.dependents
		n += len(p.crew.spares) + p.crew.vacant + p.crew.lasting
		for _, s := range p.slots {
			n += len(s.asks)
		}
		if p.group != nil {
			n += p.group.leaving
		}
	}
	return n
}

// WaitsFor returns the slots that have to do something before the next life of a slot may begin:
// come up, or end. A slot that may begin, has a life, pauses or is buried waits for none.
func (f *Fleet) WaitsFor(id Slot) (others []Slot) {
	s := f.slots[id]
	switch {
	case s == nil:
	case s.state == Queued:
		others = append(others, s.pool.places[s.index].owner.id)
	case s.state == Lined:
		others = append(others, f.line[0].id)
	case s.state == Waiting:
		for _, o := range s.leavers() {
			others = append(others, o.id)
		}
		for _, q := range s.pool.needs {
			for _, o := range q.slots {
				if !o.up() && o.state != Buried {
					others = append(others, o.id)
				}
			}
		}
		if f.hasCrew(s) {
			for _, o := range s.pool.crew.spares {
				others = append(others, o.id)
			}
		}
	}
	slices.Sort(others)
	return slices.Compact(others)
}

// String returns the name of the state as the table has it.
func (s State) String() string {
	return [...]string{
		"queued", "lined", "waiting", "pausing", "spawning", "starting", "greeted", "standing by", "ready",
		"buried",
	}[s]
}
