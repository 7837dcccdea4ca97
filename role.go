package multiprolab

import "github.com/multiprolab/multiprolab/internal/shared"

// workerRole says which instance a worker is. It exists in the worker, and never changes.
type workerRole struct {
	pool          string // the name of the pool
	index         int    // the number of the instance in the pool, from 0; less than 0 for a spare
	life          int    // 1 for the first process of the instance, 2 for its replacement, and so on
	process       bool   // the worker has a process of its own
	initial       bool   // the worker's life is in the initialiser of a package, which holds the main thread
	releaseThread func() // gives the main thread of the process back to the scheduler
	// take returns the descriptor that the worker was handed under a key of handedKind, once. It is
	// nil in a process that only passes through the setup function.
	take func(key string) (fd uintptr, ok bool)
	// outlet is where shared data comes from, or nil if the worker gets none.
	outlet *shared.Outlet
}
