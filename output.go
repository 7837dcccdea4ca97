package multiprolab

import (
	"fmt"
	"io"
	"sync"
)

// sharedWriter writes for all workers to one writer, one call at a time. It exists in main.
type sharedWriter struct {
	mu sync.Mutex
	// w is the writer. mu guards it once there are workers.
	w io.Writer
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// leftOut is the line that stands for the stacks that are left out of a report of the Go runtime.
func leftOut(lines int) string {
	return fmt.Sprintf(
		"multiprolab: %d more lines of stacks are in the error (WorkerDiedError.Stderr); Config.FullCrashes has "+
			"them printed\n",
		lines,
	)
}
