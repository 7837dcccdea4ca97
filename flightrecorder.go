package multiprolab

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/recorder"
)

// flightRecorder is the last events of a Main beside those of the rules, which have rings of their
// own. It exists in main. Any goroutine may use it.
type flightRecorder struct {
	counter recorder.Counter // numbers all events; it guards itself
	saved   atomic.Bool      // a record was written to Config.RecordFile
	begun   time.Time        // when the time of the events begins; it does not change after New

	mu   lockorder.Mutex[lockorder.Leaf] // guards ring
	ring *recorder.Ring                  // the events
}

// open makes the ring, before there are events.
func (f *flightRecorder) open() {
	f.begun, f.ring = time.Now(), recorder.NewRing(&f.counter, recorder.OtherEvents)
}

// note notes an event about a worker, or about whatever the name is of.
func (f *flightRecorder) note(k recorder.Kind, name string, pid, life int, more string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ring.Add(recorder.Event{
		Kind: k, At: time.Since(f.begun), Slot: uint32(pid), N: int64(life),
		Text: f.ring.Name(name), More: f.ring.Name(more),
	})
}

// endOf says in a word or two how a process has ended. The record keeps few different texts.
func endOf(e *life.End) string {
	switch {
	case e.Status.Signal != "":
		return e.Status.Signal
	case e.Bye:
		return "goodbye"
	}
	return fmt.Sprint("exit ", e.Status.ExitCode)
}

// mostWhy is how many bytes of the reason of a kill are in the record.
const mostWhy = 100
