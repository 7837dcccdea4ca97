package multiprolab

import (
	"context"
	"strings"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// Watch tells what happens to the workers of a name, be it an instance, a spare, a pool or, if the
// name is empty, all: when one is up, *WorkerReady, and when it is down, *WorkerStopped or
// *WorkerFailed; first the last such event of each, so that nothing is missed between a look and a
// watch, and then each further one, in order for each worker. They are those that Config.OnEvent
// gets; a *WorkerStarted, which is neither up nor down, is not among them. Who watches a spare is
// told of the place that it gets, too.
//
// The channel is closed when ctx ends, or when nothing of the workers is left and all has been
// told; a ctx that ends is the way to stop watching. Watch never holds up the workers: who reads
// too slowly misses the oldest events, and gets *EventsMissed in their place.
func (m *Main) Watch(ctx context.Context, name string) (<-chan Event, error) {
	instance := strings.Replace(name, "/spare.", "/", 1) // a spare has no other name of that form
	if pool, _, ok := splitInstance(instance); name != "" && m.pool(name) == nil && (!ok || m.pool(pool) == nil) {
		return nil, &UnknownReceiverError{Receiver: name, Known: m.poolNames()}
	}
	if e := m.outside(); e != nil {
		return nil, e
	}
	return m.follow(ctx, &watcher{name: name, wake: make(chan struct{}, 1)}), nil
}

// Events tells every event that Config.OnEvent gets: first the last hundred that there were, then
// each further one. It is for those who come later than New, such as a page that shows what has
// happened, and like Watch it never holds up anything: who reads too slowly misses the oldest
// events, and gets *EventsMissed in their place. A *DeadLetter comes without the body of its
// message. The channel is closed when ctx ends, which is the way to stop, or when nothing of the
// workers is left and all has been told.
func (m *Main) Events(ctx context.Context) (<-chan Event, error) {
	if e := m.outside(); e != nil {
		return nil, e
	}
	return m.follow(ctx, &watcher{every: true, wake: make(chan struct{}, 1)}), nil
}

// follow tells a watcher its events, up to the end of ctx or the last event.
func (m *Main) follow(ctx context.Context, w *watcher) <-chan Event {
	m.watchers.add(w)
	events := make(chan Event)
	go func() { // ends with ctx, or after the last event
		defer close(events)
		defer m.watchers.remove(w)
		for {
			ended := goroutine.Closed(m.ended) // read before next: no event comes after the end
			e := m.watchers.next(w)
			if e == nil {
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
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events
}
