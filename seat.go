package multiprolab

import (
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/outbox"
)

// seat says which instance a life of a worker is, and which life of that instance. It exists in
// main. It never changes: a spare that takes a place gets another seat.
type seat struct {
	// slot is the instance.
	slot *slot
	// life is the number of the life, from 1.
	life int
	// out is the outbox of the messages for the life: that of the instance or, as long as the life
	// is a spare or is only lent to the instance, that of the spare, in which there is nothing.
	out *outbox.Outbox
}

// seated is what has a seat. The peer and the client of a life share it. It exists in main.
type seated struct {
	// at is the seat. Any goroutine may read it. It changes when a spare takes a
	// place, and before that if it is lent to the instance.
	at atomic.Pointer[seat]
	// standing says what becomes of a spare. Who gives it a place and who finds its end agree by it
	// which of both comes first.
	standing atomic.Int32
	// placed is closed when a spare has its place, and nothing more of that is to be done.
	placed chan struct{}
	// readiness is what a spare has said when its setup function had returned. The reader sets it
	// before the spare stands by.
	readiness *life.Readiness
}

// The values of seated.standing.
const (
	standsBy int32 = iota // it has no place, or had one from the start
	sitsDown              // it is getting a place, or has it
	fellDown              // it has ended without a place
)

// newSeated returns the seat of a life that begins in an instance.
func newSeated(s *slot, life int) *seated {
	at := &seated{placed: make(chan struct{})}
	at.at.Store(&seat{s, life, s.out})
	return at
}

// slot returns the instance that the life is.
func (s *seated) slot() *slot { return s.at.Load().slot }

// life returns the number of the life, from 1.
func (s *seated) life() int { return s.at.Load().life }

// out returns the outbox of the messages for the life.
func (s *seated) out() *outbox.Outbox { return s.at.Load().out }

// receives reports whether the life gets the messages for an instance.
func (s *seated) receives() bool {
	at := s.at.Load()
	return at.slot.index >= 0 && at.out == at.slot.out
}

// spare reports whether the life has no place yet.
func (s *seated) spare() bool { return s.slot().index < 0 }
