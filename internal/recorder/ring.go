// Package recorder is the flight recorder of main: the last events of its rules, in rings of a
// fixed size, and how they are written, read and replayed.
//
// There is one Ring for each lock that is held anyway when its events happen: that of the rules of
// lives, that of the rules of tasks, and one for all else. An event takes one number from a counter
// that the rings share, and one store of 48 bytes: no allocation, and no clock is read that the
// event does not read itself. Texts are kept once, in a table of a bounded size, as
// long as an event of the ring has them.
//
// Lives and Tasks stand before the rules: they note each event and each effect. Rules are a
// function of their events, so that a record that holds all of them can be replayed: see Replay.
package recorder

import (
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

const (
	// TaskEvents, LifeEvents and OtherEvents are how many events the rings hold.
	TaskEvents  = 8 << 10
	LifeEvents  = 2 << 10
	OtherEvents = 1 << 10
	// mostSetup is how many events of the set-up each ring keeps for ever.
	mostSetup = 1 << 12
)

// Counter numbers the events of all rings of a program. It exists in main. Any goroutine may use
// it.
type Counter struct {
	last atomic.Uint64 // the number of the last event
}

// Event is one event. What its fields mean depends on its Kind; see forms.
type Event struct {
	Seq   uint64        // its number in the program, from 1
	At    time.Duration // since the program began, as far as it was known then
	Kind  Kind
	Bits  uint8
	Text  uint16 // the number of a text in the ring's table
	More  uint16 // the number of another text
	Slot  uint32
	Other uint32
	Task  uint64
	N     int64
}

// Ring holds the last events that happened under one lock. It exists in main. Who holds the lock
// may touch it.
type Ring struct {
	counter *Counter      // numbers the events; does not change
	events  []Event       // the memory of the events; made with the first one
	size    int           // how many events the ring holds; does not change
	next    int           // where the next event goes
	count   uint64        // how many events there were, those of the set-up apart
	now     time.Duration // the time of the last event
	texts   texts         // the texts of the events
	setup   []setup       // the events of the set-up, which stay
	lacks   bool          // not all of the set-up is there
}

// setup is an event of the set-up: it comes seldom, and says much. It never changes.
type setup struct {
	seq  uint64 // its number in the program
	kind Kind   // which it is
	body any    // what it says, for encoding/json
}

// NewRing returns an empty ring of a size.
func NewRing(c *Counter, size int) *Ring {
	return &Ring{counter: c, size: size, texts: texts{numbers: map[string]uint16{}}}
}

// Add notes an event, and gives it its number. An event whose At is zero has the time of the last
// one.
func (r *Ring) Add(e Event) {
	if ablate.Without(ablate.Figures) {
		return
	}
	if r.events == nil {
		r.events = make([]Event, r.size) // pages of it that are not used cost nothing
	}
	if e.At == 0 {
		e.At = r.now
	}
	r.now = e.At
	e.Seq = r.counter.last.Add(1)
	r.events[r.next] = e
	r.count++
	if r.next++; r.next == r.size {
		r.next = 0
	}
	if r.texts.isFull() && r.count-r.texts.at > uint64(r.size/8) { // not with each event if all are used
		r.texts.at = r.count
		r.texts.sweep(r.events[:min(r.count, uint64(r.size))])
	}
}

// keep notes an event of the set-up.
func (r *Ring) keep(k Kind, body any) {
	if len(r.setup) >= mostSetup {
		r.lacks = true
		return
	}
	r.setup = append(r.setup, setup{r.counter.last.Add(1), k, body})
}

// Name returns the number of a text, for the next event that is added.
func (r *Ring) Name(s string) uint16 { return r.texts.name(s) }

// Copy returns a copy of the ring, to be written when the lock is free.
func (r *Ring) Copy() *Ring {
	c := *r
	c.events = append([]Event(nil), r.events[:min(r.count, uint64(len(r.events)))]...)
	c.texts = texts{all: append([]string(nil), r.texts.all...)}
	c.setup = r.setup[:len(r.setup):len(r.setup)]
	return &c
}

// all returns the events of a copy, the oldest first, and how many were before them.
func (r *Ring) all() (events []Event, before uint64) {
	n := uint64(len(r.events))
	if r.count <= n {
		return r.events, 0
	}
	at := r.count % n
	return append(append([]Event(nil), r.events[at:]...), r.events[:at]...), r.count - n
}

// text returns the text of a number, and whether it is kept.
func (r *Ring) text(n uint16) (string, bool) {
	if int(n) >= len(r.texts.all) {
		return "", false
	}
	return r.texts.all[n], true
}
