package multiprolab

import (
	"context"
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// workerSetup is what a worker is told before its setup function runs, and what that function asks
// for. It exists in the worker process. Only the goroutine of the setup function writes it, which
// then becomes that of the loop.
type workerSetup struct {
	welcome  *life.Welcome                 // what main has said first
	teardown time.Duration                 // how long the functions of onExit may take
	maxRSS   int64                         // WorkerConfig.MaxRSS in bytes; 0: none
	foreign  func(context.Context) error   // the function of Loop, or nil
	onExit   []func(context.Context) error // the functions of OnExit, in their order
	ready    bool                          // the setup function has returned without an error
	heavy    bool                          // the worker has asked to be replaced, for its memory
	said     chan struct{}                 // closed when main has been told that the worker is ready
	// aboard notes that the calling goroutine is one of this worker's. It is nil in a process of
	// its own.
	aboard func() (leave func())
	// left is ack, which is not made anew for each message.
	left func(m *Message, bytes int64, gone bool)
}

// applyLimits limits this process as its config says, before user code of the worker runs.
func applyLimits(wl *life.Welcome) error {
	if wl.MemoryLimit > 0 {
		if err := proc.LimitMemory(wl.MemoryLimit); err != nil {
			return fmt.Errorf(
				"multiprolab: WorkerConfig.MemoryLimit of %d bytes cannot be set: %w",
				wl.MemoryLimit,
				err,
			)
		}
	}
	if err := wl.Limits.Apply(); err != nil {
		return NoRetry(fmt.Errorf("multiprolab: the worker's process cannot be set up: %w", err))
	}
	return nil
}
