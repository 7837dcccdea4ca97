package stats

import (
	"slices"
	"time"
)

// MostSlow is how many Slowest keeps.
const MostSlow = 5

// Slowest is the few things that took longest, the longest first. The zero value is empty.
type Slowest[T any] struct {
	// n is how many there are.
	n int
	// all are the things, and what has no thing is zero.
	all [MostSlow]slow[T]
}

// slow is a thing that took some time.
type slow[T any] struct {
	took time.Duration // how long it took
	what T             // what it was
}

// Add keeps a thing, if it is one of those that took longest. Of equal ones the first stays.
func (s *Slowest[T]) Add(took time.Duration, what T) {
	if s.n == MostSlow && took <= s.all[MostSlow-1].took {
		return
	}
	i := s.n
	for i > 0 && s.all[i-1].took < took {
		i--
	}
	s.n = min(s.n+1, MostSlow)
	copy(s.all[i+1:s.n], s.all[i:])
	s.all[i] = slow[T]{took, what}
}

// Merge keeps what another one has kept.
func (s *Slowest[T]) Merge(o *Slowest[T]) {
	for took, what := range o.All {
		s.Add(took, what)
	}
}

// All yields the things, the one that took longest first.
func (s *Slowest[T]) All(yield func(took time.Duration, what T) bool) {
	for _, x := range slices.Clip(s.all[:s.n]) {
		if !yield(x.took, x.what) {
			return
		}
	}
}
