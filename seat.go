package multiprolab

import "sync/atomic"

// seat says which instance a life of a worker is, and which life of that instance. It exists in
// main. It never changes: a spare that takes a place gets another seat.
type seat struct {
	// slot is the instance.
	slot *slot
	// life is the number of the life, from 1.
	life int
}

// seated is what has a seat. The peer and the client of a life share it. It exists in main.
type seated struct {
	// at is the seat. Any goroutine may read it. It changes once at most, when a spare takes a
	// place.
	at atomic.Pointer[seat]
}

// newSeated returns the seat of a life that begins in an instance.
func newSeated(s *slot, life int) *seated {
	at := new(seated)
	at.at.Store(&seat{s, life})
	return at
}

// slot returns the instance that the life is.
func (s *seated) slot() *slot { return s.at.Load().slot }

// life returns the number of the life, from 1.
func (s *seated) life() int { return s.at.Load().life }
