package multiprolab

import (
	"sync"

	"github.com/multiprolab/multiprolab/internal/shared"
)

// This file is what a handler keeps of shared data, and what a worker knows of it.

// sharedHolds is the shared data that a handler keeps until it returns. It exists in the worker.
// Any goroutine may use it.
type sharedHolds struct {
	cache *shared.Cache // where it is given back; does not change

	mu   sync.Mutex         // guards every other field
	over bool               // the handler has returned
	held map[string]*Shared // what it keeps, by the names
}

// find returns what the handler keeps under a name, or nil. h may be nil.
func (h *sharedHolds) find(name string) *Shared {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held[name]
}

// keep keeps a version until the handler returns. If another goroutine of the handler was faster,
// its version counts. It returns nil if the handler has returned.
func (h *sharedHolds) keep(name string, v *shared.Version) *Shared {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s := h.held[name]; {
	case h.over:
		h.cache.Release(v)
		return nil
	case s != nil:
		h.cache.Release(v)
		return s
	}
	if h.held == nil {
		h.held = map[string]*Shared{}
	}
	h.held[name] = &Shared{name: name, version: v}
	return h.held[name]
}

// release gives everything back, because the handler has returned.
func (h *sharedHolds) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	for _, s := range h.held {
		h.cache.Release(s.version)
	}
	clear(h.held)
}

// workerShared is the shared data of a worker. It exists in the worker process. Any goroutine may
// use it.
type workerShared struct {
	cache shared.Cache // what is mapped; it guards itself

	shareMu sync.Mutex // guards asked, and the fields waiters and held of every question
	asked   *asking    // what main was asked for and has not answered, or nil
}

// asking is a question for shared data. It exists in the worker process. Its own fields do not
// change; the answer is written before done is closed, and read after that.
type asking struct {
	name    string          // what was asked for
	done    chan struct{}   // closed when the answer is there
	version uint64          // the answer: the number of the version, or 0
	err     error           // the answer: why there is none, or nil
	waiters int             // how many calls wait for the answer, or have not looked at it
	held    *shared.Version // what keeps the answer mapped for the waiters, or nil
}

// leave notes that a call does not wait for the answer any more. What was mapped for nobody else,
// and is not the newest version any more, is given back.
func (w *workerShared) leave(a *asking) {
	w.shareMu.Lock()
	defer w.shareMu.Unlock()
	if a.waiters--; a.waiters == 0 {
		w.letGo(a)
	}
}

// hold returns what the answer to a question has brought, for the cache to be given back, although
// it may be the newest version no more. It returns nil if there is none.
func (w *workerShared) hold(a *asking) *shared.Version {
	w.shareMu.Lock()
	defer w.shareMu.Unlock()
	if a.held != nil {
		w.cache.Again(a.held)
	}
	return a.held
}

// letGo gives back what is held for the waiters of a question. The caller holds shareMu.
func (w *workerShared) letGo(a *asking) {
	if a.held != nil {
		w.cache.Release(a.held)
		a.held = nil
	}
}
