package multiprolab

import (
	"sync"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// ownLoops knows which goroutines the end of a Main waits for: that of main's loop and, with
// Config.InProcess, those of the workers. One of them that waits for the end would wait for itself.
// It exists in main; any goroutine may use it.
type ownLoops struct {
	mu    sync.Mutex        // guards names
	names map[uint64]string // names such as "worker thumbnailer/2", by the numbers of the goroutines
}

// enter notes that the end of the Main waits for the calling goroutine, until leave is called.
func (o *ownLoops) enter(name string) (leave func()) {
	id := goroutine.ID()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.names == nil {
		o.names = map[uint64]string{}
	}
	o.names[id] = name
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.names, id)
	}
}

// name returns the name under which the calling goroutine has entered, or "".
func (o *ownLoops) name() string {
	id := goroutine.ID()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.names[id]
}
