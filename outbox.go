package multiprolab

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// frameCost is what a frame costs beside its texts and its body, in bytes: about what it takes in
// memory while it waits, as a Message in an inbox (240 bytes) or as a parcel with its frame in an
// outbox (250).
const frameCost = 256

// cost is what a frame counts, in bytes, against the window of its receiver and of its sender: what
// it takes in memory. From is not in it: it is one of main's own names.
func cost(f *wire.Frame) int64 {
	return int64(frameCost + len(f.To) + len(f.Type) + len(f.Meta) + len(f.Body))
}

// parcel is a message that waits for credit. It exists in the process of the outbox, which guards
// it.
type parcel struct {
	frame   *wire.Frame
	from    *client // of the worker that sent it, whose credit it holds; nil for a message of this process
	cost    int64   // of from, in bytes
	all     *broadcast
	call    *callEntry
	limit   *timeLimit // of the frame, when it began to wait; or nil
	waiting chan error // of a sender that waits in send, else nil
}

// gone gives the credit of its sender back: the parcel has been written, or given up.
func (p *parcel) gone() {
	switch {
	case p.all != nil:
		p.all.done()
	case p.from != nil:
		p.from.grant(p.cost)
	}
}

// lost tells who must know that the parcel cannot be sent: the caller of a call, main of a message.
func (p *parcel) lost(err error) {
	if p.from == nil {
		return // an exit message, which always fits
	}
	r := p.from.slot.main.router
	if p.call != nil {
		if p.call.callee.forget(p.call.calleeID) != nil {
			r.replied(p.call, &reply{err: err}, nil).Push()
		}
		return
	}
	r.bounce(p.frame, err)
}

// outbox sends the messages of one direction, first in first out, each as soon as its receiver has
// room for it: the receiver gives credit in bytes. It exists in a worker once, for main, and in
// main once for each instance of a worker, whose lives it outlasts: between two lives everything
// waits. Any goroutine may use it. No method but send ever waits.
type outbox struct {
	window int64
	starve func() (refused <-chan error, over func()) // called when a loop begins to wait for room; nil in main
	track  bool                                       // keep letters: only main reports what became of them
	loaded atomic.Int64                               // see load; written with the mutex held

	mu      sync.Mutex
	link    *link.Link // nil between two lives
	credit  int64
	waiting list.List // of *parcel
	letters letters   // written, not yet taken
	sealed  error     // why nothing more is taken; what waits still goes out
	closed  bool
}

// postParcel queues a message. It is written at once if there is room. It returns an error if the
// outbox is closed. With lazy set, the caller pushes the link soon.
func (o *outbox) postParcel(p *parcel, lazy bool) (*link.Link, error) {
	o.mu.Lock()
	defer o.unlock()
	l := o.link
	return l, o.putLocked(p, lazy)
}

func (o *outbox) putLocked(p *parcel, lazy bool) error {
	if o.sealed != nil {
		return o.sealed
	}
	if o.waiting.Len() == 0 {
		if sent, err := o.tryWrite(p.frame, p.call, lazy); sent {
			if err == nil {
				p.gone()
			}
			return err
		}
	}
	o.enqueue(p)
	return nil
}

// enqueue lets a parcel wait for room.
func (o *outbox) enqueue(p *parcel) {
	p.limit = limitIn(p.frame)
	e := o.waiting.PushBack(p)
	if p.call != nil {
		p.call.place = e
	}
}

// tryWrite writes the message if the receiver has room, and reports whether the message is done
// with. A message larger than half of the window needs half of it free, so that every message can
// be sent at some time. An error says that the message cannot be sent at all.
func (o *outbox) tryWrite(f *wire.Frame, call *callEntry, lazy bool) (done bool, err error) {
	n := cost(f)
	if o.link == nil || o.credit < min(n, o.window/2) {
		return false, nil
	}
	how := link.Soon
	if lazy {
		how = link.Quietly
	}
	if call != nil {
		call.written.Store(true) // before: the reply may come at once
	}
	err = o.link.Post(how, f)
	if o.track && err == link.ErrClosed { // the life has ended: detach tells what was lost
		err = nil
	}
	if err != nil {
		if call != nil {
			call.written.Store(false)
		}
		return true, err
	}
	o.credit -= n
	if o.track && f.Kind == wire.Message {
		o.letters.add(f)
	}
	if f.Kind == wire.Exit {
		o.link = nil // what comes later waits for the next life
	}
	return true, nil
}

// send queues a message and waits until it has been written. If ctx ends before, the message is
// taken back. With lazy set, the caller pushes the link soon.
func (o *outbox) send(ctx context.Context, f *wire.Frame, call *callEntry, lazy bool) error {
	o.mu.Lock()
	if o.sealed == nil && o.waiting.Len() == 0 {
		if done, err := o.tryWrite(f, call, lazy); done {
			o.unlock()
			return err
		}
	}
	p := &parcel{frame: f, call: call}
	if err := o.putLocked(p, lazy); err != nil || o.waiting.Len() == 0 || o.waiting.Back().Value != p {
		o.unlock()
		return err
	}
	e := o.waiting.Back()
	p.waiting = make(chan error, 1)
	o.unlock()

	defer stall(ctx)()
	var refused <-chan error
	if o.starve != nil && scopeOf(ctx) != nil {
		var over func()
		refused, over = o.starve()
		defer over()
	}
	var why error
	select {
	case err := <-p.waiting:
		return err
	case <-ctx.Done():
		why = causeOf(ctx)
	case why = <-refused:
	}
	o.mu.Lock()
	defer o.unlock()
	select {
	case err := <-p.waiting: // it went out, or was refused, in the same moment
		return err
	default:
		o.waiting.Remove(e)
		if call != nil {
			call.place = nil
		}
		o.pump() // a smaller one behind it may fit
		return why
	}
}

// pump writes what waits as far as the credit reaches.
func (o *outbox) pump() {
	for e := o.waiting.Front(); e != nil; e = o.waiting.Front() {
		p := e.Value.(*parcel)
		if p.limit != nil {
			p.frame.Left = leftUntil(p.limit.due)
		}
		done, err := o.tryWrite(p.frame, p.call, false)
		if !done {
			return
		}
		o.waiting.Remove(e)
		if p.call != nil {
			p.call.place = nil
		}
		switch {
		case p.waiting != nil:
			p.waiting <- err
		case err != nil:
			p.lost(err)
		}
		p.gone()
	}
}

// withdraw takes a call back that waits for room, and reports whether it did: one that has been
// written is the receiver's.
func (o *outbox) withdraw(call *callEntry) bool {
	o.mu.Lock()
	defer o.unlock()
	if call.place == nil {
		return false
	}
	p := o.waiting.Remove(call.place).(*parcel)
	call.place = nil
	p.gone()
	o.pump() // a smaller one behind it may fit
	return true
}

// granted takes credit in: bytes of room, and the number of messages that a handler has taken since
// the last time. It reports whether both can be true.
func (o *outbox) granted(bytes, taken uint64) bool {
	o.mu.Lock()
	defer o.unlock()
	if bytes > uint64(o.window-min(o.credit, o.window)) || o.track && taken > uint64(o.letters.len()) {
		return false
	}
	o.credit += int64(bytes)
	if o.track {
		o.letters.take(taken)
	}
	o.pump()
	return true
}

// attach gives the outbox the wire of a new life, and the room that its receiver has, in bytes.
func (o *outbox) attach(l *link.Link, room int64) {
	o.mu.Lock()
	defer o.unlock()
	o.link, o.credit = l, room
	o.pump()
}

// detach takes the wire of a life that has ended away and returns what was written to it and not
// taken there, nor reported.
func (o *outbox) detach() []letter {
	o.mu.Lock()
	defer o.unlock()
	o.link, o.credit = nil, 0
	return o.letters.lost()
}

// handled notes how many messages of this life the worker had handled when it died, as far as it
// has not said so itself. A number that cannot be is none.
func (o *outbox) handled(messages uint64) {
	o.mu.Lock()
	defer o.unlock()
	if n := messages - o.letters.taken; messages > o.letters.taken && n <= uint64(o.letters.len()) {
		o.letters.take(n)
	}
}

// reported notes that the worker has told what became of a message, by its number in this life, and
// returns the message, or false if there is none to be told of.
func (o *outbox) reported(serial uint64) (letter, bool) {
	o.mu.Lock()
	defer o.unlock()
	return o.letters.reported(serial)
}

// close refuses further messages with err and returns those that were waiting and have nobody who
// waits with them.
func (o *outbox) close(err error) []letter {
	o.mu.Lock()
	defer o.unlock()
	if o.closed {
		return nil
	}
	o.closed, o.sealed = true, err
	var lost []letter
	for e := o.waiting.Front(); e != nil; e = e.Next() {
		p := e.Value.(*parcel)
		if p.call != nil {
			p.call.place = nil
		}
		switch {
		case p.waiting != nil:
			p.waiting <- err
		case p.call == nil && p.frame.Kind != wire.Exit:
			lost = append(lost, letter{address{p.frame.From, p.frame.Type}, len(p.frame.Body)})
		}
		p.gone()
	}
	o.waiting.Init()
	return lost
}

// push writes what was posted lazily, as far as there is room, and returns the wire.
func (o *outbox) push() *link.Link {
	o.mu.Lock()
	l := o.link
	o.unlock()
	l.Push()
	return l
}

// load is the number of messages on their way to the receiver or in its inbox. It takes no lock.
func (o *outbox) load() int { return int(o.loaded.Load()) }

// unlock gives the mutex back, and notes the load.
func (o *outbox) unlock() {
	o.loaded.Store(int64(o.waiting.Len() + o.letters.len()))
	o.mu.Unlock()
}

// finish sends a last frame behind everything that waits. What comes later waits for the next life
// or, if there is to be none, is refused with the error that says why.
func (o *outbox) finish(f *wire.Frame, why error) {
	o.mu.Lock()
	defer o.unlock()
	if o.sealed == nil {
		o.waiting.PushBack(&parcel{frame: f})
		o.pump() // an exit message always fits
	}
	if why != nil {
		o.sealed = why
	}
}
