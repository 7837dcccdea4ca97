package fleet

import (
	"slices"
	"time"
)

// Add adds a pool. All pools are added before Group, Check and Begin are called.
func (f *Fleet) Add(d PoolDesc) Pool {
	p := &pool{id: Pool(len(f.pools)), desc: d}
	f.pools = append(f.pools, p)
	return p.id
}

// Group makes pools share a fate. A pool is in one group at most.
func (f *Fleet) Group(strategy Strategy, members ...Pool) {
	g := &group{strategy: strategy}
	for _, id := range members {
		p := f.pools[id]
		p.group = g
		g.members = append(g.members, p)
	}
}

// link finds the pools that each pool needs, once all are added.
func (f *Fleet) link() {
	for _, p := range f.pools {
		p.needs = p.needs[:0]
		for _, id := range p.desc.Needs {
			if q := f.pools[id]; !slices.Contains(p.needs, q) {
				p.needs = append(p.needs, q)
			}
		}
		if q := p.group.before(p); q != nil && !slices.Contains(p.needs, q) {
			p.needs = append(p.needs, q)
		}
	}
}

// Check returns the first pool that needs itself in the end, with the way from it back to itself:
// its workers could never start, and Begin must not be called then. It returns nil if there is
// none.
func (f *Fleet) Check() (circle []Pool) {
	f.link()
	for _, p := range f.pools {
		if way := p.wayTo(p, make([]bool, len(f.pools))); way != nil {
			return append([]Pool{p.id}, way...)
		}
	}
	return nil
}

// Begin begins the start of the program: the slots of all pools are made, and their first lives
// begin in the order of registration. If the end was asked for before, all slots are buried
// instead.
func (f *Fleet) Begin(now time.Duration) {
	f.now = now
	f.link()
	for _, p := range f.pools {
		if p.desc.Spare > 0 {
			f.crewed = append(f.crewed, p)
		}
		for range p.desc.Count {
			s := f.place(p)
			s.initial = true
			s.required = !p.desc.StopWorker
		}
	}
	if f.stage == stageAsked {
		for _, p := range f.pools {
			for _, s := range p.slots {
				s.initial = false
				f.doom(s, Reason{Kind: Ended})
			}
		}
		f.endEvent()
		return
	}
	f.stage = stageRunning
	f.startsLeft = f.unburied
	for _, p := range f.pools {
		f.line = append(f.line, p.slots...)
	}
	if len(f.line) > 0 {
		f.wait(f.line[0])
	} else {
		f.startOver()
	}
	f.endEvent()
}

// place makes the next slot of a pool and tells the shell of it. The slot is in line, or queued if
// another slot, which has left the pool, still has its place.
func (f *Fleet) place(p *pool) *slot {
	f.lastSlot++
	s := &slot{id: f.lastSlot, pool: p, index: len(p.slots), stand: stand{Lined, f.now}}
	if s.index == len(p.places) {
		p.places = append(p.places, place{})
	}
	if at := &p.places[s.index]; at.owner == nil {
		at.owner, s.lives = s, at.lives
	} else {
		s.state = Queued
	}
	p.slots = append(p.slots, s)
	p.weigh(s, 1)
	f.add(s)
	f.emit(Effect{Kind: Place, Slot: s.id, Pool: p.id, Index: s.index})
	return s
}

// add counts a new slot.
func (f *Fleet) add(s *slot) {
	f.slots[s.id] = s
	f.unburied++
	for _, q := range s.pool.needs {
		q.dependents++
	}
}

// Started tells that the process of a life is there, and that those who watch have been told: the
// next in line may start.
func (f *Fleet) Started(id Slot) {
	s := f.known(id)
	if s == nil || s.state != Spawning {
		return
	}
	f.move(s, Starting)
	f.passTurn(s)
	f.endEvent()
}

// Greeted tells that a worker has said hello. From now on it is told to end, and not killed at
// once.
func (f *Fleet) Greeted(id Slot) {
	s := f.known(id)
	if s == nil || s.state != Starting {
		return
	}
	f.move(s, Greeted)
	f.endEvent()
}

// Up tells that a worker is ready, or that a spare is.
func (f *Fleet) Up(id Slot, now time.Duration) {
	s := f.known(id)
	if s == nil || s.state != Greeted {
		return
	}
	f.advance(now)
	s.life.ready, s.life.since = true, f.now
	if s.spare {
		f.move(s, Standby)
		f.waiting.stirred = true // a slot may wait for it
	} else {
		f.come(s, s.shaken)
	}
	f.endEvent()
}

// come makes a slot ready, whose life has just become ready or taken the place.
func (f *Fleet) come(s *slot, shaken bool) {
	s.required = false
	f.change(s, Ready, shaken)
	if age := s.pool.desc.MaxAge; age > 0 && !s.life.led {
		f.timers.push(s, f.now+age)
	}
	if s.up() {
		f.answer(s, Reason{})
	}
	f.startDone(s)
}
