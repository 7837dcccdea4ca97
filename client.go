package multiprolab

import (
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/outbox"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// client is one life of a worker as those see it who owe it something: those who handle its calls,
// and the queue that has its tasks. It exists in main. It is small, and may be kept as long as
// somebody owes it something, which can be long after the life; a peer may not, because it holds
// what was read from its wire and what was to be written to it.
type client struct {
	// seated is which instance the life is, and which life of it.
	*seated
	// Purse is what the life may send. It guards itself.
	outbox.Purse
	// streams are its streams of which pieces may come. They guard themselves.
	streams outbox.Streams
	// link is main's end of the wire; nil when the life has ended, and the worker waits for nothing
	// any more. Any goroutine may read it.
	link atomic.Pointer[link.Link]
	// parted says that another life works in the name of the instance, while this one ends: the
	// waits of both would have the same numbers. Those of this one are not known any more.
	parted atomic.Bool
	// submits is what the broker keeps of the life.
	submits

	// mu guards calls.
	mu lockorder.Mutex[lockorder.Leaf]
	// calls are its calls to other workers that have no reply yet, by the numbers that the worker
	// has given them.
	calls map[uint64]madeCall

	// desk is told when the worker does not wait any more. It never changes.
	desk clientDesk
}

// submits is a life of a worker as a submitter of tasks. It exists in main; the broker's mutex
// guards it.
type submits struct {
	number queue.Submitter // the number by which the rules of tasks know the life; 0 before its first task
	lined  int64           // how many bytes of credit those of its tasks hold that wait for room
}

// madeCall is a call as the worker knows it that has made it; see callEntry.
type madeCall interface {
	// cancel says that the worker does not wait for the reply any more.
	cancel(soft bool)
}

// clientDesk is what main does when a worker does not wait any more. No method waits.
type clientDesk interface {
	// endWait says that one wait of a process is over.
	endWait(by string, id uint64)
	// endWaits says that all waits of a process are over.
	endWaits(by string)
	// cancelAll tells the handlers of main that nobody waits for the replies to the calls of a
	// life.
	cancelAll(of *client)
}

// newClient returns the client of a life that has just begun, with its wire.
func newClient(s *seated, l *link.Link, d clientDesk) *client {
	c := &client{seated: s, Purse: s.slot().account.Purse(), desk: d}
	c.link.Store(l)
	return c
}

// name returns the name of the worker, or MainName if c is nil.
func (c *client) name() string {
	if c == nil {
		return MainName
	}
	return c.slot().name
}

// openAccount makes the life the present one of its account, and returns how many bytes it may
// send.
func (c *client) openAccount() int64 { return c.Open(c.tell) }

// calling notes a call of the worker to another worker, under the number that the worker has given
// it.
func (c *client) calling(id uint64, e madeCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[uint64]madeCall{}
	}
	c.calls[id] = e
}

// called notes that a call of the worker has its reply. loops says that the loop of the worker has
// waited for it.
func (c *client) called(id uint64, e madeCall, loops bool) {
	c.mu.Lock()
	if c.calls[id] == e {
		delete(c.calls, id)
	}
	c.mu.Unlock()
	if loops {
		c.waitOver(id)
	}
}

// waitOver notes that the loop of the worker does not wait for this call or task any more.
func (c *client) waitOver(id uint64) {
	if !c.over() { // otherwise the next life may have begun, whose waits have the same numbers
		c.desk.endWait(c.slot().name, id)
	}
}

// call returns the call of this number that the worker waits for, or nil.
func (c *client) call(id uint64) madeCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[id]
}

// mayCall returns an error if an honest worker would not make this call.
func (c *client) mayCall(f *wire.Frame) error {
	if err := meta.CheckChain(f.Meta); err != nil {
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
// to. It returns nil if the life has ended, because then nobody waits.
func (c *client) answer(how link.Haste, f *wire.Frame) *link.Link {
	l := c.link.Load()
	if l != nil {
		l.Answer(how, f)
	}
	return l
}

// tell posts a frame to the worker for which no room is needed, unless its life has ended.
func (c *client) tell(f *wire.Frame) {
	if l := c.link.Load(); l != nil {
		l.Tell(link.Soon, f)
	}
}

// pass posts a report of progress to the worker, unless its life has ended or ends because the
// worker has left too much unread. It returns an error if the report cannot be sent at all.
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

// over reports whether the life has ended or parted, so that nobody looks for what it waits for. It
// is false if c is nil, which is main.
func (c *client) over() bool { return c != nil && (c.parted.Load() || c.link.Load() == nil) }

// part ends that somebody looks for what the worker waits for, because another life works in the
// name of the instance from now on. It goes on getting its replies.
func (c *client) part() {
	if !c.parted.Swap(true) && c.link.Load() != nil {
		c.desk.endWaits(c.slot().name)
	}
}

// gone ends everything that the worker waits for, because its life has ended or is being killed.
// Its calls that wait for room are taken back; whoever handles one of the others is told that
// nobody waits for the reply.
func (c *client) gone() {
	if c.link.Swap(nil) != nil && !c.parted.Load() { // otherwise the waits are those of the next life
		c.desk.endWaits(c.slot().name)
	}
	c.mu.Lock()
	calls := c.calls
	c.calls = nil
	c.mu.Unlock()
	for _, e := range calls {
		e.cancel(false)
	}
	c.desk.cancelAll(c)
}

// leave is Grant in the form in which the inbox of main calls it.
func (c *client) leave(_ *Message, bytes int64, _ bool) {
	if bytes > 0 {
		c.Grant(bytes)
	}
}

// callEntry is a call that is on its way to a worker, or that the worker handles. It exists in
// main. Its own fields never change.
type callEntry struct {
	// origin is the life of the worker that has made the call; nil if main has made it.
	origin *client
	// id is the number by which the caller knows the call.
	id uint64
	// callee is the instance that is called.
	callee *slot
	// typ is the type of the call.
	typ string
	// loops says that the loop of the caller waits for the reply.
	loops bool
	// Carriage is what the outbox of the callee knows of the call. That outbox guards it.
	outbox.Carriage
}

// newCall returns the entry of a call to the instance. origin is nil for a call of main.
func (s *slot) newCall(origin *client, f *wire.Frame) *callEntry {
	return &callEntry{origin: origin, id: f.ID, callee: s, typ: f.Type, loops: f.Meta != ""}
}
