package multiprolab

import (
	"slices"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the part of the broker, in main, that answers workers which ask for tasks with
// GetTask.

// fetch is a GetTask that waits. It exists in main.
type fetch struct {
	id    uint64
	types typeSet
}

// fetchOf returns the place of the first GetTask that waits for tasks of a type, or -1.
func (w *taskWorker) fetchOf(pullAt int) int {
	for i := range w.fetches {
		if w.fetches[i].types.has(pullAt) {
			return i
		}
	}
	return -1
}

// fetch answers a GetTask: at once if it can or must, else when a task comes.
func (b *broker) fetch(p *peer, id uint64, types string, wait bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := p.tasks
	switch {
	case w == nil:
		return lie("it asked for a task before it was ready")
	case len(w.fetches) >= maxFetches:
		return lie("it asked for more than %d tasks at a time", maxFetches)
	case slices.ContainsFunc(w.fetches, func(f fetch) bool { return f.id == id }):
		return lie("it asked twice for a task under the number %d", id)
	}
	set, err := w.kind.asked(types)
	if err != nil {
		return err
	}
	w.fetches = append(w.fetches, fetch{id, set})
	switch {
	case b.answerFetch(w, len(w.fetches)-1):
	case !wait, w.retiring, b.halted:
		b.cancelFetchOf(w, id)
	case b.store != nil:
		b.store.demand()
	}
	return nil
}

// answerFetch hands a worker a task that it waits for in GetTask, if there is one, and reports
// whether there was.
func (b *broker) answerFetch(w *taskWorker, i int) bool {
	for !b.halted && w.sound() {
		l := w.kind.nextPulled(w, w.fetches[i].types)
		if l == nil {
			return false
		}
		if j := b.take(l); j != nil && b.assign(j, w, i) {
			return true
		}
	}
	return false
}

// cancelFetch takes a waiting GetTask back. If a task was sent meanwhile, that is the answer, and
// nothing is left to be cancelled.
func (b *broker) cancelFetch(p *peer, id uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.tasks != nil {
		b.cancelFetchOf(p.tasks, id)
	}
}

func (b *broker) cancelFetchOf(w *taskWorker, id uint64) {
	if i := slices.IndexFunc(w.fetches, func(f fetch) bool { return f.id == id }); i >= 0 {
		w.fetches = slices.Delete(w.fetches, i, i+1)
		w.peer.link.Tell(link.Soon, &wire.Frame{Kind: wire.NoTask, ID: id})
	}
}
