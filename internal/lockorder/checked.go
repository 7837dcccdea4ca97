//go:build race

package lockorder

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
)

// Mutex is a mutex of rank R.
type Mutex[R Rank] struct {
	mu    sync.Mutex
	owner uint64 // the goroutine that holds it; guarded by mu
}

// Lock locks the mutex. It panics if the goroutine holds a lock of the same or a higher rank.
func (m *Mutex[R]) Lock() {
	var r R
	me := goroutine()
	held.check(me, r)
	m.mu.Lock()
	m.owner = me
	held.took(me, r)
}

// TryLock locks the mutex if nobody holds it. Whoever does not wait may take locks in any order.
func (m *Mutex[R]) TryLock() bool {
	if !m.mu.TryLock() {
		return false
	}
	var r R
	m.owner = goroutine()
	held.took(m.owner, r)
	return true
}

// Unlock unlocks the mutex.
func (m *Mutex[R]) Unlock() {
	var r R
	held.gave(m.owner, r)
	m.mu.Unlock()
}

// locks are those that goroutines hold, by the number of the goroutine.
type locks struct {
	mu   sync.Mutex
	held map[uint64][]Rank
}

var held = locks{held: map[uint64][]Rank{}}

// check panics if a goroutine that takes a lock of the rank holds one that comes behind it.
func (l *locks) check(goroutine uint64, r Rank) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.held[goroutine] {
		if h.rank() >= r.rank() {
			panic(fmt.Sprintf("a lock of rank %T is taken while one of rank %T is held: see package lockorder", r, h))
		}
	}
}

func (l *locks) took(goroutine uint64, r Rank) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[goroutine] = append(l.held[goroutine], r)
}

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

// goroutine returns the number of the goroutine that calls. The runtime says it nowhere but in a
// stack.
func goroutine() uint64 {
	var buf [64]byte
	text := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	number, _, _ := bytes.Cut(text, []byte{' '})
	n, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("a stack begins with %q", buf))
	}
	return n
}
