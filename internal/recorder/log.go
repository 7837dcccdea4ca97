package recorder

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/lockorder"
)

// Log is the last events of a program beside those of the rules, which have rings of their own. It
// exists in main. Any goroutine may use it.
type Log struct {
	counter Counter   // numbers all events of the program; it guards itself
	begun   time.Time // when the time of the events begins; it does not change

	mu   lockorder.Mutex[lockorder.Leaf] // guards ring
	ring *Ring                           // the events
}

// NewLog returns a log without events, whose time begins now.
func NewLog() *Log {
	l := &Log{begun: time.Now()}
	l.ring = NewRing(&l.counter, OtherEvents)
	return l
}

// Counter returns what numbers the events of the program, for the rings of the rules.
func (l *Log) Counter() *Counter { return &l.counter }

// Note notes an event about a worker, or about whatever the name is of.
func (l *Log) Note(k Kind, name string, pid, life int, more string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring.Add(Event{
		Kind: k, At: time.Since(l.begun), Slot: uint32(pid), N: int64(life),
		Text: l.ring.Name(name), More: l.ring.Name(more),
	})
}

// Copy returns a copy of the ring, to be written.
func (l *Log) Copy() *Ring {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ring.Copy()
}
