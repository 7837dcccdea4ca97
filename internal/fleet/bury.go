package fleet

import "slices"

// leadOut tells the shell to end a life, once.
func (f *Fleet) leadOut(s *slot, mode Mode, forGood bool, why Reason) {
	if !s.busy() || s.life.led {
		return
	}
	s.life.led = true
	if s.spare {
		s.part() // whom it is lent to takes another one
	}
	f.timers.remove(s) // the timer of the worker's age
	f.emit(Effect{Kind: LeadOut, Slot: s.id, Mode: mode, ForGood: forGood, Reason: why})
}

// doom ends a slot for good: at once if it has no life, and otherwise after its life. The first
// reason counts.
func (f *Fleet) doom(s *slot, why Reason) {
	if s.why.Kind != None {
		return
	}
	f.alter(s, func() { s.why = why })
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
	f.alter(s, func() { s.why = why })
	f.move(s, Buried)
	f.unburied--
	f.timers.remove(s)
	f.emit(Effect{Kind: Bury, Slot: s.id, Reason: why})
	f.answer(s, why)
	if heir := s.part(); heir != nil { // it has been told that it has the place
		f.leadOut(heir, DrainQueue, false, Reason{Kind: Replace})
	}
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
// forgets the buried slot if that has left its pool, or was for spares.
func (f *Fleet) leavePlace(s *slot) {
	p := s.pool
	if s.spare {
		p.crew.spares = slices.DeleteFunc(p.crew.spares, func(o *slot) bool { return o == s })
		delete(f.slots, s.id)
		return
	}
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
	for _, s := range slices.Backward(p.crew.spares) {
		f.release(s)
	}
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

// judge decides what follows from the end of a life that the program has not ended itself.
func (f *Fleet) judge(s *slot, e *ending) {
	v := s.record.after(&s.pool.desc, e, f.rand)
	if s.required { // a program whose workers do not start is not started again and again
		v = verdict{}
	}
	pause := v.pause
	if f.hasCrew(s) && s.successor() != nil {
		pause = 0
	}
	f.emit(Effect{
		Kind:    Down,
		Slot:    s.id,
		Life:    s.lives,
		Failed:  e.why.Kind != Quit,
		Restart: v.restart,
		After:   pause,
		Reason:  e.why,
	})
	if s.spare {
		f.judgeSpare(s, e, &v)
		return
	}
	if v.restart {
		if f.hasCrew(s) {
			s.pool.crew.rest = max(s.pool.crew.rest, f.now+v.pause) // it is the spares that pause
			f.wait(s)
		} else if v.pause > 0 {
			f.move(s, Pausing)
			f.timers.push(s, f.now+v.pause)
		} else {
			f.wait(s)
		}
		f.restartOthers(s, e.why)
		return
	}
	why := e.why
	switch {
	case s.required:
		f.endProgram(s, why)
	case v.limit.Kind != None:
		if why = v.limit; !s.pool.desc.StopWorker {
			f.endProgram(s, why)
		}
	case why.Kind == Quit: // as it was meant to: nobody ends with it
		f.bury(s, Reason{Kind: Left})
		return
	}
	f.endOthers(s, why) // before they find that they need it in vain
	f.bury(s, why)
}

// fail ends a life that cannot begin, for good: another try would fail alike.
func (f *Fleet) fail(s *slot, why Reason) {
	f.passTurn(s)
	f.judge(s, &ending{at: f.now, permanent: true, why: why})
}

// restartOthers leads those out that restart with a slot that has failed. If the slot was shaken
// itself, the group restarts already: of two that fail at once the second changes nothing.
func (f *Fleet) restartOthers(s *slot, why Reason) {
	if s.shaken {
		return
	}
	others := s.others()
	if len(others) == 0 {
		return
	}
	f.shake(s)
	for _, o := range others {
		f.shake(o)
		f.leadOut(o, DrainQueue, false, s.fellow(&why))
	}
}

// endOthers ends those for good that would restart with a slot that has no further life.
func (f *Fleet) endOthers(s *slot, why Reason) {
	for _, o := range s.others() {
		f.doom(o, s.fellow(&why))
	}
}

// fellow is the reason of those that restart, or end, with a slot that has failed.
func (s *slot) fellow(why *Reason) Reason {
	return Reason{Kind: Fellow, Pool: s.pool.id, Index: s.index, Fellow: s.id, Behind: why}
}

// endProgram asks the shell for the end of the program, and takes it as asked for.
func (f *Fleet) endProgram(s *slot, why Reason) {
	f.emit(Effect{Kind: EndProgram, Slot: s.id, Reason: why})
	f.ask(FinishRunning)
}

// ask notes that the end of the program was asked for. Of two modes the harsher counts.
func (f *Fleet) ask(mode Mode) {
	switch {
	case f.stage < stageAsked:
		f.mode, f.stage = mode, stageAsked
	case mode == KillAll || f.mode == DrainQueue:
		f.mode = mode
	}
}

// judgeSpare decides what follows from the end of a spare that the program has not ended itself.
func (f *Fleet) judgeSpare(s *slot, e *ending, v *verdict) {
	if v.restart {
		f.pause(s, max(s.pool.crew.rest, f.now+v.pause))
		return
	}
	why := e.why
	if v.limit.Kind != None {
		why = v.limit
	}
	f.giveUp(s, why)
}

// giveUp ends a slot for spares, because no other start would help, or none is allowed. Workers
// that are to be replaced are not. If a slot waits for a spare, that is as if its own life had
// failed in this way; otherwise the pool does without the spare, and the program goes on.
func (f *Fleet) giveUp(s *slot, why Reason) {
	p := s.pool
	var victim *slot
	for _, o := range p.slots {
		if may, _ := o.mayBegin(); o.state == Waiting && may {
			victim = o
			break
		}
	}
	if victim == nil {
		p.crew.given++
	} else if why.Kind == Limit && !p.desc.StopWorker {
		f.endProgram(victim, why)
	}
	f.bury(s, why)
	for _, o := range p.slots {
		if o.due() {
			f.answer(o, why)
		}
	}
	if victim != nil {
		f.endOthers(victim, why)
		f.bury(victim, why)
	}
}
