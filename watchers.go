package multiprolab

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/ring"
)

// This file is what Main.Watch tells, and who is told, in main.

// ChangeKind says what has happened to a worker.
type ChangeKind int

const (
	// Up: the first process of the worker is ready.
	Up ChangeKind = iota + 1
	// Down: its process has ended. Err is the reason.
	Down
	// Restarted: a further process of it is ready.
	Restarted
)

// String returns the name of the kind.
func (k ChangeKind) String() string {
	switch k {
	case Up:
		return "Up"
	case Down:
		return "Down"
	case Restarted:
		return "Restarted"
	}
	return fmt.Sprintf("ChangeKind(%d)", int(k))
}

// Change is what Main.Watch tells about a worker.
type Change struct {
	Kind   ChangeKind
	Worker string // name of the instance
	PID    int    // of the process that is up, or was; 0 if none could be started
	Life   int    // 1 for the first process of the instance
	Time   time.Time
	// Err is why it is down: a *WorkerDiedError, perhaps in a *HangError or a *MemoryLimitError, a
	// *StartError or a *RemoteError; nil if it ended as it was told, or by itself without an error.
	Err error
	// Restart says that it will be replaced, after the pause After, or has been replaced on
	// purpose. A worker that is down without it stays down, and so does one whose program ends in
	// the pause.
	Restart bool
	After   time.Duration
	// Missed is the number of changes before this one that the watcher was too slow for.
	Missed int
}

// watchers is who watches which workers. It exists in main. Any goroutine may use it.
type watchers struct {
	// mu guards every other field, and what is untold to each watcher.
	mu sync.Mutex
	// last is the last change of each worker, by the name of the worker.
	last map[string]Change
	// order is the names of these workers, in the order in which they came up first.
	order []string
	// active are the calls of Watch that have not ended.
	active map[*watcher]bool
}

// watcher is one call of Watch. It exists in main.
type watcher struct {
	// name is the name that is watched; empty for all workers. It never changes.
	name string
	// wake has room for one: it tells the goroutine of Watch that there is a change.
	wake chan struct{}
	// untold is what the watcher is to be told.
	untold
}

// untold is what a watcher is to be told. It exists in main; the mutex of watchers guards it.
type untold struct {
	queue  ring.Ring[Change] // the changes that were not told yet
	missed int               // how many changes were dropped since the last one was told
}

// watches reports whether the changes of this worker are told.
func (w *watcher) watches(worker string) bool {
	return w.name == "" || w.name == worker || strings.HasPrefix(worker, w.name+"/")
}

// add adds a watcher, which is told the last change of each worker first.
func (ws *watchers) add(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, name := range ws.order {
		if w.watches(name) {
			w.queue.Push(ws.last[name])
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

// next takes the next change that a watcher is to be told; it returns false if there is none.
func (ws *watchers) next(w *watcher) (Change, bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	c, ok := w.queue.Pop()
	if ok {
		c.Missed, w.missed = w.missed, 0
	}
	return c, ok
}

// notify tells the watchers of an event, if it is a change.
func (ws *watchers) notify(e Event) {
	var c Change
	switch e := e.(type) {
	case *WorkerReady:
		c = Change{Kind: Up, Worker: e.Worker, PID: e.PID, Life: e.Life}
	case *WorkerStopped:
		c = Change{Kind: Down, Worker: e.Worker, PID: e.PID, Life: e.Life, Restart: e.Restart, After: e.After}
	case *WorkerFailed:
		c = Change{
			Kind: Down, Worker: e.Worker, PID: e.PID, Life: e.Life, Err: e.Err, Restart: e.Restart, After: e.After,
		}
	default:
		return
	}
	c.Time = time.Now()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	before, known := ws.last[c.Worker]
	switch {
	case !known:
		ws.order = append(ws.order, c.Worker)
		if ws.last == nil {
			ws.last = map[string]Change{}
		}
	case c.Kind == Up && before.Life > 0:
		c.Kind = Restarted
	}
	ws.last[c.Worker] = c
	for w := range ws.active {
		if !w.watches(c.Worker) {
			continue
		}
		if w.queue.Len() >= maxMissed {
			w.queue.Pop()
			w.missed++
		}
		w.queue.Push(c)
		goroutine.Wake(w.wake)
	}
}

// maxMissed is how many changes are kept for a slow watcher. If there are more, the oldest ones are
// dropped and counted.
const maxMissed = 1024
