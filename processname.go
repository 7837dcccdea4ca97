package multiprolab

import "sync/atomic"

// processName is the name of a process. It exists in main and in each worker. Any goroutine may use
// it. It changes once at most: when a worker that has stood by gets a place.
type processName struct {
	now atomic.Pointer[string] // the name
}

// set gives the process a name.
func (n *processName) set(name string) { n.now.Store(&name) }

// get returns the name.
func (n *processName) get() string { return *n.now.Load() }
