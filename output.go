package multiprolab

import (
	"fmt"
	"io"
	"sync"
)

// sharedWriter passes on what all workers print to one writer, one call at a time. It exists in
// main. Any goroutine may use it.
type sharedWriter struct {
	// mu is held during each call of the writer.
	mu sync.Mutex
	// w is the writer. It does not change once there are workers; only who holds mu may call it.
	w io.Writer
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// leftOut returns the line that stands for the stacks that are left out of a report of the Go
// runtime.
func leftOut(lines int) string {
	return fmt.Sprintf(
		"multiprolab: %d more lines of stacks are in the error (WorkerDiedError.Stderr); Config.FullCrashes has "+
			"them printed\n",
		lines,
	)
}
