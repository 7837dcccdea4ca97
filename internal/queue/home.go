package queue

// fitness is how well a slot suits as the home of a lane.
type fitness uint8

const (
	unfit     fitness = iota // it takes none of the tasks
	leaves                   // it takes them, but nobody will come after its present life
	otherwise                // its next life may take them, though the last one has not
	fit                      // it takes them, or is to have a life that does
)

// fits says how well the slot suits as the home of a lane.
func (s *slot) fits(l *lane) fitness {
	w, takes := s.worker, s.kind == nil || s.kind.takes(l.Queue, l.Type)
	switch {
	case !s.pool.takesFrom(l.Queue), w != nil && l.isWaitedBy(w):
		return unfit
	case w != nil && !w.retiring && !takes:
		return unfit
	case w != nil && !w.retiring && (s.leaving || s.removed):
		return leaves
	case w != nil && !w.retiring:
		return fit
	case !s.coming:
		return unfit
	case !takes:
		return otherwise
	}
	return fit
}

// homeOf returns the slot that is the home of a lane, or 0: nobody takes its tasks then.
func (q *Queue) homeOf(l *lane) (home Slot) {
	var best fitness
	var most uint64
	look := func(s *slot) {
		f, n := s.fits(l), l.bucket.Draw(s.pool.Seed, s.index)
		// Two slots have one draw if one has come where the other has been taken away.
		if f > best || f == best && f != unfit && (n > most || n == most && s.id < home) {
			home, best, most = s.id, f, n
		}
	}
	for _, p := range q.pools {
		for _, s := range p.slots {
			look(s)
		}
	}
	if home == 0 { // a worker that has left its pool takes tasks until it retires
		for _, w := range q.ready {
			look(w.slot)
		}
	}
	return home
}
