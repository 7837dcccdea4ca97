package fleet

// hasCrew reports whether the lives of a slot that is in a pool begin as spares: not at the start
// of the program, and at its end none begins.
func (f *Fleet) hasCrew(s *slot) bool { return !s.spare && s.pool.desc.Spare > 0 && f.manned() }

// manned reports whether pools have spares at this time: once the program has started.
func (f *Fleet) manned() bool {
	return f.stage >= stageRunning && f.stage < stageEnding && f.startsLeft == 0
}

// fit reports whether a spare stays among those of its pool.
func (s *slot) fit() bool { return s.why.Kind == None && !s.life.quits }

// standby returns the spare that takes the next place, or nil if none stands by.
func (p *pool) standby() *slot {
	for _, s := range p.crew.spares {
		if s.free() {
			return s
		}
	}
	return nil
}

// leastSpare returns the spare that is furthest from standing by.
func (p *pool) leastSpare() (least *slot) {
	for _, s := range p.crew.spares {
		if s.fit() && (least == nil || s.state <= least.state) {
			least = s
		}
	}
	return least
}

// due reports whether a worker is to be replaced, and goes on until a spare stands by. One to whom
// a spare is lent is about to end anyway, and takes no other spare.
func (s *slot) due() bool {
	return s.state == Ready && s.heir == nil && !s.leaves() && !s.life.led && !s.life.retired &&
		(s.life.aged || len(s.asks) > 0)
}
