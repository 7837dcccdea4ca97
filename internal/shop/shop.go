// Package shop is the rules of the tasks that one worker holds: which one is next, what becomes of
// one that is cancelled or that main wants back, how far a batch goes on, and who waits for a task
// that was asked for. It knows neither what is in a task, nor who works on it, nor how main is
// told. It decides, and does nothing else: it has no goroutine, no lock, no clock and no frame.
//
// A task comes in one of two ways, and each task has one end:
//
//	Put      it waits for its turn; Next begins it
//	Answer   somebody has asked for it, and it begins at once
//
//	End      it has ended, after it had begun
//	Cancel   it was dropped before it had begun, and main is told
//	Recall   it was given back before it had begun, and main is told
//	Seal     it was dropped before it had begun, and main sees that when the worker has ended
package shop

import (
	"maps"
	"slices"

	"github.com/multiprolab/multiprolab/internal/ring"
)

// Shop is the tasks that a worker holds. T is a task, and G is who waits for one that was asked
// for. Who uses the shop guards it. It exists in the worker process.
type Shop[T, G any] struct {
	waiting ring.Ring[held[T]] // the tasks that have not begun, in the order of their turns
	running map[uint64]held[T] // the tasks that have begun and have not ended, by their ids
	getters map[uint64]G       // who waits for a task, by the ids of their requests
	lastGet uint64             // the id of the last request
	sealed  bool               // no further task is taken in
}

// held is a task that a worker holds. It exists in the worker process, and never changes.
type held[T any] struct {
	task  T      // the task itself
	id    uint64 // the id of the task
	items *Items // how far the task has come, if it is a batch; otherwise nil
}

// Found is where a task was found that main speaks of.
type Found uint8

// The places.
const (
	Nowhere Found = iota // the task is not here, or what main asks for was done before
	Waiting              // the task had not begun; it is not here any more
	Running              // the task has begun
)

// Put takes in a task that waits for its turn; items is nil unless the task is a batch. It reports
// whether the task was taken.
func (s *Shop[T, G]) Put(id uint64, items *Items, t T) bool {
	if !s.sealed {
		s.waiting.Push(held[T]{t, id, items})
	}
	return !s.sealed
}

// Next begins the task whose turn it is or, with onlyBatch, does so only if that is a batch. It
// reports whether there is one.
func (s *Shop[T, G]) Next(onlyBatch bool) (t T, ok bool) {
	first := s.waiting.First()
	if first == nil || onlyBatch && first.items == nil {
		return t, false
	}
	h, _ := s.waiting.Pop()
	s.begin(h)
	return h.task, true
}

// begin notes that a task has begun.
func (s *Shop[T, G]) begin(h held[T]) {
	if s.running == nil {
		s.running = map[uint64]held[T]{}
	}
	s.running[h.id] = h
}

// End notes that a task has ended.
func (s *Shop[T, G]) End(id uint64) { delete(s.running, id) }

// Cancel drops a task that has not begun. If the task runs, Cancel returns it: its context is to
// end, and if it is a batch, no further item begins.
func (s *Shop[T, G]) Cancel(id uint64) (t T, at Found) {
	if h, ok := s.running[id]; ok {
		if h.items != nil {
			h.items.Cut()
		}
		return h.task, Running
	}
	return t, s.drop(id)
}

// Recall takes out a task that main wants back, if it has not begun. If it is a batch that runs,
// its items from the number rest on go back, which begin no more.
func (s *Shop[T, G]) Recall(id uint64) (rest uint64, at Found) {
	h, ok := s.running[id]
	if !ok {
		return 0, s.drop(id)
	}
	if h.items != nil {
		if begun, first := h.items.Cut(); first {
			return max(1, begun), Running // the first item begins in any case
		}
	}
	return 0, Nowhere
}

// drop takes out a task if it has not begun.
func (s *Shop[T, G]) drop(id uint64) (at Found) {
	s.waiting.Remove(func(h held[T]) bool {
		if h.id == id {
			at = Waiting
		}
		return h.id == id
	})
	return at
}

// Asked is what becomes of a request for a task.
type Asked uint8

// What becomes of a request.
const (
	Asks    Asked = iota // main is to be asked
	Sealed               // it is refused: nothing more begins here
	TooMany              // it is refused: as many as may wait do so already
)

// Ask notes that g wants a task, and gives the request its id. At most so many may wait.
func (s *Shop[T, G]) Ask(g G, most int) (id uint64, a Asked) {
	switch {
	case s.sealed:
		return 0, Sealed
	case len(s.getters) >= most:
		return 0, TooMany
	case s.getters == nil:
		s.getters = map[uint64]G{}
	}
	s.lastGet++
	s.getters[s.lastGet] = g
	return s.lastGet, Asks
}

// Answer begins a task that has come as the answer to a request, and returns who gets it. It
// reports false if nobody waits for it any more: then the task has not begun, and is not taken.
func (s *Shop[T, G]) Answer(get, id uint64, items *Items, t T) (g G, ok bool) {
	if g, ok = s.NoTask(get); ok {
		s.begin(held[T]{t, id, items})
	}
	return g, ok
}

// NoTask ends a request that no task comes for, and returns who has waited, if anybody has.
func (s *Shop[T, G]) NoTask(get uint64) (g G, ok bool) {
	g, ok = s.getters[get]
	delete(s.getters, get)
	return g, ok
}

// Seal drops the tasks that have not begun, and takes none in from then on. It returns who waited
// for a task, and gets none.
func (s *Shop[T, G]) Seal() (none []G) {
	s.sealed = true
	s.waiting.Remove(func(held[T]) bool { return true })
	for _, get := range slices.Sorted(maps.Keys(s.getters)) {
		none = append(none, s.getters[get])
	}
	clear(s.getters)
	return none
}

// IsSealed reports whether no further task is taken.
func (s *Shop[T, G]) IsSealed() bool { return s.sealed }
