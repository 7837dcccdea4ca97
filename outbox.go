package multiprolab

import (
	"container/list"
	"context"
	"sync"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// frameCost is what a message counts beyond its body, in bytes, against the window of its receiver.
const frameCost = 128

func cost(f *wire.Frame) int64 { return int64(frameCost + len(f.Body)) }

// parcel is a message that waits for credit.
type parcel struct {
	frame   *wire.Frame
	sent    func() // called once it has been written or given up; gives the credit of its own sender back. May be nil
	call    *callEntry
	waiting chan error // of a sender that waits in send, else nil
}

// outbox sends the messages of one direction, first in first out, each as soon as its receiver has room for it: the receiver
// gives credit in bytes. It exists in a worker once, for main, and in main once for each instance of a worker, whose lives it
// outlasts: between two lives everything waits. Any goroutine may use it. No method but send ever waits.
type outbox struct {
	window int64
	track  bool // keep letters: only main reports what became of them

	mu      sync.Mutex
	link    *link // nil between two lives
	credit  int64
	waiting list.List // of *parcel
	letters letters   // written, not yet taken
	sealed  error     // why nothing more is taken; what waits still goes out
	closed  bool
}

// put queues a message. It is written at once if there is room. It returns an error if the outbox is closed.
// With lazy set, the caller pushes the link soon.
func (o *outbox) put(p *parcel, lazy bool) (*link, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	link := o.link
	return link, o.putLocked(p, lazy)
}

func (o *outbox) putLocked(p *parcel, lazy bool) error {
	if o.sealed != nil {
		return o.sealed
	}
	if o.waiting.Len() == 0 && o.tryWrite(p.frame, p.call, lazy) {
		p.gone()
		return nil
	}
	o.waiting.PushBack(p)
	return nil
}

// gone tells the sender of a parcel that it has been written.
func (p *parcel) gone() {
	if p.sent != nil {
		p.sent()
	}
}

// tryWrite writes the message if the receiver has room. A message larger than half of the window needs half of it free, so
// that every message can be sent at some time.
func (o *outbox) tryWrite(f *wire.Frame, call *callEntry, lazy bool) bool {
	n := cost(f)
	if o.link == nil || o.credit < min(n, o.window/2) {
		return false
	}
	o.credit -= n
	if o.track && f.Kind == wire.Message {
		o.letters.add(f)
	}
	if call != nil {
		call.written = true
	}
	link := o.link
	if f.Kind == wire.Exit {
		o.link = nil // what comes later waits for the next life
	}
	if lazy { // it fails only when the link is closed: detach then tells what was lost
		_ = link.postQuiet(f)
	} else {
		_ = link.post(f)
	}
	return true
}

// send queues a message and waits until it has been written. If ctx ends before, the message is taken back. With lazy set, the caller pushes the link soon.
func (o *outbox) send(ctx context.Context, f *wire.Frame, call *callEntry, lazy bool) error {
	o.mu.Lock()
	if o.sealed == nil && o.waiting.Len() == 0 && o.tryWrite(f, call, lazy) {
		o.mu.Unlock()
		return nil
	}
	p := &parcel{frame: f, call: call}
	if err := o.putLocked(p, lazy); err != nil || o.waiting.Len() == 0 || o.waiting.Back().Value != p {
		o.mu.Unlock()
		return err
	}
	e := o.waiting.Back()
	p.waiting = make(chan error, 1)
	o.mu.Unlock()

	defer stall(ctx)()
	select {
	case err := <-p.waiting:
		return err
	case <-ctx.Done():
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case err := <-p.waiting: // it went out, or was refused, in the same moment
		return err
	default:
		o.waiting.Remove(e)
		o.pump() // a smaller one behind it may fit
		return context.Cause(ctx)
	}
}

// pump writes what waits as far as the credit reaches.
func (o *outbox) pump() {
	for e := o.waiting.Front(); e != nil; e = o.waiting.Front() {
		p := e.Value.(*parcel)
		if !o.tryWrite(p.frame, p.call, false) {
			return
		}
		p.gone()
		o.waiting.Remove(e)
		if p.waiting != nil {
			p.waiting <- nil
		}
	}
}

// granted takes credit in: bytes of room, and the number of messages that a handler has taken since the last time. It reports
// whether both can be true.
func (o *outbox) granted(bytes, taken uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
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

// attach gives the outbox the wire of a new life.
func (o *outbox) attach(l *link) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.link, o.credit = l, o.window
	o.pump()
}

// detach takes the wire of a life that has ended away and returns what was written to it and not taken there, nor reported.
func (o *outbox) detach() []letter {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.link, o.credit = nil, 0
	return o.letters.lost()
}

// reported notes that the worker has reported a message as not handled, by its number in this life.
func (o *outbox) reported(serial uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.letters.reported(serial)
}

// close refuses further messages with err and returns those that were waiting and have nobody who waits with them.
func (o *outbox) close(err error) []letter {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.closed, o.sealed = true, err
	var lost []letter
	for e := o.waiting.Front(); e != nil; e = e.Next() {
		p := e.Value.(*parcel)
		switch {
		case p.waiting != nil:
			p.waiting <- err
		case p.call == nil && p.frame.Kind != wire.Exit:
			lost = append(lost, letter{address{p.frame.From, p.frame.Type}, len(p.frame.Body)})
		}
		if p.sent != nil {
			p.sent()
		}
	}
	o.waiting.Init()
	return lost
}

// push writes what was posted lazily, as far as there is room, and returns the wire.
func (o *outbox) push() *link {
	o.mu.Lock()
	link := o.link
	o.mu.Unlock()
	if link != nil {
		link.push()
	}
	return link
}

// load is the number of messages on their way to the receiver or in its inbox.
func (o *outbox) load() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waiting.Len() + o.letters.len()
}

// finish sends a last frame behind everything that waits. What comes later waits for the next life or, if there is to be none, is refused.
func (o *outbox) finish(f *wire.Frame, forGood bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.putLocked(&parcel{frame: f}, false)
	if forGood {
		o.sealed = ErrStopped
	}
}
