package fleet

import "time"

// wait lets a slot begin its next life as soon as it may.
func (f *Fleet) wait(s *slot) {
	f.move(s, Waiting)
	f.waiting.slots = append(f.waiting.slots, s)
}

// again lets the next life of a slot begin as soon as it may, which had no failure of its own.
func (f *Fleet) again(s *slot) {
	if s.spare {
		f.pause(s, s.pool.crew.rest)
	} else {
		f.wait(s)
	}
}

// pause lets the next life of a slot begin at a time, or as soon as it may if that is over.
func (f *Fleet) pause(s *slot, until time.Duration) {
	if until <= f.now {
		f.wait(s)
		return
	}
	f.move(s, Pausing)
	f.timers.push(s, until)
}

// passTurn gives the turn of the start to the next slot in line, if a slot has it.
func (f *Fleet) passTurn(s *slot) {
	if len(f.line) == 0 || f.line[0] != s {
		return
	}
	f.line = f.line[1:]
	if len(f.line) > 0 {
		f.wait(f.line[0])
	} else {
		f.line = nil
	}
}

// leaveLine takes a slot that is buried out of the line of the start.
func (f *Fleet) leaveLine(s *slot) {
	f.passTurn(s)
	for i, o := range f.line {
		if o == s {
			f.line = append(f.line[:i:i], f.line[i+1:]...)
			return
		}
	}
}

// mayBegin reports whether the next life of a slot may begin. If it never may, it returns the pool
// that it needs and that has ended for good.
func (s *slot) mayBegin() (may bool, gone *pool) {
	if g := s.pool.group; g != nil && (s.shaken || s.spare) && g.leaving > 0 {
		return false, nil
	}
	for _, q := range s.pool.needs {
		switch {
		case q.unready > 0:
			return false, nil
		case q.alive == 0:
			return false, q
		}
	}
	return true, nil
}

// startDone notes that the start of a slot is over: it has become ready for the first time, or will
// never become ready.
func (f *Fleet) startDone(s *slot) {
	if !s.initial {
		return
	}
	s.initial = false
	if f.startsLeft--; f.startsLeft == 0 {
		f.waiting.stirred = true // from now on spares take the places
		f.startOver()
	}
}

// startOver tells that the start is over, unless the end was asked for before: then main begins
// all the same if workers may need it while the queue is drained.
func (f *Fleet) startOver() {
	if f.stage == stageRunning {
		f.emit(Effect{Kind: AllUp})
	}
	if f.stage == stageRunning || f.stage == stageAsked && f.mode == DrainQueue {
		f.emit(Effect{Kind: Release})
	}
}

// Waiting yields each slot that has its turn and no life because other slots have to come up or to
// end first. With each slot it yields one of those others; the slot waits for all of them. So the
// shell sees a circle that goes over lives: main's loop waits for a worker, which waits for the
// setup of a worker that it needs, which calls main. Nothing may happen to the Fleet meanwhile.
func (f *Fleet) Waiting(yield func(id, other Slot) bool) {
	var last, blocker *slot // slots that wait one after the other are mostly of the same pool
	for _, s := range f.waiting.slots {
		if s.state != Waiting {
			continue
		}
		if last == nil || last.pool != s.pool || last.shaken != s.shaken || last.spare != s.spare {
			last, blocker = s, f.blocker(s)
		}
		if blocker != nil && !yield(s.id, blocker.id) {
			return
		}
	}
}

// blocker returns the first slot for which a slot that is waiting waits, or nil.
func (f *Fleet) blocker(s *slot) *slot {
	for _, o := range s.leavers() {
		return o
	}
	for _, q := range s.pool.needs {
		if q.unready == 0 {
			continue
		}
		for _, o := range q.slots {
			if !o.up() && o.state != Buried {
				return o
			}
		}
	}
	if f.hasCrew(s) && len(s.pool.crew.spares) > 0 {
		return s.pool.crew.spares[0]
	}
	return nil
}

// leavers returns the slots of the group that have to end before the next life of a slot may begin.
func (s *slot) leavers() (all []*slot) {
	g := s.pool.group
	if g == nil || !s.shaken && !s.spare || g.leaving == 0 {
		return nil
	}
	for _, p := range g.members {
		for _, slots := range [][]*slot{p.slots, p.crew.spares} {
			for _, o := range slots {
				if o.shaken && o.busy() {
					all = append(all, o)
				}
			}
		}
	}
	return all
}
