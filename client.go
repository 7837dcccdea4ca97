package multiprolab

import (
	"sync"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// client is one life of a worker for those who owe it something: the callee of its calls, the queue
// of its tasks. It exists in main. It is small and may be kept for as long as the debt lasts, which
// can be long after the life: a peer, with what was read and written of its wire, may not.
type client struct {
	slot *slot
	link atomic.Pointer[link.Link] // nil when the life has ended, and nobody waits any more
	credit

	mu    sync.Mutex
	calls map[uint64]*callEntry // to other workers, that have no reply yet; by the id of the worker's side
}

func newClient(s *slot, l *link.Link) *client {
	c := &client{slot: s}
	c.link.Store(l)
	return c
}

// name is that of the worker, or MainName for none.
func (c *client) name() string {
	if c == nil {
		return MainName
	}
	return c.slot.name
}

// calling notes a call of the worker to another one.
func (c *client) calling(e *callEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[uint64]*callEntry{}
	}
	c.calls[e.id] = e
}

// called notes that a call of the worker has its reply.
func (c *client) called(e *callEntry) {
	c.mu.Lock()
	if c.calls[e.id] == e {
		delete(c.calls, e.id)
	}
	c.mu.Unlock()
	if e.loops {
		c.waitOver(e.id)
	}
}

// waitOver notes that the loop of the worker does not wait for a call or a task any more.
func (c *client) waitOver(id uint64) {
	if c.link.Load() != nil { // else it has another life, perhaps, with waits of its own
		c.slot.main.broker.endWait(c.slot.name, id)
	}
}

// call returns the call with the id that the worker waits for, or nil.
func (c *client) call(id uint64) *callEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[id]
}

// mayCall refuses a call that an honest worker does not make.
func (c *client) mayCall(f *wire.Frame) error {
	if err := checkChain(f.Meta); err != nil {
		return lie("%v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case f.Flags&wire.FlagBroadcast != 0:
		return lie("it made a call to several")
	case c.calls[f.ID] != nil:
		return lie("it made call %d again, which has no reply yet", f.ID)
	case len(c.calls) >= 2*maxCalls:
		return lie("it waits for the replies to %d calls", len(c.calls))
	}
	return nil
}

// answer gives the worker the outcome of a call or a task, and returns the link that it was posted
// to: nil if the worker is gone, and nobody waits.
func (c *client) answer(how link.Haste, f *wire.Frame) *link.Link {
	l := c.link.Load()
	if l != nil {
		l.Answer(how, f)
	}
	return l
}

// tell posts a frame that always fits to the worker, if it is there.
func (c *client) tell(f *wire.Frame) {
	if l := c.link.Load(); l != nil {
		l.Tell(link.Soon, f)
	}
}

// pass posts news for the worker, if it is there. It returns why they cannot be sent at all.
func (c *client) pass(f *wire.Frame) error {
	l := c.link.Load()
	if l == nil || l.Behind() {
		return nil
	}
	if err := l.Post(link.Soon, f); err != link.ErrClosed {
		return err
	}
	return nil
}

// gone ends what the worker waits for: its life has ended. Calls that wait for room are taken back,
// and who handles one is told that nobody waits for the reply.
func (c *client) gone() {
	c.link.Store(nil)
	c.slot.main.broker.endWaits(c.slot.name)
	c.mu.Lock()
	calls := c.calls
	c.calls = nil
	c.mu.Unlock()
	for _, e := range calls {
		e.cancel(false)
	}
	c.slot.main.receiver.cancelAll(c)
}
