package multiprolab

import (
	"context"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// workerPlace is which instance of its pool a worker is. It exists in the worker process. Any
// goroutine may use it.
type workerPlace struct {
	numbers atomic.Pointer[placeNumbers] // the numbers of the worker; a spare gets others with its place
	placed  chan struct{}                // closed when the worker has a place
}

// placeNumbers says which instance a worker is, and which life of it. It exists in the worker
// process, and never changes.
type placeNumbers struct {
	index int // the number of the instance; less than 0 for a spare
	life  int // the number of the life, from 1
}

// open notes which instance the worker is from its start.
func (p *workerPlace) open(index, life int) {
	p.numbers.Store(&placeNumbers{index, life})
	p.placed = make(chan struct{})
	if index >= 0 {
		close(p.placed)
	}
}

// sitDown makes a spare an instance of its pool. It reports false if the worker has a place.
func (p *workerPlace) sitDown(index, life int) bool {
	if goroutine.Closed(p.placed) {
		return false
	}
	p.numbers.Store(&placeNumbers{index, life})
	close(p.placed)
	return true
}

// standBy waits until a spare has its place. It reports false if ctx ends before.
func (p *workerPlace) standBy(ctx context.Context) bool {
	select {
	case <-p.placed:
		return true
	case <-ctx.Done():
		return goroutine.Closed(p.placed)
	}
}
