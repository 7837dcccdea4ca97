package outbox

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/lockorder"
)

// Starving is the waits for room of a worker's loop, of which main is asked whether they may go on.
// It exists in the worker process. Any goroutine may use it.
type Starving struct {
	mu lockorder.Mutex[lockorder.Leaf] // guards waits
	// waits are where main's refusals go, by the numbers of the waits.
	waits map[uint64]chan error
}

// starveTime is the time after which main is asked again whether a wait for room may go on: mostly
// the messages that were on their way have been taken by then.
const starveTime = 50 * time.Millisecond

// Begin begins a wait, which has a number. It calls ask, which asks main, and calls it again after
// each starveTime. It returns a channel for the error that says that the loop must not wait, and a
// function for the end of the wait.
func (s *Starving) Begin(id uint64, ask func()) (refused <-chan error, over func()) {
	ch, ended := make(chan error, 1), make(chan struct{})
	s.mu.Lock()
	if s.waits == nil {
		s.waits = map[uint64]chan error{}
	}
	s.waits[id] = ch
	s.mu.Unlock()
	ask()
	go func() { // ends with the wait
		again := time.NewTicker(starveTime)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				ask()
			case <-ended:
				return
			}
		}
	}()
	return ch, func() {
		close(ended)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waits, id)
	}
}

// Refuse takes in that main has refused a wait. What comes too late, or again, is dropped.
func (s *Starving) Refuse(id uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.waits[id]; ch != nil && len(ch) == 0 {
		ch <- err
	}
}
