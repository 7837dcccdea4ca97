package life

import (
	"io"
	"sync"
)

// Shared passes on what all workers print to one writer, one call at a time. It exists in main. Any
// goroutine may use it.
type Shared struct {
	// mu is held during each call of the writer.
	mu sync.Mutex
	// next is the writer. It does not change; only who holds mu may call it.
	next io.Writer
}

// NewShared returns what passes on to next.
func NewShared(next io.Writer) *Shared { return &Shared{next: next} }

// Write implements io.Writer.
func (s *Shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next.Write(p)
}
