package shared

import (
	"os"
	"sync"
)

// local are the descriptors that were passed inside one process, and not taken. It exists in that
// process. Any goroutine may use it.
type local struct {
	mu     sync.Mutex          // guards every other field
	open   map[uintptr]backing // by the descriptors
	closed bool                // nothing is passed any more
}

// NewLocalLane returns a lane to a worker in this process, and its other end.
func NewLocalLane() (*Lane, *Outlet) {
	l := &local{open: map[uintptr]backing{}}
	return &Lane{within: l}, &Outlet{within: l}
}

// pass duplicates the descriptor of a segment.
func (l *local) pass(s *Segment) (handle uint64, err error) {
	of, fd, err := s.of.duplicate()
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		of.close()
		return 0, os.ErrClosed
	}
	l.open[fd] = of
	return uint64(fd), nil
}

// take returns a segment that was passed; nil if the lane is closed.
func (l *local) take(handle uint64) (of backing, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of, ok = l.open[uintptr(handle)]
	delete(l.open, uintptr(handle))
	return of, ok
}

// close closes what was not taken.
func (l *local) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for fd, of := range l.open {
		of.close()
		delete(l.open, fd)
	}
}
