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
	// take returns the descriptor that the worker was handed under a key of handedKind, once, see
	// proc.TakeHanded. It is nil in a process that only passes through the setup function.
	take func(key string) (fd uintptr, err error)
	// outlet is where shared data comes from, or nil if the worker gets none.
	outlet *shared.Outlet
}

// handedKind says what a worker was handed. Both processes use it.
type handedKind string

const (
	handedListener handedKind = "listener"
	handedPackets  handedKind = "packet connection"
	handedFile     handedKind = "file"
	handedLane     handedKind = "lane of shared data"
)

// key returns the name under which a process is handed a thing of this kind.
func (k handedKind) key(name string) string { return string(k) + " " + name }
