//go:build unix

package multiprolab_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// TestLookingAtAStoppedWorker is TestLookingFromWhereverOneMay for a worker that is stopped.
func TestLookingAtAStoppedWorker(t *testing.T) {
	l := startLab(t, nil, workers("lab", 1))
	stop(t, l.Stats().Workers[0].Process.PID)
	const stopped = "error: its process is stopped by SIGSTOP"
	want := lookedAt{"killed", stopped, stopped, "printed: ", "record", 1, true}
	checkLooked(t, want, lookAt(l.Main, "lab/0", time.Millisecond))
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 2 })
	require.NoError(t, l.Close())
}
