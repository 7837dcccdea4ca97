package proc_test

import (
	"testing"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// TestReapOrphansElsewhere has a process that is not process 1 want it: goleak would see a
// goroutine.
func TestReapOrphansElsewhere(t *testing.T) {
	stop := proc.ReapOrphans()
	stop()
	stop()
}
