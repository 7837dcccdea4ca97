package multiprolab

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// outbox sends the messages of one direction, each as soon as its receiver has room for it. Its
// rules are mail.Outbox; the outbox holds the lock, posts what the rules let go, and waits. There
// is one in a worker, for main, and one in main for each instance of a worker, whose lives it
// outlasts. Any goroutine may use it. Only the method send waits.
//
// Frames are posted under its mutex, so that they are in order. Whatever else has to be done for a
// parcel that has left the line, unlock does once the mutex is free.
type outbox struct {
	// starve is called when a loop begins to wait for room. It returns a channel for the error that
	// says that the loop must not wait, and a function for its end. Nil in main; does not change.
	starve func(loop *scope) (refused <-chan error, over func())
	// track says that the ledger keeps what is written. Only main has it set: only main reports
	// what became of messages, and gives calls new numbers. It does not change.
	track   bool
	starved starvation // is told when a message waits for room; does not change
	// again is how often a message is handed to the next life that one may have ended because of;
	// 0 if what a life has not handled is lost with it. It does not change.
	again int
	// loaded is the load of the rules. It is written with mu held; any goroutine may read it.
	loaded atomic.Int64

	mu    lockorder.Mutex[lockorder.Outbox]         // guards rules, link, sealed, closed and left
	rules mail.Outbox[*parcel, letter, carriedCall] // what may be written, and what has no answer
	link  *link.Link                                // the wire of the present life; nil between two lives
	// sealed is why no further message is taken, while messages that wait still go out; or nil.
	sealed error
	closed bool      // close was called
	left   []*parcel // the parcels that have left the line, until unlock has seen to them
}

// newOutbox returns an outbox whose receiver has a window of so many bytes, between two lives.
func newOutbox(window int64, track bool) *outbox {
	o := &outbox{track: track}
	o.rules.Window.Resize(window)
	return o
}

// redeliver has the outbox hand what a life has not handled to the next one, before it is used.
func (o *outbox) redeliver(again int) {
	o.again, o.rules.Ledger.Clears = again, again > 0
}

// resize sets the window of the receiver, before its life begins.
func (o *outbox) resize(window int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rules.Window.Resize(window)
}

// postParcel takes a message, which is written at once if there is room for it, and otherwise
// waits. It returns the wire of the present life, or an error if the outbox is sealed. With lazy
// set, the caller pushes the link soon.
func (o *outbox) postParcel(p *parcel, lazy bool) (*link.Link, error) {
	o.mu.Lock()
	l := o.link
	done, err := o.offer(p.frame, p.call, lazy)
	if err == nil && !done {
		o.enqueue(p)
	}
	o.unlock()
	if done && err == nil {
		p.gone()
	}
	return l, err
}

// offer writes a message if nothing waits before it and the receiver has room, and reports whether
// it did. An error says that the message cannot be sent at all. The caller holds mu.
func (o *outbox) offer(f *wire.Frame, call carriedCall, lazy bool) (done bool, err error) {
	if o.sealed != nil {
		return false, o.sealed
	}
	n := cost(f)
	if !o.rules.Offer(n) {
		return false, nil
	}
	how := link.Soon
	if lazy {
		how = link.Quietly
	}
	return true, o.post(f, n, call, how, nil)
}

// enqueue lets a parcel wait for room. The caller holds mu.
func (o *outbox) enqueue(p *parcel) {
	p.limit = limitIn(p.frame)
	p.place.Message, p.place.Cost = p, cost(p.frame)
	if p.call != nil {
		p.call.carried().parcel = p
	}
	o.starved.note(o.rules.Waiting())
	o.rules.Wait(&p.place)
}

// post writes a message for which the rules have given n bytes of room. p is the parcel in which it
// has waited, or nil. An error says that the message cannot be sent at all. The caller holds mu.
func (o *outbox) post(f *wire.Frame, n int64, call carriedCall, how link.Haste, p *parcel) error {
	if o.track && call != nil {
		f.ID = o.rules.Ledger.Ask(call)
		call.carried().written(f.ID)
	}
	err := o.link.Post(how, f)
	if o.track && err == link.ErrClosed { // the life has ended, and detach will return the message as lost
		err = nil
	}
	if err != nil {
		o.rules.Window.Return(n)
		if o.track && call != nil {
			o.rules.Ledger.Unask(f.ID)
		}
		return err
	}
	if o.track && f.Kind == wire.Message {
		l := letterOf(f)
		if o.again > 0 {
			l.kept = keep(f, p)
		}
		o.rules.Ledger.Write(l)
	}
	return nil
}

// send takes a message and waits until it has been written. If ctx ends before, the message is
// taken back. With lazy set, the caller pushes the link soon.
func (o *outbox) send(ctx context.Context, f *wire.Frame, call carriedCall, lazy bool) error {
	var loop *scope
	if o.starve != nil && f.Kind != wire.Message {
		loop = anyScopeOf(ctx)
	}
	o.mu.Lock()
	loop.correct(f)
	done, err := o.offer(f, call, lazy)
	if done || err != nil {
		o.unlock()
		return err
	}
	p := &parcel{frame: f, call: call, loop: loop, waiting: make(chan error, 1)}
	o.enqueue(p)
	o.unlock()
	return o.wait(ctx, p)
}

// wait waits until a parcel has been written. If ctx ends before, or if the loop must not wait, the
// parcel is taken back.
func (o *outbox) wait(ctx context.Context, p *parcel) error {
	defer stall(ctx)()
	var refused <-chan error
	if o.starve != nil {
		if loop := scopeOf(ctx); loop != nil {
			var over func()
			refused, over = o.starve(loop)
			defer over()
		}
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
	withdrawn := o.takeBack(p)
	o.unlock()
	if !withdrawn { // the parcel has been written, or refused, in the meantime
		return <-p.waiting
	}
	return why
}

// unlock writes what may be written now, notes the load, unlocks mu, and then sees to the parcels
// that have left the line.
func (o *outbox) unlock() {
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
		case p.err != nil && p.from != nil: // a parcel without a sender is an exit message, which always fits
			p.from.lost(p, p.err)
		}
		p.gone()
	}
}

// pump writes the messages that wait as far as there is room. The caller holds mu.
func (o *outbox) pump() {
	for place := o.rules.Next(); place != nil; place = o.rules.Next() {
		p := place.Message
		if p.limit != nil {
			p.frame.Left = leftUntil(p.limit.due)
		}
		n := place.Cost
		switch {
		case place.IsLast():
			n = 0
		case p.loop != nil:
			p.loop.correct(p.frame)
			n = cost(p.frame)
			o.rules.Window.Return(place.Cost - n)
		}
		p.err = o.post(p.frame, n, p.call, link.Soon, p)
		p.leaves()
		o.left = append(o.left, p)
	}
}

// inOrder calls post while nothing else can be written: so frames that are written before post say
// what was true before it, and later ones what is true after it, see scope.correct.
func (o *outbox) inOrder(post func()) {
	o.mu.Lock()
	defer o.unlock()
	post()
}

// takeBack takes a parcel out of the line, and reports whether it was there. The caller holds mu.
func (o *outbox) takeBack(p *parcel) bool {
	if !o.rules.Withdraw(&p.place) {
		return false
	}
	p.leaves()
	return true
}

// withdraw takes back a call that waits for room. It reports false if the call has been written, so
// that the receiver has it.
func (o *outbox) withdraw(call carriedCall) bool {
	o.mu.Lock()
	p := call.carried().parcel
	withdrawn := p != nil && o.takeBack(p)
	o.unlock()
	if withdrawn {
		p.gone()
	}
	return withdrawn
}

// numberOf returns the number by which the receiver knows a call. It reports false if the call was
// not written yet, or has its reply.
func (o *outbox) numberOf(call carriedCall) (number uint64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	number = call.carried().number
	found, _ := o.rules.Ledger.Asked(number)
	return number, found == call
}

// answered takes out the call that the receiver replies to, or returns nil if no call of that
// number waits for a reply.
func (o *outbox) answered(number uint64) carriedCall {
	o.mu.Lock()
	defer o.unlock()
	call, _ := o.rules.Ledger.Answered(number)
	return call
}

// granted takes in credit: bytes of room, and the serial up to which messages have left the inbox
// of the receiver. It reports whether both can be true.
func (o *outbox) granted(bytes, upTo uint64) bool {
	o.mu.Lock()
	defer o.unlock()
	return o.rules.Granted(bytes, upTo)
}

// attach gives the outbox the wire of a new life, and the room that its receiver has, in bytes.
func (o *outbox) attach(l *link.Link, room int64) {
	o.mu.Lock()
	defer o.unlock()
	o.link = l
	o.rules.Open(room)
}

// attachWhole is attach for a life that has room for a whole window.
func (o *outbox) attachWhole(l *link.Link) {
	o.mu.Lock()
	defer o.unlock()
	o.link = l
	o.rules.Open(o.rules.Window.Size())
}

// detach takes away the wire of a life that has ended. It returns the messages that were written to
// it and that nobody has been told of, without those that the next life gets, and the calls that
// have no reply.
func (o *outbox) detach() (lost []letter, calls []carriedCall) {
	o.mu.Lock()
	defer o.unlock()
	o.link = nil
	all, calls := o.rules.Detach()
	for _, l := range slices.Backward(all) {
		p := l.Letter.kept
		if p == nil || o.closed || !o.rules.Again(&p.place, l.Suspect, o.again) {
			lost = append(lost, l.Letter)
		} else if l.Begun {
			p.mark()
		}
	}
	slices.Reverse(lost)
	return lost, calls
}

// died notes up to which serial messages had left the inbox of a worker when it died, and up to
// which a handler had begun, because the worker could not say so itself any more. Numbers that
// cannot be true are ignored.
func (o *outbox) died(handled, begun uint64) {
	o.mu.Lock()
	defer o.unlock()
	o.rules.Ledger.Handled(handled)
	o.rules.Ledger.Begun(begun)
}

// strike notes that one message was reported, or confirmed alone, by its serial. It returns the
// message, or false if no such message waits to be confirmed.
func (o *outbox) strike(serial uint64) (letter, bool) {
	o.mu.Lock()
	defer o.unlock()
	return o.rules.Ledger.Strike(serial)
}

// close refuses further messages with err, and tells the senders that wait. It returns those
// messages and calls that were waiting for room and whose senders do not wait.
func (o *outbox) close(err error) (lost []letter, calls []carriedCall) {
	o.mu.Lock()
	defer o.unlock()
	if o.closed {
		return nil, nil
	}
	o.closed, o.sealed = true, err
	for _, place := range o.rules.Clear() {
		p := place.Message
		o.left = append(o.left, p)
		p.leaves()
		switch {
		case p.waiting != nil:
			p.err = err
		case p.call != nil:
			calls = append(calls, p.call)
		case !place.IsLast():
			l := letterOf(p.frame)
			l.kept = p
			lost = append(lost, l)
		}
	}
	return lost, calls
}

// push writes what was posted lazily, as far as there is room, and returns the wire.
func (o *outbox) push() *link.Link {
	o.mu.Lock()
	l := o.link
	o.mu.Unlock()
	l.Push()
	return l
}

// load is the number of messages and calls that wait here, are on their way to the receiver, or
// have not been answered by it. It takes no lock.
func (o *outbox) load() int { return int(o.loaded.Load()) }

// asks reports whether a call waits for the receiver's reply, or a message for its room.
func (o *outbox) asks() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rules.Ledger.Calls() > 0 || o.rules.Waiting() > 0
}

// sendLast sends the present life, if there is one, a last frame behind all messages that wait.
// Later messages wait for the next life. If there will be none, why is not nil, and they are
// refused with it.
func (o *outbox) sendLast(f *wire.Frame, why error) {
	o.mu.Lock()
	defer o.unlock()
	if o.sealed == nil {
		p := &parcel{frame: f}
		p.place.Message = p
		o.rules.Finish(&p.place)
	}
	if why != nil {
		o.sealed = why
	}
}
