package outbox

import (
	"maps"
	"slices"

	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/ring"
)

// Streams is the back-pressure of the streams that one life of a worker submits: the pieces that it
// has not taken hold credit of the worker that yields them, as long as that is at the stream. What
// is left of a stream that has ended, or begins again, holds nothing: the worker may be at
// something else, for which the submitter may wait before it takes the next piece. So each range
// over a stream has a window of pieces at most. Streams exists in main. Any goroutine may use it.
type Streams struct {
	// mu guards every other field. Credit is given back when it is free.
	mu lockorder.Mutex[lockorder.Leaf]
	// open are the streams of which pieces may come, by the numbers that the worker has given them.
	open map[uint64]*ring.Ring[piece]
	// untaken is how many pieces of streams that have ended the worker may still take.
	untaken int
	// drained says that nobody takes pieces any more, because nothing is left of the life.
	drained bool
}

// piece is one piece of a stream. It does not change.
type piece struct {
	from  Giver // the life of the worker that has yielded it
	bytes int64 // how many bytes of its credit the piece holds
}

// Open notes that the worker submits a stream, under the number that it has given the task. It
// reports false if Drain was called.
func (s *Streams) Open(id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained {
		return false
	}
	if s.open == nil {
		s.open = map[uint64]*ring.Ring[piece]{}
	}
	if s.open[id] == nil { // a number that it uses twice is a lie, which the rules of tasks find
		s.open[id] = new(ring.Ring[piece])
	}
	return true
}

// Hold keeps the credit of a piece until the worker has taken it. It reports false if the worker
// waits for no pieces.
func (s *Streams) Hold(id uint64, from Giver, bytes int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.open[id]
	if held == nil {
		return false
	}
	held.Push(piece{from, bytes})
	return true
}

// Took notes that the worker has taken the first piece of a stream. It reports false if there is
// none.
func (s *Streams) Took(id uint64) bool {
	s.mu.Lock()
	held := s.open[id]
	if held == nil || held.Len() == 0 {
		defer s.mu.Unlock()
		if s.untaken == 0 {
			return false
		}
		s.untaken--
		return true
	}
	p, _ := held.Pop()
	s.mu.Unlock()
	p.from.Grant(p.bytes)
	return true
}

// End gives back the credit of the pieces of a stream that gets no further one. The worker may take
// them all the same.
func (s *Streams) End(id uint64) { s.release(id, nil) }

// Again gives back the credit of the pieces of a stream that begins again. The worker may take them
// all the same.
func (s *Streams) Again(id uint64) { s.release(id, new(ring.Ring[piece])) }

// release gives back the credit of the pieces of a stream, and puts next, or nothing, in their
// place.
func (s *Streams) release(id uint64, next *ring.Ring[piece]) {
	s.mu.Lock()
	held := s.open[id]
	if held != nil {
		s.untaken += held.Len()
	}
	if next == nil {
		delete(s.open, id)
	} else if held != nil {
		s.open[id] = next
	}
	s.mu.Unlock()
	giveBack(held)
}

// giveBack gives back the credit of pieces that nobody takes, or of none if held is nil.
func giveBack(held *ring.Ring[piece]) {
	if held == nil {
		return
	}
	for p := range held.All() {
		p.from.Grant(p.bytes)
	}
}

// Drain gives back the credit of all pieces, because the life of the worker has ended. It returns
// the numbers of the streams that have not ended, to be cancelled: nobody takes pieces of them any
// more.
func (s *Streams) Drain() (open []uint64) {
	s.mu.Lock()
	streams := s.open
	s.open, s.drained = nil, true
	s.mu.Unlock()
	open = slices.Sorted(maps.Keys(streams))
	for _, id := range open {
		giveBack(streams[id])
	}
	return open
}
