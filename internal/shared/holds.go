package shared

import "sync"

// Holds is what one function keeps until it returns: of each name one version, and with it the form
// in which the function has got it, an S. It exists in the process of the function. Any goroutine
// may use it.
type Holds[S any] struct {
	cache *Cache // where the versions are given back; does not change

	mu   sync.Mutex         // guards every other field
	over bool               // the function has returned
	held map[string]hold[S] // what it keeps, by the names
}

// hold is one version that a function keeps. It exists in the process of the function, and does not
// change.
type hold[S any] struct {
	version *Version // the version
	as      *S       // the form in which the function has it
}

// NewHolds returns the Holds of a function that has got nothing from a Cache.
func NewHolds[S any](of *Cache) *Holds[S] { return &Holds[S]{cache: of} }

// Find returns what the function keeps under a name, or nil. h may be nil.
func (h *Holds[S]) Find(name string) *S {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held[name].as
}

// Keep keeps a version in its form until the function returns, and returns the form. If another
// goroutine of the function was faster, its version counts. Keep returns nil if the function has
// returned.
func (h *Holds[S]) Keep(name string, v *Version, as *S) *S {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch faster := h.held[name].as; {
	case h.over:
		h.cache.Release(v)
		return nil
	case faster != nil:
		h.cache.Release(v)
		return faster
	}
	if h.held == nil {
		h.held = map[string]hold[S]{}
	}
	h.held[name] = hold[S]{v, as}
	return as
}

// Release gives everything back, because the function has returned.
func (h *Holds[S]) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	for _, one := range h.held {
		h.cache.Release(one.version)
	}
	clear(h.held)
}
