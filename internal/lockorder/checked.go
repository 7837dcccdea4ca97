//go:build race

package lockorder

import (
	"fmt"
	"slices"
	"sync"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// Mutex is a mutex of rank R.
type Mutex[R Rank] struct {
	mu    sync.Mutex // the lock itself
	owner uint64     // the number of the goroutine that holds mu, which guards it
}

// Lock locks the mutex. It panics if the goroutine holds a lock of the same or a higher rank.
func (m *Mutex[R]) Lock() {
	var r R
	me := goroutine.ID()
	held.check(me, r)
	m.mu.Lock()
	m.owner = me
	held.took(me, r)
}

// TryLock locks the mutex if nobody holds it. It may be called in any order, because it does not
// wait.
func (m *Mutex[R]) TryLock() bool {
	if !m.mu.TryLock() {
		return false
	}
	var r R
	m.owner = goroutine.ID()
	held.took(m.owner, r)
	return true
}

// Unlock unlocks the mutex.
func (m *Mutex[R]) Unlock() {
	var r R
	held.gave(m.owner, r)
	m.mu.Unlock()
}

// locks is the locks that goroutines hold. Any goroutine may use it.
type locks struct {
	mu   sync.Mutex        // guards held
	held map[uint64][]Rank // the ranks of the held locks, by the number of the goroutine
}

// held is the locks that the goroutines of this process hold.
var held = locks{held: map[uint64][]Rank{}}

// check panics if the goroutine, which is about to take a lock of rank r, holds a lock of the same
// or a higher rank.
func (l *locks) check(goroutine uint64, r Rank) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.held[goroutine] {
		if h.rank() >= r.rank() {
			panic(fmt.Sprintf("a lock of rank %T is taken while one of rank %T is held: see package lockorder", r, h))
		}
	}
}

// took notes that the goroutine has taken a lock of rank r.
func (l *locks) took(goroutine uint64, r Rank) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[goroutine] = append(l.held[goroutine], r)
}

// gave notes that the goroutine has released a lock of rank r.
func (l *locks) gave(goroutine uint64, r Rank) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.held[goroutine]
	if k := slices.Index(left, r); k >= 0 {
		left = slices.Delete(left, k, k+1)
	}
	if l.held[goroutine] = left; len(left) == 0 {
		delete(l.held, goroutine)
	}
}
