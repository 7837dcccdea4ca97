package multiprolab

import (
	"sync"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// keptWindows is how many windows of what the lives of one instance have sent main keeps at most:
// in its own inbox, in the outboxes of other workers, in line for the queue. Each life has a window
// of its own, until those before it have left less than that: so one that dies again and again
// while nobody takes what it sends fills main's memory no further.
const keptWindows = 16

// account is the credit of the worker in a slot. The slot has one for all its lives. It exists in
// main.
type account struct {
	window int64 // bytes

	mu      sync.Mutex
	present *client // nil before the first life; its credit is guarded by mu as well
	debt    int64   // what is kept of earlier lives, in bytes
	late    bool    // flush is about to run
}

// grantTime is how long credit that is due to a worker may gather while that one may be waiting for
// it.
const grantTime = 5 * time.Millisecond

// credit is what one life of a worker may send. Its account guards it.
type credit struct {
	spent int64 // what it has sent and has no credit back for, and what it lacks; bytes
	owed  int64 // of that, not kept any more, and to be given back; bytes
	lack  int64 // what it has less than a window, for earlier lives have left no more; bytes
}

// open begins a life, and returns the room that it has, in bytes: a window, or what is left, which
// may be nothing, or less.
func (a *account) open(c *client) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.present; before != nil {
		a.debt += before.spent - before.owed - before.lack
	}
	a.present = c
	room := min(a.window, keptWindows*a.window-a.debt)
	c.lack = a.window - room
	c.spent = c.lack
	return room
}

// charge books a frame that the worker has sent, checks that there was room for it, and returns
// what it costs.
func (c *client) charge(f *wire.Frame) (n int64, err error) {
	n = cost(f)
	a := c.slot.account
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.present != c:
		return n, link.ErrClosed // it was written by a life before
	case c.spent > a.window-min(n, a.window/2):
		return n, lie("it sent %d bytes of messages with a window of %d", c.spent+n, a.window)
	}
	c.spent += n
	a.hurry(c)
	return n, nil
}

// grant gives back what is not kept any more of what the worker has sent. It is told when a quarter
// of the window has gathered, or after a moment if it has less than half a window left: else no
// sender waits. What is of an earlier life goes to the present one, as far as that lacks it.
func (c *client) grant(bytes int64) {
	a := c.slot.account
	a.mu.Lock()
	if now := a.present; now != c {
		a.debt -= bytes
		bytes = min(bytes, now.lack)
		now.lack -= bytes
		c = now
	}
	c.owed += bytes
	due := c.owed >= a.window/4
	if !due {
		a.hurry(c)
	}
	a.mu.Unlock()
	if due {
		c.pay()
	}
}

// hurry sees to it that the worker is told soon of what is due to it, if it may be waiting for
// that. The caller holds mu.
func (a *account) hurry(c *client) {
	if c.owed > 0 && c.spent > a.window/2 && !a.late {
		a.late = true
		time.AfterFunc(grantTime, a.flush)
	}
}

// flush tells the worker what is due to it. It runs on a timer's goroutine.
func (a *account) flush() {
	a.mu.Lock()
	a.late = false
	c := a.present
	a.mu.Unlock()
	c.pay()
}

// pay tells the worker what is due to it.
func (c *client) pay() {
	a := c.slot.account
	a.mu.Lock()
	back := c.owed
	c.spent -= back
	c.owed = 0
	a.mu.Unlock()
	if back > 0 {
		c.tell(wire.NewCredit(uint64(back), 0))
	}
}

// kept is what main keeps of what this life has sent, in bytes.
func (c *client) kept() int64 {
	a := c.slot.account
	a.mu.Lock()
	defer a.mu.Unlock()
	return c.spent - c.owed - c.lack
}

// taken is grant as the inbox of main calls it.
func (c *client) taken(bytes, _ int64) { c.grant(bytes) }
