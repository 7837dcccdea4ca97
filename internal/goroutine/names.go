package goroutine

import "sync"

// Names are names of goroutines, each of which has entered under its own. Any goroutine may use it.
// The zero value has none.
type Names struct {
	mu sync.Mutex        // guards of
	of map[uint64]string // the names, by the numbers of the goroutines
}

// Enter gives the calling goroutine a name, until leave is called.
func (n *Names) Enter(name string) (leave func()) {
	id := ID()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of == nil {
		n.of = map[uint64]string{}
	}
	n.of[id] = name
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.of, id)
	}
}

// Own returns the name under which the calling goroutine has entered, or "".
func (n *Names) Own() string {
	id := ID()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.of[id]
}
