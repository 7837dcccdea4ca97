package multiprolab

import (
	"context"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// Watch tells what happens to the workers of a name, be it an instance, a pool or, if the name is
// empty, all: first the last change of each, so that nothing is missed between a look and a watch,
// and then each further one, in order for each worker. The channel is closed when ctx ends, or when
// nothing of the workers is left and all has been told; a ctx that ends is the way to stop
// watching. Watch never holds up the workers: who reads too slowly misses changes, and is told how
// many.
func (m *Main) Watch(ctx context.Context, name string) (<-chan Change, error) {
	if pool, _, ok := splitInstance(name); name != "" && m.pool(name) == nil && (!ok || m.pool(pool) == nil) {
		return nil, &UnknownReceiverError{Receiver: name, Known: m.poolNames()}
	}
	if e := m.outside(); e != nil {
		return nil, e
	}
	w := &watcher{name: name, wake: make(chan struct{}, 1)}
	m.watchers.add(w)
	changes := make(chan Change)
	go func() { // ends with ctx, or after the last change
		defer close(changes)
		defer m.watchers.remove(w)
		for {
			ended := goroutine.Closed(m.ended) // read before next: no change comes after the end
			c, ok := m.watchers.next(w)
			if !ok {
				if ended {
					return
				}
				select {
				case <-w.wake:
				case <-m.ended:
				case <-ctx.Done():
					return
				}
				continue
			}
			select {
			case changes <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	return changes, nil
}
