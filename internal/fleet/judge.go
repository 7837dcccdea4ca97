package fleet

// judge decides what follows from the end of a life that the program has not ended itself.
func (f *Fleet) judge(s *slot, e *ending) {
	v := s.record.after(&s.pool.desc, e, f.rand)
	if s.required { // a program whose workers do not start is not started again and again
		v = verdict{}
	}
	f.emit(Effect{
		Kind:    Down,
		Slot:    s.id,
		Life:    s.lives,
		Failed:  e.why.Kind != Quit,
		Restart: v.restart,
		After:   v.pause,
		Reason:  e.why,
	})
	if v.restart {
		if v.pause > 0 {
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
