package multiprolab

import (
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// client is one life of a worker for those who owe it something: the callee of its calls, the queue
// of its tasks. It exists in main. It is small and may be kept for as long as the debt lasts, which
// can be long after the life: a peer, with what was read and written of its wire, may not.
type client struct {
	slot *slot
	link atomic.Pointer[link.Link] // nil when the life has ended, and nobody waits any more
	// credit is what the life may send; the account of the slot guards it.
	credit mail.Credit

	// number is what the rules of tasks know the life by, from its first task on. The broker's
	// mutex guards it.
	number queue.Submitter
	// lined is the credit of its tasks that wait for room, in bytes. The broker's mutex guards it.
	lined int64

	mu    lockorder.Mutex[lockorder.Leaf]
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
		c.slot.desk.tasks.endWait(c.slot.name, id)
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
	c.slot.desk.tasks.endWaits(c.slot.name)
	c.mu.Lock()
	calls := c.calls
	c.calls = nil
	c.mu.Unlock()
	for _, e := range calls {
		e.cancel(false)
	}
	c.slot.desk.receiver.cancelAll(c)
}

// account is the credit of the worker in a slot, for all its lives. Its rules are mail.Account. It
// exists in main. Any goroutine may use it, and no method waits.
type account struct {
	window int64 // of one life, in bytes; set before the first

	mu      lockorder.Mutex[lockorder.Account]
	rules   *mail.Account // the credit of all lives; it and the credit field of each life's client are guarded by mu
	present *client       // the life that is told; nil before the first; guarded by mu
	late    bool          // flush is about to run; guarded by mu
}

func newAccount(window int64) *account {
	return &account{window: window, rules: mail.NewAccount(window)}
}

// grantTime is how long credit that is due to a worker may gather while the worker may be waiting
// for it.
const grantTime = 5 * time.Millisecond

// open begins a life, and returns the room that it has, in bytes; see mail.Account.Open.
func (a *account) open(c *client) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.present = c
	return a.rules.Open(&c.credit)
}

// charge books a frame that the worker has sent, checks that there was room for it, and returns
// what it costs.
func (c *client) charge(f *wire.Frame) (n int64, err error) {
	n = cost(f)
	a := c.slot.account
	a.mu.Lock()
	defer a.mu.Unlock()
	switch a.rules.Charge(&c.credit, n) {
	case mail.Gone:
		return n, link.ErrClosed // it was written by a life before
	case mail.Excess:
		spent := c.credit.Spent() + n
		return n, lie("it sent %d bytes of messages with a window of %d", spent, a.window)
	}
	a.hurry()
	return n, nil
}

// grant gives back what is not kept any more of what the worker has sent. The worker is told when a
// quarter of the window has gathered, or after a moment if it has less than half a window left:
// else no sender waits.
func (c *client) grant(bytes int64) {
	a := c.slot.account
	a.mu.Lock()
	if a.rules.Grant(&c.credit, bytes) {
		a.payAndUnlock()
		return
	}
	a.hurry()
	a.mu.Unlock()
}

// hurry sees to it that the worker is told soon of what is due to it, if it may be waiting for
// that. The caller holds mu.
func (a *account) hurry() {
	if !a.late && a.rules.Hurries() {
		a.late = true
		time.AfterFunc(grantTime, a.flush)
	}
}

// flush tells the worker what is due to it. It runs on a timer's goroutine.
func (a *account) flush() {
	a.mu.Lock()
	a.late = false
	a.payAndUnlock()
}

// payAndUnlock tells the worker what is due to it, after it has given back mu, which the caller
// holds.
func (a *account) payAndUnlock() {
	bytes, present := a.rules.Pay(), a.present
	a.mu.Unlock()
	if bytes > 0 {
		present.tell(wire.NewCredit(uint64(bytes), 0))
	}
}

// kept is what main keeps of what this life has sent, in bytes.
func (c *client) kept() int64 {
	a := c.slot.account
	a.mu.Lock()
	defer a.mu.Unlock()
	return c.credit.Kept()
}

// leave is grant as the inbox of main calls it.
func (c *client) leave(_ *Message, bytes int64, _ bool) {
	if bytes > 0 {
		c.grant(bytes)
	}
}
