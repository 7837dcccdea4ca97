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
	case w.retiring, q.halted:
		q.noTask(w, n)
	case !wait:
		if q.cfg.Stored {
			w.fetches[len(w.fetches)-1].lanes = w.kind.asksFor(set)
		}
		q.try(w, n)
	default:
		q.reckon()
	}
	q.handOut()
	return Lie{}
}

// try goes on with a request that does not wait: the Backend is asked for a task of the next lane.
// If there is none, the request is answered with nothing.
func (q *Queue) try(w *worker, n FetchID) {
	i := slices.IndexFunc(w.fetches, func(f fetch) bool { return f.id == n })
	if i < 0 { // it was answered
		return
	}
	f := &w.fetches[i]
	for !q.halted && w.sound() && len(f.lanes) > 0 {
		l := q.byLane[laneKey{Lane: f.lanes[0]}]
		f.lanes = f.lanes[1:]
		if l != nil && l.draws && !l.paused {
			q.emit(Effect{Kind: Try, Worker: w.id, N: uint64(n), Lane: &l.Lane})
			return
		}
	}
	q.noTask(w, n)
}

// Tried notes that what was to be tried for a request of a worker was tried. If a task has come of
// it, and it is not the answer, another request has got it.
func (q *Queue) Tried(id Worker, n FetchID) {
	if w := q.workers[id]; w != nil {
		q.try(w, n)
	}
	q.handOut()
}

// CancelFetch takes a waiting request back. If a task was sent meanwhile, that is the answer, and
// nothing is left to be cancelled.
func (q *Queue) CancelFetch(id Worker, n FetchID) {
	if w := q.workers[id]; w != nil {
		q.noTask(w, n)
	}
	q.handOut()
}

// noTask answers a request that waits with nothing.
func (q *Queue) noTask(w *worker, n FetchID) {
	if i := slices.IndexFunc(w.fetches, func(f fetch) bool { return f.id == n }); i >= 0 {
		w.fetches = slices.Delete(w.fetches, i, i+1)
		q.emit(Effect{Kind: NoTask, Worker: w.id, N: uint64(n)})
		q.reckon()
	}
}
