package multiprolab

import (
	"slices"
	"strings"
	"sync"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/ring"
)

// This file is who is told what by Main.Watch and Main.Events, in main.

// watchers is who watches which workers. It exists in main. Any goroutine may use it.
type watchers struct {
	// mu guards every other field, and what is untold to each watcher.
	mu sync.Mutex
	// last is the last event of each worker that says whether it is up, by the name of the worker.
	last map[string]Event
	// order is the names of these workers, in the order in which they had their first event.
	order []string
	// recent is the last events of every kind, recentEvents of them at most, the oldest first.
	recent ring.Ring[Event]
	// active are the calls of Watch and Events that have not ended.
	active map[*watcher]bool
}

// recentEvents is how many events are kept for calls of Events that are yet to come.
const recentEvents = 100

// watcher is one call of Watch or Events. It exists in main.
type watcher struct {
	// every says that all events are told, and not only whether workers are up. It never changes.
	every bool
	// name is the name that is watched; empty for all workers. It never changes.
	name string
	// wake has room for one: it tells the goroutine of the call that there is an event.
	wake chan struct{}
	// untold is what the watcher is to be told.
	untold
}

// untold is what a watcher is to be told. It exists in main; the mutex of watchers guards it.
type untold struct {
	queue  ring.Ring[Event] // the events that were not told yet
	missed int              // how many events were dropped since the last one was told
}

// watches reports whether the ups and downs of this worker are told.
func (w *watcher) watches(worker string) bool {
	return w.every || w.name == "" || w.name == worker || strings.HasPrefix(worker, w.name+"/")
}

// concerns reports whether an event of a worker is told. Who watches a spare is told of the place
// that it gets.
func (w *watcher) concerns(worker string, e Event) bool {
	ready, _ := e.(*WorkerReady)
	return w.watches(worker) || ready != nil && ready.Spare != "" && w.watches(ready.Spare)
}

// add adds a watcher. It is told first the last event of each worker or, if it is told every event,
// the recent ones.
func (ws *watchers) add(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.every {
		for e := range ws.recent.All() {
			w.queue.Push(e)
		}
	} else {
		for _, name := range ws.order {
			if w.watches(name) {
				w.queue.Push(ws.last[name])
			}
		}
	}
	if ws.active == nil {
		ws.active = map[*watcher]bool{}
	}
	ws.active[w] = true
}

// remove ends the telling to a watcher.
func (ws *watchers) remove(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.active, w)
}

// next takes the next event that a watcher is to be told; it returns nil if there is none.
func (ws *watchers) next(w *watcher) Event {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if n := w.missed; n > 0 {
		w.missed = 0
		return &EventsMissed{Count: n}
	}
	e, _ := w.queue.Pop()
	return e
}

// upOrDown returns the worker that an event is of, if the event says that it is up or down.
func upOrDown(e Event) (worker string, ok bool) {
	switch e := e.(type) {
	case *WorkerReady:
		return e.Worker, true
	case *WorkerStopped:
		return e.Worker, true
	case *WorkerFailed:
		return e.Worker, true
	}
	return "", false
}

// notify tells the watchers of an event.
func (ws *watchers) notify(e Event) {
	if letter, ok := e.(*DeadLetter); ok && letter.codec != nil {
		light := *letter
		light.body, light.codec = codec.Payload{}, nil // the bodies of what waits here would have no bound
		e = &light
	}
	worker, ok := upOrDown(e)
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.recent.Push(e)
	if ws.recent.Len() > recentEvents {
		ws.recent.Pop()
	}
	if ok {
		ws.keepLast(worker, e)
	}
	for w := range ws.active {
		if !w.every && !(ok && w.concerns(worker, e)) {
			continue
		}
		if w.queue.Len() >= maxMissed {
			w.queue.Pop()
			w.missed++
		}
		w.queue.Push(e)
		goroutine.Wake(w.wake)
	}
}

// keepLast notes the last event of a worker that says whether it is up. The caller holds mu.
func (ws *watchers) keepLast(worker string, e Event) {
	if e, ok := e.(*WorkerReady); ok && e.Spare != "" { // the spare is another worker from now on
		delete(ws.last, e.Spare)
		ws.order = slices.DeleteFunc(ws.order, func(name string) bool { return name == e.Spare })
	}
	if ws.last == nil {
		ws.last = map[string]Event{}
	}
	if ws.last[worker] == nil {
		ws.order = append(ws.order, worker)
	}
	ws.last[worker] = e
}

// maxMissed is how many events are kept for a slow watcher. If there are more, the oldest ones are
// dropped and counted.
const maxMissed = 1024
