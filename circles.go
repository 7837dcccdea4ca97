package multiprolab

import (
	"cmp"
	"iter"
	"slices"
)

// This file says who waits for whom, and which wait would close a circle. It exists in main,
// through which all calls and tasks go. Only waits of loops count: while a handler, a task, an
// action or a setup function waits, nothing else happens in its process. Who waits on a goroutine
// that no handler waits for keeps nobody from going on.

// waiting is the waits of loops. P is a process. The zero value is empty.
type waiting[P cmp.Ordered] struct {
	waits map[P]map[uint64]want[P] // of each process that waits, by the number of the call or the task there
}

// want is what one wait is for: the processes of which one suffices to end it, each as far as it
// goes on itself. It changes with what happens meanwhile.
type want[P cmp.Ordered] iter.Seq[P]

// maxWaits is how many waits of one process are noted at a time. A loop has one, or those of a Map;
// what looks for a circle looks at all of them.
const maxWaits = 64

// begin notes a wait, or notes it again, unless it would never end: every process that could end it
// waits, in the end, for by. It reports whether the wait may go on.
//
// A process with several waits is taken to need them all.
func (g *waiting[P]) begin(by P, id uint64, w want[P]) bool {
	if !g.mayEnd(by, w) {
		g.end(by, id)
		return false
	}
	if len(g.waits[by]) < maxWaits { // else it waits for good if one of those does
		g.note(by, id, w)
	}
	return true
}

// note is the part of begin that notes the wait.
func (g *waiting[P]) note(by P, id uint64, w want[P]) {
	if g.waits == nil {
		g.waits = map[P]map[uint64]want[P]{}
	}
	if g.waits[by] == nil {
		g.waits[by] = map[uint64]want[P]{}
	}
	g.waits[by][id] = w
}

// end forgets a wait that is over, if it is there.
func (g *waiting[P]) end(by P, id uint64) {
	if waits := g.waits[by]; waits != nil {
		delete(waits, id)
		if len(waits) == 0 {
			delete(g.waits, by)
		}
	}
}

// endAll forgets the waits of a process whose life, or handler, has ended.
func (g *waiting[P]) endAll(by P) { delete(g.waits, by) }

// isWaiting reports whether a process waits.
func (g *waiting[P]) isWaiting(p P) bool { return len(g.waits[p]) > 0 }

// mayEnd reports whether a wait that by is about to begin can end.
func (g *waiting[P]) mayEnd(by P, w want[P]) bool {
	for p := range w { // mostly somebody does not wait at all
		if p != by && len(g.waits[p]) == 0 {
			return true
		}
	}
	return w.ends(g.stuckWith(by, w))
}

// ends reports whether one of the processes that suffice goes on.
func (w want[P]) ends(stuck map[P]bool) bool {
	for p := range w {
		if !stuck[p] {
			return true
		}
	}
	return false
}

// stuckWith returns, of the processes that w needs in the end, those that would not go on before by
// does, and by.
func (g *waiting[P]) stuckWith(by P, w want[P]) map[P]bool {
	stuck := map[P]bool{by: true}
	var found []P
	look := func(w want[P]) {
		for p := range w {
			if !stuck[p] && g.isWaiting(p) {
				stuck[p] = true
				found = append(found, p)
			}
		}
	}
	look(w)
	for i := 0; i < len(found); i++ {
		for _, w := range g.waits[found[i]] {
			look(w)
		}
	}
	g.free(found, stuck)
	return stuck
}

// free takes those out of stuck, of some processes, that go on.
func (g *waiting[P]) free(found []P, stuck map[P]bool) {
	for again := true; again; {
		again = false
		for _, p := range found {
			if stuck[p] && g.goesOn(p, stuck) {
				delete(stuck, p)
				again = true
			}
		}
	}
}

// stuck returns the processes that will never go on: of a wait that could end when it began, those
// that could end it have become fewer.
func (g *waiting[P]) stuck() map[P]bool {
	stuck := make(map[P]bool, len(g.waits))
	var found []P
	for p := range g.waits {
		stuck[p] = true
		found = append(found, p)
	}
	g.free(found, stuck)
	return stuck
}

// goesOn reports whether all waits of a process end.
func (g *waiting[P]) goesOn(p P, stuck map[P]bool) bool {
	for _, w := range g.waits[p] {
		if !w.ends(stuck) {
			return false
		}
	}
	return true
}

// path returns the circle that a wait would close, or a way into one, for who reads an error.
func (g *waiting[P]) path(by P, w want[P]) []P {
	stuck := g.stuckWith(by, w)
	for path := []P{by}; ; {
		next, ok := first(w)
		if !ok || slices.Contains(path, next) {
			if ok {
				path = append(path, next)
			}
			return path
		}
		path = append(path, next)
		for _, w = range g.waits[path[len(path)-1]] {
			if !w.ends(stuck) {
				break
			}
		}
	}
}

// first returns the first of the processes that a wait is for, if there is one.
func first[P cmp.Ordered](w want[P]) (p P, ok bool) {
	for p = range w {
		return p, true
	}
	return p, false
}
