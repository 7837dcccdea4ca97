// Package watchers tells events to those who follow them, to each at its own pace. It knows which
// earlier events a follower is told first, and keeps a bounded number of untold ones for each; of
// those that it had to drop it tells how many they were. It does not know what the events are, nor
// what has the names whose states they tell.
package watchers

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/ring"
)

const (
	// Recent is how many events are kept for followers of all events that are yet to come.
	Recent = 100
	// MaxUntold is how many events are kept for a slow follower. If there are more, the oldest ones
	// are dropped and counted.
	MaxUntold = 1024
)

// State says what an event tells of the state of something that has a name. The zero value says
// that it tells nothing of a state.
type State struct {
	Name string // whose state the event tells
	Was  string // the name that it had until this event, if it had another one
}

// Watchers is who follows which events. It exists in main. Any goroutine may use it.
type Watchers[E any] struct {
	// missed makes the event that stands for dropped ones, by their number. It never changes.
	missed func(n int) E
	// mu guards every other field, and what is untold to each follower.
	mu sync.Mutex
	// last is the last event of the state of each name.
	last map[string]E
	// order is these names, in the order in which they had their first event.
	order []string
	// recent is the last events, Recent of them at most, the oldest first.
	recent ring.Ring[E]
	// active are the followers that have not ended.
	active map[*follower[E]]bool
}

// follower is one call of Follow or FollowState. It exists in main; the mutex of Watchers guards
// what is untold to it.
type follower[E any] struct {
	// every says that all events are told, and not only those of states. It never changes.
	every bool
	// name is the name whose states are told; empty for all names. It never changes.
	name string
	// wake has room for one: it tells the goroutine of the call that there is an event.
	wake chan struct{}
	// untold are the events that were not told yet. The mutex of Watchers guards it.
	untold ring.Ring[E]
	// dropped is how many were dropped since the last one was told. The mutex of Watchers guards
	// it.
	dropped int
}

// New returns a Watchers that nobody follows. missed makes the event that stands for n dropped
// events.
func New[E any](missed func(n int) E) *Watchers[E] {
	return &Watchers[E]{missed: missed, last: map[string]E{}, active: map[*follower[E]]bool{}}
}

// follows reports whether the states of this name are told: a name stands for itself, and for those
// that lie below it, behind a slash.
func (f *follower[E]) follows(name string) bool {
	return f.every || f.name == "" || f.name == name || strings.HasPrefix(name, f.name+"/")
}

// concerns reports whether an event is told that tells this of a state.
func (f *follower[E]) concerns(s State) bool {
	return f.every || s.Name != "" && f.follows(s.Name) || s.Was != "" && f.follows(s.Was)
}

// Follow tells every event, first the recent ones, up to the end of ctx, or to the last event if
// ended is closed, after which none may come. Then the channel is closed.
func (w *Watchers[E]) Follow(ctx context.Context, ended <-chan struct{}) <-chan E {
	return w.follow(ctx, ended, &follower[E]{every: true})
}

// FollowState is Follow for the events that tell the states of a name, of those below it, or of all
// if it is empty. First comes the last such event of each.
func (w *Watchers[E]) FollowState(ctx context.Context, ended <-chan struct{}, name string) <-chan E {
	return w.follow(ctx, ended, &follower[E]{name: name})
}

func (w *Watchers[E]) follow(ctx context.Context, ended <-chan struct{}, f *follower[E]) <-chan E {
	f.wake = make(chan struct{}, 1)
	w.add(f)
	events := make(chan E)
	go func() { // ends with ctx, or after the last event
		defer close(events)
		defer w.remove(f)
		for {
			over := goroutine.Closed(ended) // read before next: no event comes after the end
			e, ok := w.next(f)
			if !ok {
				if over {
					return
				}
				select {
				case <-f.wake:
				case <-ended:
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

// add adds a follower, with the events that it is told first.
func (w *Watchers[E]) add(f *follower[E]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.every {
		for e := range w.recent.All() {
			f.untold.Push(e)
		}
	} else {
		for _, name := range w.order {
			if f.follows(name) {
				f.untold.Push(w.last[name])
			}
		}
	}
	w.active[f] = true
}

// remove ends the telling to a follower.
func (w *Watchers[E]) remove(f *follower[E]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.active, f)
}

// next takes the next event that a follower is to be told, if there is one.
func (w *Watchers[E]) next(f *follower[E]) (E, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := f.dropped; n > 0 {
		f.dropped = 0
		return w.missed(n), true
	}
	return f.untold.Pop()
}

// Tell tells the followers of an event. It never waits for them.
func (w *Watchers[E]) Tell(e E, s State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recent.Push(e)
	if w.recent.Len() > Recent {
		w.recent.Pop()
	}
	if s.Name != "" {
		w.keepLast(e, s)
	}
	for f := range w.active {
		if !f.concerns(s) {
			continue
		}
		if f.untold.Len() >= MaxUntold {
			f.untold.Pop()
			f.dropped++
		}
		f.untold.Push(e)
		goroutine.Wake(f.wake)
	}
}

// keepLast notes the last event of the state of a name. The caller holds mu.
func (w *Watchers[E]) keepLast(e E, s State) {
	if s.Was != "" { // what had this name has another one from now on
		delete(w.last, s.Was)
		w.order = slices.DeleteFunc(w.order, func(name string) bool { return name == s.Was })
	}
	if _, ok := w.last[s.Name]; !ok {
		w.order = append(w.order, s.Name)
	}
	w.last[s.Name] = e
}
