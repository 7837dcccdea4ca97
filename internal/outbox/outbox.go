// Package outbox is what one process is sent: who waits for room, in which order it is posted, and
// what was lost with a life. It carries the rules of package mail out under its lock, posts frames
// to the link of the present life, and keeps the credit of those whose frames it passes on. At the
// other end it gathers what the receiver gives back.
//
// It knows frames and links. It does not know what a frame is about, who has made a call or waits
// for its reply, which goroutine is a loop, or who is told of a loss: it returns what was lost.
package outbox

import (
	"context"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Outbox sends the messages of one direction, each as soon as its receiver has room for it. Its
// rules are mail.Outbox; the outbox holds the lock, posts what the rules let go, and waits. There
// is one in a worker, for main, and one in main for each instance of a worker, whose lives it
// outlasts. Any goroutine may use it. Only the method Send waits.
//
// Frames are posted under its mutex, so that they are in order. Whatever else has to be done for a
// parcel that has left the line, unlock does once the mutex is free.
type Outbox struct {
	// cfg is how the outbox works. It does not change.
	cfg Config
	// loaded is the load of the rules. It is written with mu held; any goroutine may read it.
	loaded atomic.Int64

	mu    lockorder.Mutex[lockorder.Outbox]  // guards rules, link, sealed, closed and left
	rules mail.Outbox[*Parcel, Letter, Call] // what may be written, and what has no answer
	link  *link.Link                         // the wire of the present life; nil between two lives
	// sealed is why no further message is taken, while messages that wait still go out; or nil.
	sealed error
	closed bool      // Close was called
	left   []*Parcel // the parcels that have left the line, until unlock has seen to them
}

// Config is how an outbox works.
type Config struct {
	// Window is how many bytes of room a receiver of AttachWhole has when it keeps nothing.
	Window int64
	// Stall is called when a sender begins to wait in Send, with its context. It returns a channel
	// for the error that says that the sender must not wait, or nil, and a function for the end of
	// the wait.
	Stall func(ctx context.Context) (refused <-chan error, over func())
	// CauseOf returns the error of a sender whose context has ended.
	CauseOf func(ctx context.Context) error
	// Tracks says that the ledger keeps what is written. Only main has it set: only main reports
	// what became of messages, and gives calls new numbers.
	Tracks bool
	// Again is how often a message is handed to the next life that one may have ended because of;
	// 0 if what a life has not handled is lost with it.
	Again int
	// Starved is called under the mutex when a message has to wait for room, and none waits before
	// it; or nil.
	Starved func()
}

// New returns an outbox between two lives.
func New(c Config) *Outbox {
	o := &Outbox{cfg: c}
	o.rules.Ledger.Clears = c.Again > 0
	return o
}

// Post takes a message, which is written at once if there is room for it, and otherwise waits. It
// returns the wire of the present life, or an error if the outbox is sealed. how is how the message
// is posted if it does not wait.
func (o *Outbox) Post(p *Parcel, how link.Haste) (*link.Link, error) {
	o.mu.Lock()
	l := o.link
	done, err := o.offer(p.Frame, p.Call, how)
	if err == nil && !done {
		o.enqueue(p)
	}
	o.unlock()
	if done && err == nil {
		p.gone()
	}
	return l, err
}

// Send takes a message and waits until it has been written. If ctx ends before, or if the sender
// must not wait, the message is taken back. loop is the loop that the frame may say waits, or nil.
// how is how the message is posted if it does not wait.
func (o *Outbox) Send(ctx context.Context, f *wire.Frame, call Call, loop Loop, how link.Haste) error {
	o.mu.Lock()
	if loop != nil {
		loop.Correct(f)
	}
	done, err := o.offer(f, call, how)
	if done || err != nil {
		o.unlock()
		return err
	}
	p := &Parcel{Frame: f, Call: call, loop: loop, waiting: make(chan error, 1)}
	o.enqueue(p)
	o.unlock()
	return o.wait(ctx, p)
}

// wait waits until a parcel has been written. If ctx ends before, or if the sender must not wait,
// the parcel is taken back.
func (o *Outbox) wait(ctx context.Context, p *Parcel) error {
	refused, over := o.cfg.Stall(ctx)
	defer over()
	var why error
	select {
	case err := <-p.waiting:
		return err
	case <-ctx.Done():
		why = o.cfg.CauseOf(ctx)
	case why = <-refused:
	}
	o.mu.Lock()
	withdrawn := o.takeBack(p)
	o.unlock()
	if !withdrawn { // the parcel has been written, or refused, in the meantime
		return <-p.waiting
	}
	return why
}

// offer writes a message if nothing waits before it and the receiver has room, and reports whether
// it did. An error says that the message cannot be sent at all. The caller holds mu.
func (o *Outbox) offer(f *wire.Frame, call Call, how link.Haste) (done bool, err error) {
	if o.sealed != nil {
		return false, o.sealed
	}
	n := f.Cost()
	if !o.rules.Offer(n) {
		return false, nil
	}
	return true, o.post(f, n, call, how, nil)
}

// enqueue lets a parcel wait for room. The caller holds mu.
func (o *Outbox) enqueue(p *Parcel) {
	p.waits()
	if o.cfg.Starved != nil && o.rules.Waiting() == 0 {
		o.cfg.Starved()
	}
	o.rules.Wait(&p.place)
}

// post writes a message for which the rules have given n bytes of room. p is the parcel in which it
// has waited, or nil. An error says that the message cannot be sent at all. The caller holds mu.
func (o *Outbox) post(f *wire.Frame, n int64, call Call, how link.Haste, p *Parcel) error {
	if o.cfg.Tracks && call != nil {
		f.ID = o.rules.Ledger.Ask(call)
		call.carriage().written(f.ID)
	}
	err := o.link.Post(how, f)
	if o.cfg.Tracks && err == link.ErrClosed { // the life has ended, and Detach will return the message as lost
		err = nil
	}
	if err != nil {
		o.rules.Window.Return(n)
		if o.cfg.Tracks && call != nil {
			o.rules.Ledger.Unask(f.ID)
		}
		return err
	}
	if o.cfg.Tracks && f.Kind == wire.Message {
		l := letterOf(f)
		if o.cfg.Again > 0 {
			l.Kept = keep(f, p)
		}
		o.rules.Ledger.Write(l)
	}
	return nil
}

// unlock writes what may be written now, notes the load, unlocks mu, and then sees to the parcels
// that have left the line.
func (o *Outbox) unlock() {
	if o.rules.Waiting() > 0 {
		o.pump()
	}
	left := o.left
	o.left = nil
	o.loaded.Store(int64(o.rules.Load()))
	o.mu.Unlock()
	for _, p := range left {
		switch {
		case p.waiting != nil:
			p.waiting <- p.err
		case p.err != nil && p.From != nil: // a parcel without a sender is an exit message, which always fits
			p.From.Lost(p, p.err)
		}
		p.gone()
	}
}

// pump writes the messages that wait as far as there is room. The caller holds mu.
func (o *Outbox) pump() {
	for place := o.rules.Next(); place != nil; place = o.rules.Next() {
		p := place.Message
		n := place.Cost
		switch {
		case place.IsLast():
			n = 0
		case p.loop != nil:
			p.loop.Correct(p.Frame)
			n = p.Frame.Cost()
			o.rules.Window.Return(place.Cost - n)
		}
		p.goes()
		p.err = o.post(p.Frame, n, p.Call, link.Soon, p)
		o.left = append(o.left, p)
	}
}

// takeBack takes a parcel out of the line, and reports whether it was there. The caller holds mu.
func (o *Outbox) takeBack(p *Parcel) bool {
	if !o.rules.Withdraw(&p.place) {
		return false
	}
	p.leaves()
	return true
}

// Cancel takes back a call that waits for room, and reports whether it has. If not, it returns the
// number by which the receiver knows the call, or 0 if that was not written or has its reply.
func (o *Outbox) Cancel(call Call) (number uint64, withdrawn bool) {
	o.mu.Lock()
	c := call.carriage()
	p := c.parcel
	withdrawn = p != nil && o.takeBack(p)
	if asked, _ := o.rules.Ledger.Asked(c.number); asked == call {
		number = c.number
	}
	o.unlock()
	if withdrawn {
		p.gone()
	}
	return number, withdrawn
}

// InOrder calls post while nothing else can be written: so frames that are written before post say
// what was true before it, and later ones what is true after it; see Loop.
func (o *Outbox) InOrder(post func()) {
	o.mu.Lock()
	defer o.unlock()
	post()
}

// Push writes what was posted quietly, as far as there is room, and returns the wire.
func (o *Outbox) Push() *link.Link {
	o.mu.Lock()
	l := o.link
	o.mu.Unlock()
	l.Push()
	return l
}
