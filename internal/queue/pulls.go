package queue

import (
	"iter"
	"slices"
)

// This file is the requests of workers that ask for their tasks. Each request has one answer: a
// task with Assign, or NoTask. A worker that is gone needs none.

// MaxFetches is how many requests of one worker for tasks may wait at a time. The worker keeps to
// it, too.
const MaxFetches = 1024

// Fetch takes a request of a worker for a task of some types: it is answered at once with Assign if
// it can be, or with NoTask if it must be, else when a task comes.
func (q *Queue) Fetch(id Worker, n FetchID, types iter.Seq[string], wait bool) Lie {
	w := q.workers[id]
	switch {
	case w == nil:
		return Lie{Kind: NotReady}
	case len(w.fetches) >= MaxFetches:
		return Lie{Kind: AskedTooOften, N: uint64(len(w.fetches))}
	case slices.ContainsFunc(w.fetches, func(f fetch) bool { return f.id == n }):
		return Lie{Kind: AskedTwice, N: uint64(n)}
	}
	set, lie := w.kind.asked(types)
	if lie.Told() {
		return lie
	}
	w.fetches = append(w.fetches, fetch{id: n, types: set, wait: wait})
	switch {
	case q.answer(w, len(w.fetches)-1):
	case !wait, w.retiring, q.halted:
		q.noTask(w, n)
	default:
		q.demands = q.cfg.Stored
	}
	q.handOut()
	return Lie{}
}

// CancelFetch takes a waiting request back. If a task was sent meanwhile, that is the answer, and
// nothing is left to be cancelled.
func (q *Queue) CancelFetch(id Worker, n FetchID) {
	if w := q.workers[id]; w != nil {
		q.noTask(w, n)
	}
}

// noTask answers a request that waits with nothing.
func (q *Queue) noTask(w *worker, n FetchID) {
	if i := slices.IndexFunc(w.fetches, func(f fetch) bool { return f.id == n }); i >= 0 {
		w.fetches = slices.Delete(w.fetches, i, i+1)
		q.emit(Effect{Kind: NoTask, Worker: w.id, N: uint64(n)})
	}
}
