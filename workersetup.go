package multiprolab

import (
	"context"
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// workerSetup is what a worker is told before its setup function runs, and what that function asks
// for. It exists in the worker process. Only the goroutine of the setup function writes it; this is
// also the goroutine of the worker's own loop, unless the worker has called Loop.
type workerSetup struct {
	welcome  *life.Welcome                 // what main has told the worker first; nil until then
	teardown time.Duration                 // how long the functions of onExit may take together
	maxRSS   int64                         // WorkerConfig.MaxRSS in bytes; 0 means none
	foreign  func(context.Context) error   // the user's event loop, the function of Loop; or nil
	onExit   []func(context.Context) error // the functions of OnExit, in the order of their registration
	ready    bool                          // the setup function has returned
	heavy    bool                          // the worker has asked to be replaced because of its memory
	said     chan struct{}                 // closed when main has been told that the worker is ready
	// aboard notes that the calling goroutine is one of this worker's. It is nil in a process of
	// its own.
	aboard func() (leave func())
	// left is the method ack as a function, so that no function is made for each message. It does
	// not change.
	left func(m *Message, bytes int64, gone bool)
}

// applyLimits limits this process as main says, before user code of the worker runs.
func applyLimits(wl *life.Welcome) error {
	if wl.MemoryLimit > 0 {
		if err := proc.LimitMemory(wl.MemoryLimit); err != nil {
			return fmt.Errorf("multiprolab: WorkerConfig.Limits.Memory of %d bytes cannot be set: %w",
				wl.MemoryLimit, err)
		}
	}
	if err := wl.Limits.Apply(); err != nil {
		return NoRetry(fmt.Errorf("multiprolab: the worker's process cannot be set up: %w", err))
	}
	return nil
}
