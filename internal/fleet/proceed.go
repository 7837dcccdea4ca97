package fleet

import (
	"slices"
	"time"
)

// endEvent is the last part of each event: slots that may begin a life do so, and the shell is told
// when it has to call Tick next and, once, that every slot is buried.
func (f *Fleet) endEvent() {
	for f.proceed(); f.staff(); {
		f.proceed()
	}
	if at := f.timers.next(); at != f.timers.told {
		f.timers.told = at
		f.emit(Effect{Kind: Wake, At: at})
	}
	if f.stage == stageEnding && f.unburied == 0 {
		f.stage = stageGone
		f.emit(Effect{Kind: AllGone})
	}
}

// proceed lets all begin that may, and fails those that never will, until nothing changes any more.
// Who has waited longest comes first. Those that were looked at before are looked at again only if
// something has stirred them.
func (f *Fleet) proceed() {
	w := &f.waiting
	for w.stirred || w.looked < len(w.slots) {
		if w.stirred {
			w.stirred, w.looked = false, 0
		}
		kept, n := w.looked, len(w.slots) // those that begin to wait meanwhile come at the next look
		for i := kept; i < n; i++ {
			s := w.slots[i]
			if s.state != Waiting { // it was buried
				continue
			}
			switch may, need := s.mayBegin(); {
			case may && !f.hasCrew(s):
				f.spawn(s)
			case may && s.successor() != nil:
				f.promote(s, s.successor())
			case need != nil:
				f.fail(s, need.gone())
			default:
				w.slots[kept] = s
				kept++
				f.passTurn(s) // those behind it need not wait with it
			}
		}
		w.slots = slices.Delete(w.slots, kept, n)
		w.looked = kept
	}
}

// spawn begins a life. With it the slot is not shaken any more.
func (f *Fleet) spawn(s *slot) {
	s.lives++
	s.life = life{}
	if s.spare {
		s.pool.crew.lives[s.index] = s.lives
	}
	f.change(s, Spawning, false)
	f.emit(Effect{Kind: Spawn, Slot: s.id, Life: s.lives})
}

// advance lets the pauses end, and the workers be replaced, for which it is time.
func (f *Fleet) advance(now time.Duration) {
	f.now = max(f.now, now)
	for {
		s := f.timers.pop(f.now)
		switch {
		case s == nil:
			return
		case s.state == Pausing:
			f.wait(s)
		case f.hasCrew(s):
			s.life.aged = true
		case !s.life.led: // it has reached its age
			f.emit(Effect{Kind: Retire, Slot: s.id})
		}
	}
}

// Tick tells the time. The shell calls it at the time of the last Wake, or later.
func (f *Fleet) Tick(now time.Duration) {
	f.advance(now)
	f.endEvent()
}
