package fleet

// This file is the spares that work before the one whose place they get is gone: while it is
// killed, or has nothing left and is led out to be replaced, which takes as long as its last
// functions do.

// Doomed tells that the shell is about to kill a worker that is ready, in the life with this
// number. If a spare stands by, and it is as good as certain that another life follows, the spare
// is lent to the slot: it works on the tasks of the slot from now on, while the old life ends. It
// gets the place, and the messages, when the shell has told Ended of that. A worker that restarts
// others, or needs some that are not up, is not in such a hurry.
func (f *Fleet) Doomed(id Slot, life int) {
	s := f.known(id)
	if s != nil && s.lives == life && s.pool.desc.Policy != NoRestart && len(s.others()) == 0 {
		f.lend(s)
		f.endEvent()
	}
}

// lend lends a spare to a slot whose life is about to end, and is followed by another one, if a
// spare stands by and could take the place by now.
func (f *Fleet) lend(s *slot) {
	if s.state != Ready || s.shaken || s.heir != nil || s.life.led || s.leaves() || !f.hasCrew(s) {
		return
	}
	may, _ := s.mayBegin()
	spare := s.pool.standby()
	if spare == nil || !may {
		return
	}
	s.heir, spare.heirOf = spare, s
	f.emit(Effect{Kind: Lend, Slot: s.id, From: spare.id, Life: s.lives + 1})
}

// free reports whether a spare stands by for whoever needs one.
func (s *slot) free() bool { return s.state == Standby && !s.life.led && s.heirOf == nil }

// successor returns the spare that takes the place of a slot: the one that is lent to it, or one
// that stands by, or nil.
func (s *slot) successor() *slot {
	if s.heir != nil {
		return s.heir
	}
	return s.pool.standby()
}

// part ends that a spare is lent to a slot. Either of the two may be given.
func (s *slot) part() (spare *slot) {
	if s.heirOf != nil {
		s = s.heirOf
	}
	if spare = s.heir; spare != nil {
		s.heir, spare.heirOf = nil, nil
	}
	return spare
}
