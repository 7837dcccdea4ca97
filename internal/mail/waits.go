package mail

import (
	"cmp"
	"iter"
	"slices"
)

// Waits is who waits for whom. Only waits of loops count: while a handler, a task, an action or a
// setup function waits, nothing else happens in its process. A wait of a goroutine that no handler
// waits for keeps nobody from going on. P is a process. The zero value is empty. Who uses it guards
// it.
type Waits[P cmp.Ordered] struct {
	// waiters is the processes that wait, in no order that means anything.
	waiters []*waiter[P]
	// named is the processes that wait, by their names.
	named map[P]*waiter[P]
}

// Want is what one wait is for: the processes that could end it. One of them suffices, if it goes
// on itself. Which they are may change during the wait.
type Want[P cmp.Ordered] iter.Seq[P]

// For is the want for what one process alone can do.
func For[P cmp.Ordered](p P) Want[P] { return func(yield func(P) bool) { yield(p) } }

// MaxWaits is how many waits of one process are noted at a time. A loop is in one wait, or in as
// many as a Map has; the search for a circle looks at all of them.
const MaxWaits = 64

// waiter is a process that waits.
type waiter[P cmp.Ordered] struct {
	process P         // the process
	waits   []wait[P] // its waits, in the order in which they began
	at      int       // the index of the waiter in Waits.waiters
}

// wait is one wait of a process.
type wait[P cmp.Ordered] struct {
	id   uint64  // the number of the call or the task that the process waits for
	want Want[P] // the processes that could end the wait
	sake []P     // the processes for whose sake the process waits, as far as that is known
}

// find returns the index of the wait with a number, or -1. It looks at the newest first.
func (p *waiter[P]) find(id uint64) int {
	if p != nil {
		for i, w := range slices.Backward(p.waits) {
			if w.id == id {
				return i
			}
		}
	}
	return -1
}

// Begin notes a wait, or notes it again, unless it would never end: that is so if every process
// that could end it waits, perhaps by way of others, for the process by. Begin reports whether the
// wait may go on.
//
// A process with several waits is taken to go on only when all of them have ended.
func (g *Waits[P]) Begin(by P, id uint64, w Want[P]) bool {
	if !g.mayEnd(by, w) {
		g.End(by, id)
		return false
	}
	if g.Count(by) < MaxWaits { // beyond that, the process waits for good if one of the noted waits does
		g.Note(by, id, w)
	}
	return true
}

// Note notes a wait, or notes it again, without asking whether it can end.
func (g *Waits[P]) Note(by P, id uint64, w Want[P]) {
	p := g.named[by]
	if p == nil {
		if g.named == nil {
			g.named = map[P]*waiter[P]{}
		}
		p = &waiter[P]{process: by, at: len(g.waiters)}
		g.named[by] = p
		g.waiters = append(g.waiters, p)
	}
	if i := p.find(id); i >= 0 {
		p.waits[i].want = w
		return
	}
	p.waits = append(p.waits, wait[P]{id: id, want: w})
}

// NoteFor is Note for a wait of which it is known for whose sake it is.
func (g *Waits[P]) NoteFor(by P, id uint64, w Want[P], sake []P) {
	g.Note(by, id, w)
	p := g.named[by]
	p.waits[p.find(id)].sake = sake
}

// WaitsFor reports whether a process is in a wait that is for the sake of another.
func (g *Waits[P]) WaitsFor(by, other P) bool {
	p := g.named[by]
	return p != nil && slices.ContainsFunc(p.waits, func(w wait[P]) bool { return slices.Contains(w.sake, other) })
}

// End forgets a wait that is over, if it was noted.
func (g *Waits[P]) End(by P, id uint64) {
	p := g.named[by]
	i := p.find(id)
	if i < 0 {
		return
	}
	if p.waits = slices.Delete(p.waits, i, i+1); len(p.waits) == 0 {
		g.EndAll(by)
	}
}

// EndAll forgets the waits of a process whose life, or handler, has ended.
func (g *Waits[P]) EndAll(by P) {
	p := g.named[by]
	if p == nil {
		return
	}
	delete(g.named, by)
	end := len(g.waiters) - 1
	g.waiters[p.at] = g.waiters[end]
	g.waiters[p.at].at = p.at
	g.waiters[end] = nil
	g.waiters = g.waiters[:end]
}

// Count is the number of waits of a process that are noted.
func (g *Waits[P]) Count(by P) int {
	if p := g.named[by]; p != nil {
		return len(p.waits)
	}
	return 0
}

// Find returns what one wait of a process is for, or nil if it is not noted.
func (g *Waits[P]) Find(by P, id uint64) Want[P] {
	p := g.named[by]
	if i := p.find(id); i >= 0 {
		return p.waits[i].want
	}
	return nil
}

// IsWaiting reports whether a process waits.
func (g *Waits[P]) IsWaiting(p P) bool { return g.named[p] != nil }

// mayEnd reports whether a wait that by is about to begin can end.
func (g *Waits[P]) mayEnd(by P, w Want[P]) bool {
	for p := range w { // mostly one of them does not wait at all
		if p != by && !g.IsWaiting(p) {
			return true
		}
	}
	return w.Ends(g.StuckWith(by, w))
}

// Ends reports whether one of the processes that could end the wait is not stuck.
func (w Want[P]) Ends(stuck map[P]bool) bool {
	for p := range w {
		if !stuck[p] {
			return true
		}
	}
	return false
}

// StuckWith returns the process by, and those that cannot go on before by does. It looks at the
// processes of the want w, at those that they wait for, and so on.
func (g *Waits[P]) StuckWith(by P, w Want[P]) map[P]bool {
	stuck := map[P]bool{by: true}
	var found []*waiter[P]
	look := func(w Want[P]) {
		for p := range w {
			if waiter := g.named[p]; waiter != nil && !stuck[p] {
				stuck[p] = true
				found = append(found, waiter)
			}
		}
	}
	look(w)
	for i := 0; i < len(found); i++ {
		for _, w := range found[i].waits {
			look(w.want)
		}
	}
	free(found, stuck)
	return stuck
}

// free takes out of stuck those of the found processes that go on.
func free[P cmp.Ordered](found []*waiter[P], stuck map[P]bool) {
	for again := true; again; {
		again = false
		for _, p := range found {
			if stuck[p.process] && p.goesOn(stuck) {
				delete(stuck, p.process)
				again = true
			}
		}
	}
}

// Stuck returns the processes that will never go on. There are some if a wait that could end when
// it began has lost processes that could have ended it.
func (g *Waits[P]) Stuck() map[P]bool {
	stuck := make(map[P]bool, len(g.waiters))
	for _, p := range g.waiters {
		stuck[p.process] = true
	}
	free(g.waiters, stuck)
	return stuck
}

// Lost yields the waits that will never end, and the processes that are in them.
func (g *Waits[P]) Lost(yield func(by P, id uint64) bool) {
	stuck := g.Stuck()
	for _, p := range g.waiters {
		for _, w := range p.waits {
			if stuck[p.process] && !w.want.Ends(stuck) && !yield(p.process, w.id) {
				return
			}
		}
	}
}

// goesOn reports whether all waits of the process end, if those in stuck never go on.
func (p *waiter[P]) goesOn(stuck map[P]bool) bool {
	for _, w := range p.waits {
		if !w.want.Ends(stuck) {
			return false
		}
	}
	return true
}

// Path returns the circle that a wait would close, or a way into such a circle, for the text of an
// error.
func (g *Waits[P]) Path(by P, w Want[P]) []P {
	stuck := g.StuckWith(by, w)
	for path := []P{by}; ; {
		next, ok := first(w)
		if !ok {
			return path
		}
		known := slices.Contains(path, next)
		path = append(path, next)
		p := g.named[next]
		if known || p == nil {
			return path
		}
		for _, of := range p.waits {
			if w = of.want; !w.Ends(stuck) {
				break
			}
		}
	}
}

// first returns the first of the processes that a wait is for, if there is one.
func first[P cmp.Ordered](w Want[P]) (p P, ok bool) {
	for p = range w {
		return p, true
	}
	return p, false
}
