package fleet

import "slices"

// leadOut tells the shell to end a life, once.
func (f *Fleet) leadOut(s *slot, mode Mode, forGood bool, why Reason) {
	if !s.busy() || s.life.led {
		return
	}
	s.life.led = true
	f.timers.remove(s) // the timer of the worker's age
	f.emit(Effect{Kind: LeadOut, Slot: s.id, Mode: mode, ForGood: forGood, Reason: why})
}

// doom ends a slot for good: at once if it has no life, and otherwise after its life. The first
// reason counts.
func (f *Fleet) doom(s *slot, why Reason) {
	if s.why.Kind != None {
		return
	}
	s.why = why
	if why.Kind == Fellow {
		f.answer(s, Reason{}) // the fellow that has failed has an error of its own
	} else {
		f.answer(s, why)
	}
	switch {
	case !s.busy():
		f.bury(s, why)
	case f.stage == stageEnding:
		f.release(s)
	default:
		f.leadOut(s, DrainQueue, true, why)
	}
}

// bury ends a slot for good.
func (f *Fleet) bury(s *slot, why Reason) {
	if why.Kind == None { // it has left its pool
		why.Kind = Left
	}
	s.why = why
	f.move(s, Buried)
	f.unburied--
	f.timers.remove(s)
	f.emit(Effect{Kind: Bury, Slot: s.id, Reason: why})
	f.answer(s, why)
	f.leaveLine(s)
	f.leavePlace(s)
	if f.stage != stageEnding {
		f.startDone(s)
	}
	for _, q := range s.pool.needs {
		if q.dependents--; q.dependents == 0 && f.stage == stageEnding {
			f.releasePool(q)
		}
	}
}

// leavePlace gives the place of a slot that is buried to the slot that waits for the place. It
// forgets the buried slot if that has left its pool.
func (f *Fleet) leavePlace(s *slot) {
	p := s.pool
	if at := &p.places[s.index]; at.owner == s {
		at.owner, at.lives = nil, s.lives
		if s.index < len(p.slots) && p.slots[s.index].state == Queued {
			next := p.slots[s.index]
			at.owner, next.lives = next, s.lives
			f.wait(next)
		}
	}
	if !s.listed() {
		f.forget(s)
	}
}

// forget drops a slot that is buried and has left its pool.
func (f *Fleet) forget(s *slot) {
	if i := slices.Index(s.pool.away, s); i >= 0 {
		s.pool.away = slices.Delete(s.pool.away, i, i+1)
	}
	delete(f.slots, s.id)
}

// release leads a life out at the end of the program, unless that was done before, or others still
// need the worker, or End has not come to the slot yet. A worker that has not said hello serves
// nobody, so it does not wait for those who need it.
func (f *Fleet) release(s *slot) {
	if s.why.Kind == None {
		return
	}
	if f.mode != KillAll && s.state >= Greeted && s.pool.dependents > 0 {
		return
	}
	f.leadOut(s, f.mode, true, s.why)
}

// releasePool leads the lives of a pool out that have waited for those who need them.
func (f *Fleet) releasePool(p *pool) {
	for _, s := range slices.Backward(p.slots) {
		f.release(s)
	}
	for _, s := range slices.Backward(p.away) {
		f.release(s)
	}
}

// answer answers all requests for a slot that is up again, or has no further life.
func (f *Fleet) answer(s *slot, why Reason) {
	for _, a := range s.asks {
		f.emit(Effect{Kind: Replaced, Slot: s.id, Ask: a, Reason: why})
	}
	s.asks = nil
}
