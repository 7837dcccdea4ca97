package queue

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

// worker is one life of a worker that is ready.
//
// It holds the task that it works on and, while its tasks are short, a few more, so that it need
// not wait for main between two of them. What it has not begun is taken back when another worker
// has nothing to do.
type worker struct {
	id       Worker        // the caller's number of it
	slot     *slot         // the slot whose life it is
	kind     *kind         // which tasks it takes
	held     list          // the tasks that it has, in the order in which it got them
	fetches  []fetch       // its requests for tasks that are not answered yet
	answered []fetch       // its requests that were answered with a task that it has not begun
	took     time.Duration // a running mean of how long its tasks take; 0: none has ended
	done     int           // how many attempts have ended; each item of a batch counts
	suspect  int           // how many of its tasks are condemned: it may be killed soon, and gets nothing new
	gone     bool          // it has left
	retiring bool          // it gets nothing new, and is led out once it holds nothing
	doomed   bool          // it is being killed
	away     uint64        // above 0: a message keeps it, for it has not begun the only task that it had; see takeBack
	batches  bool          // the last task that it ended was a batch of several items
	woken    bool          // it is in Queue.woken
}

// fetch is a request of a worker for a task.
type fetch struct {
	id    FetchID // the worker's number of it
	types typeSet // the types of which it wants one task
	wait  bool    // it waits until there is a task; otherwise it is answered as soon as it is known that there is none
	lanes []Lane  // if it does not wait, those that the Backend is still to be asked for
	task  ID      // the task that it was answered with, or 0
}

// aheadTime is how much work a worker is given ahead of time, measured by how long its tasks took.
const aheadTime = 4 * time.Millisecond

// window is the number of tasks that the worker may hold: one, and as many as it will be done with
// soon, but no more than it will be replaced after.
func (w *worker) window() int {
	n, pool := 1, w.slot.pool
	if w.took > 0 {
		ahead := int(aheadTime / max(w.took, time.Microsecond))
		if w.batches { // a batch that takes long is split when another worker has nothing to do
			ahead = max(1, ahead)
		}
		if ablate.Without(ablate.Ahead) {
			ahead = 1
		}
		n += min(pool.Prefetch, ahead)
	}
	if pool.MaxTasks > 0 {
		n = min(n, pool.MaxTasks-w.done)
	}
	return n
}

// at is the slot whose life the worker is.
func (w *worker) at() Slot { return w.slot.id }

// sound reports whether the worker may be given tasks at all.
func (w *worker) sound() bool { return !w.gone && !w.retiring && !w.doomed && w.suspect == 0 }

// hasRoom reports whether the worker may be given another task without asking for it.
func (w *worker) hasRoom() bool { return w.sound() && w.held.n < w.window() }

// idle reports whether the worker could have something to do, and has nothing.
func (w *worker) idle() bool { return w.sound() && w.held.n == 0 }

// isAway reports whether a message seems to keep the worker.
func (w *worker) isAway() bool { return w.away > 0 }

// mayHave reports whether the worker is one that is given tasks of a lane.
func (w *worker) mayHave(l *lane) bool {
	if l.bars(w) {
		return false
	}
	for _, o := range l.offers {
		if o.kind == w.kind {
			return o.pull == given
		}
	}
	return false
}

// before reports whether a worker that has room gets a task before another one, whatever messages
// they have.
func (w *worker) before(o *worker) bool {
	if w.isAway() != o.isAway() {
		return o.isAway()
	}
	return w.held.n < o.held.n
}

// fetchOf returns the place of the first request that waits for tasks of a type, or -1.
func (w *worker) fetchOf(pull int) int {
	for i := range w.fetches {
		if w.fetches[i].types.has(pull) {
			return i
		}
	}
	return -1
}

// learn takes in how long a task has taken.
func (w *worker) learn(took time.Duration) {
	if w.took == 0 {
		w.took = took
	} else {
		w.took += (took - w.took) / 8
	}
}
