package fleet

import (
	"slices"
	"time"
)

// Resize makes a pool have n slots, of at least one, and reports whether it did: it does not once
// the end was asked for. New ones begin as soon as they may. Those with the highest indexes are
// taken away; they finish what they have.
func (f *Fleet) Resize(id Pool, n int, now time.Duration) bool {
	if f.stage != stageRunning || n < 1 {
		return false
	}
	f.advance(now)
	p := f.pools[id]
	for len(p.slots) < n {
		if s := f.place(p); s.state != Queued {
			f.wait(s)
		}
	}
	if n < len(p.slots) {
		removed := slices.Clone(p.slots[n:])
		for _, s := range removed {
			p.weigh(s, -1)
		}
		clear(p.slots[n:])
		p.slots = p.slots[:n]
		for _, s := range removed {
			f.leave(s)
		}
	}
	f.waiting.stirred = true // those who need the pool may not need the ones that are gone
	f.endEvent()
	return true
}

// leave takes a slot that is not in its pool any more away: between two of its tasks if it is
// ready, and else at once.
func (f *Fleet) leave(s *slot) {
	if s.state == Buried {
		f.forget(s)
		return
	}
	s.pool.away = append(s.pool.away, s)
	f.answer(s, Reason{})
	switch {
	case s.why.Kind != None || s.life.led || s.life.quits: // it ends already
	case s.state == Ready:
		f.emit(Effect{Kind: Retire, Slot: s.id})
	default:
		f.doom(s, Reason{Kind: Left})
	}
}

// Restart asks for the replacement of a worker, and returns the number that the answer will have. A
// worker that is not up needs no other: the next life that is ready will do. One whose pool has
// spares works on until a spare stands by; see Renew.
func (f *Fleet) Restart(id Slot) Ask {
	f.lastAsk++
	a, s := f.lastAsk, f.slots[id]
	switch {
	case s == nil, !s.listed(), s.why.Kind == Fellow && s.state != Buried:
		f.emit(Effect{Kind: Replaced, Slot: id, Ask: a}) // it ends with others, or was taken away
	case s.why.Kind != None:
		f.emit(Effect{Kind: Replaced, Slot: id, Ask: a, Reason: s.why})
	default:
		if f.hasCrew(s) {
			s.pool.crew.given = 0 // it may go better now
		} else if s.up() && !s.life.led {
			f.emit(Effect{Kind: Retire, Slot: id})
		}
		s.asks = append(s.asks, a) // the next time that it comes up, it is with another life
		f.endEvent()
	}
	return a
}

// Forget takes a request back: nobody waits for its answer any more.
func (f *Fleet) Forget(id Slot, a Ask) {
	if s := f.slots[id]; s != nil {
		s.asks = slices.DeleteFunc(s.asks, func(o Ask) bool { return o == a })
	}
}

// Renew tells that the spares of a pool are out of date: each is replaced, and those that the pool
// did without are tried again. A Restart after it takes only spares that begin after it.
func (f *Fleet) Renew(id Pool) {
	p := f.pools[id]
	if f.stage != stageRunning || f.startsLeft > 0 {
		return
	}
	p.crew.given = 0
	for _, s := range p.crew.spares {
		if s.fit() {
			f.leadOut(s, DrainQueue, false, Reason{Kind: Replace})
		}
	}
	f.endEvent()
}
