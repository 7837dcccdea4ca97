package fleet

import "time"

// How is how a life has ended, as far as the shell knows. What the rules know themselves is not in
// it: whether the life had begun, had said hello or was ready, and whether it was led out.
type How struct {
	// Failed says that it ended with an error: it died, or reported one, or its process could not
	// be started.
	Failed bool
	// Forced says that main has ended it by force, when it was to end.
	Forced bool
	// Raced says that the race detector has found something in it, which is an error whatever has
	// ended it.
	Raced bool
	// Blamed says that it was working on a task when it died: the failure is that of the task.
	Blamed bool
	// Permanent says that another start would fail alike.
	Permanent bool
	// Worked says that it has done something: handled a message or a call, or worked on a task.
	Worked bool
	// Cause is the error, for Reason.Cause. The rules do not look into it.
	Cause any
}

// Ended tells that nothing is left of a life, or that it could not begin.
//
// What follows, by who has ended the life and what it has left; the first row that fits counts:
//
//	no life follows anyway           failed, if by itself, else stopped; the slot is buried
//	led out, killed before its hello stopped, whatever it left; the next life, at once
//	led out to be replaced, no error stopped; the next life, at once or, if this one went idle by
//	                                itself and has done nothing, no sooner than after a pause
//	                                that counts from when it became ready
//	led out, with a data race        failed; the next life, at once
//	the start needs it to be ready   failed; the program ends, the slot is buried with its group
//	no error, not replaced then      stopped; the slot is buried alone
//	an error, never replaced         failed; the slot is buried with its group
//	another start would fail alike   failed; the limit is reached
//	in the middle of a task          failed, but not counted; the group restarts, at once
//	the limit is reached             the program ends, or the slot is buried with its group
//	anything else                    it is counted; the group restarts, the slot after a pause
//
// A spare is nobody's fellow: no group restarts or ends with it. What follows when no spare comes
// in its place any more is in giveUp.
func (f *Fleet) Ended(id Slot, how How, now time.Duration) {
	s := f.known(id)
	if s == nil {
		return
	}
	f.timers.remove(s)
	f.advance(now)
	process, hello, was, leaves := s.state > Spawning, s.state >= Greeted, s.life, s.leaves()
	f.alter(s, func() { s.life = life{} })
	if s.spare {
		s.part()
	}
	f.passTurn(s)
	failed := how.Failed || how.Raced
	switch {
	case leaves:
		if process {
			f.emit(Effect{Kind: Down, Slot: s.id, Life: s.lives, Failed: failed && !how.Forced})
		}
		if s.spare && was.quits {
			s.pool.crew.given++
		}
		f.bury(s, s.why)
	case was.led && (!failed || process && !hello && how.Forced):
		f.replaced(s, &was, how.Worked)
	case was.led && how.Raced && hello:
		f.emit(Effect{Kind: Down, Slot: s.id, Life: s.lives, Failed: true, Restart: true})
		f.again(s)
	default:
		e := ending{at: f.now, ready: was.ready, blamed: how.Blamed, permanent: how.Permanent}
		if was.ready {
			e.lasted = f.now - was.since
		}
		if e.why = (Reason{Kind: Quit}); failed || !was.ready || s.spare { // to end before it works is an error
			e.why = Reason{Kind: Failed, Cause: how.Cause}
		}
		f.judge(s, &e)
	}
	f.endEvent()
}

// Idle tells that a worker that was to be given nothing new holds nothing any more: one that was
// retired by these rules, or by its queue after so many tasks, or that asked for it. It is led out.
func (f *Fleet) Idle(id Slot) {
	s := f.known(id)
	if s == nil || s.state < Standby || s.why.Kind != None { // the end of the program has an order
		return
	}
	why := Reason{Kind: Replace}
	if s.leaves() {
		why.Kind = Left
	}
	s.life.bows = s.life.bows || !s.life.led
	if !s.spare && why.Kind == Replace { // between its last task and its end nobody waits for the next life
		f.lend(s)
	}
	f.leadOut(s, DrainQueue, s.life.quits, why)
	f.endEvent()
}

// replaced lets the next life follow on one that was led out to be replaced. One that went idle by
// itself before it had done anything, such as a worker that is recycled in its setup function, may
// be the first of many: from life to life there are longer pauses then, as between failures.
func (f *Fleet) replaced(s *slot, was *life, worked bool) {
	pause := time.Duration(0)
	if was.bows && !worked && len(s.asks) == 0 {
		pause = s.record.inVain(&s.pool.desc, f.now-was.since, f.rand)
	}
	down := Effect{Kind: Down, Slot: s.id, Life: s.lives, Restart: true, After: pause}
	crew := f.hasCrew(s)
	if crew && s.successor() != nil {
		down.After = 0
	}
	f.emit(down)
	switch rest := &s.pool.crew.rest; {
	case pause == 0:
		f.again(s)
	case s.spare:
		f.pause(s, max(*rest, f.now+pause))
	case crew: // it is the spares that pause
		*rest = max(*rest, f.now+pause)
		f.wait(s)
	default:
		f.pause(s, f.now+pause)
	}
}

// Leave tells that a worker leaves of its own accord, and for good: it finishes what it has, and
// its slot is buried then. Nobody ends with it.
func (f *Fleet) Leave(id Slot) {
	s := f.known(id)
	if s == nil || s.state < Standby || s.leaves() {
		return
	}
	f.alter(s, func() { s.life.quits = true })
	switch {
	case s.life.led:
	case s.spare:
		f.leadOut(s, DrainQueue, true, Reason{Kind: Left})
	default:
		f.emit(Effect{Kind: Retire, Slot: s.id})
	}
	f.endEvent()
}
