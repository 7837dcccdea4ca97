package outbox

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is a message or a call while it waits for room, what an outbox has to know of who has
// sent it, and what main keeps of one-way messages that were written to a worker.

// Parcel is a message or a call that may have to wait for room. It exists in the process of the
// outbox, which guards it. Who posts it sets the exported fields before.
type Parcel struct {
	Frame *wire.Frame // the frame that is to be written
	Call  Call        // the call; nil for a one-way message
	From  Sender      // who has sent it, whose credit it holds; nil for a message of this process
	Cost  int64       // how many bytes of credit it holds

	place mail.Place[*Parcel] // where it stands in the line of the outbox
	due   time.Time           // the deadline of the frame; zero if it has none
	// loop is the loop that the frame may say waits, which may have to be corrected; or nil.
	loop Loop
	// kept says that main keeps the message until it is handled, so that nobody waits for it any
	// more; see keep.
	kept bool
	// waiting is where the outcome goes to a sender that waits in Send; otherwise nil.
	waiting chan error
	// err is why the parcel cannot be written at all, or nil; see Outbox.unlock.
	err error
}

// Sender is a life of a worker whose message or call main passes on. It exists in main.
type Sender interface {
	Giver
	// Lost tells whoever must know it that a parcel cannot be sent.
	Lost(p *Parcel, err error)
}

// Giver is a life of a worker that main owes credit for what it has sent. It exists in main.
type Giver interface {
	// Grant gives bytes of credit back.
	Grant(bytes int64)
}

// Broadcast is one message of a life to several receivers. It exists in main. It is the sender of
// the message's parcels, and gives the life its credit back when the last of them has been written.
type Broadcast struct {
	Sender              // the life; does not change
	cost   int64        // how many bytes of credit the message costs the life; does not change
	left   atomic.Int32 // how many parcels have not been written; any goroutine may change it
}

// NewBroadcast returns a broadcast, of which each of so many parcels calls Grant in the end, and so
// does who has posted them all.
func NewBroadcast(from Sender, cost int64, parcels int) *Broadcast {
	b := &Broadcast{Sender: from, cost: cost}
	b.left.Store(int32(parcels) + 1)
	return b
}

// Grant implements Giver for one parcel.
func (b *Broadcast) Grant(int64) {
	if b.left.Add(-1) == 0 {
		b.Sender.Grant(b.cost)
	}
}

// Loop is a loop that may go on while a frame waits which says that the loop waits for its outcome.
// It exists in a worker.
type Loop interface {
	// Correct has the frame say that the loop does not wait, if that is so by now. It is called
	// under the mutex of the outbox just before the frame is written.
	Correct(f *wire.Frame)
}

// Call is a call that an outbox carries, or has carried to its callee. It exists in the process of
// the outbox. A type is a Call if a Carriage is embedded in it.
type Call interface {
	// carriage returns what the outbox knows of the call.
	carriage() *Carriage
}

// Carriage is what an outbox knows of a call. The outbox guards it.
type Carriage struct {
	number uint64  // the number by which the callee knows the call; 0 before it is written
	parcel *Parcel // the parcel of the call while it waits for room; otherwise nil
	// at is when main has written the call to the callee; zero before that, and in a worker.
	at time.Time
}

// carriage implements Call.
func (c *Carriage) carriage() *Carriage { return c }

// written notes that main writes the call, which has that number for the callee.
func (c *Carriage) written(number uint64) { c.number, c.at = number, time.Now() }

// waits makes the parcel ready to wait for room.
func (p *Parcel) waits() {
	if p.Frame.Left > 0 {
		p.due = time.Now().Add(p.Frame.Left)
	}
	p.place.Message, p.place.Cost = p, p.Frame.Cost()
	if p.Call != nil {
		p.Call.carriage().parcel = p
	}
}

// goes makes the parcel ready to be written.
func (p *Parcel) goes() {
	if !p.due.IsZero() {
		p.Frame.Left = max(1, time.Until(p.due)) // 0 would say that there is no deadline
	}
	p.leaves()
}

// leaves notes that the parcel does not wait any more.
func (p *Parcel) leaves() {
	if p.Call != nil {
		p.Call.carriage().parcel = nil
	}
}

// gone gives the sender its credit back, because the parcel has been written or given up.
func (p *Parcel) gone() {
	if p.From != nil {
		p.From.Grant(p.Cost)
	}
}

// Letter is what main keeps of a one-way message that was written to a worker, for the report that
// the message was lost, or to hand it on; see Config.Again. It never changes. (If a call is lost,
// its caller is told, and needs no letter.)
type Letter struct {
	From string  // the name of the sender
	Type string  // the type of the message
	Size int     // the size of the body in bytes
	Kept *Parcel // the message itself, if main has it; otherwise nil
}

// letterOf returns the letter of a message that main does not keep.
func letterOf(f *wire.Frame) Letter { return Letter{From: f.From, Type: f.Type, Size: len(f.Body)} }

// Unsent returns the letter of a message that cannot be sent.
func Unsent(f *wire.Frame) Letter { return (&Parcel{Frame: f}).letter() }

// letter returns the letter of a message that main has in a parcel.
func (p *Parcel) letter() Letter {
	l := letterOf(p.Frame)
	l.Kept = p
	return l
}

// Died returns in how many lives that have ended a handler was in the middle of the message, as far
// as main has counted them.
func (l *Letter) Died() int {
	if l.Kept == nil {
		return 0
	}
	return l.Kept.place.Died()
}

// keep returns a parcel for the next life, of a message that is being written to the present one.
// p is the parcel in which the message has waited, or nil. If that was kept already, it is kept on.
func keep(f *wire.Frame, p *Parcel) *Parcel {
	if p != nil && p.kept {
		return p
	}
	c := *f
	if c.Lent && c.Encoding != codec.String { // nobody can change a string
		c.Body = bytes.Clone(c.Body)
	}
	c.Lent = false
	p = &Parcel{Frame: &c, kept: true}
	p.place.Message, p.place.Cost = p, c.Cost()
	return p
}

// mark notes that a handler may have begun with a message that is kept.
func (p *Parcel) mark() { p.Frame.Flags |= wire.FlagSoft }

// WasMarked reports whether a handler of an earlier life may have begun with a message of main.
func WasMarked(f *wire.Frame) bool { return f.Kind == wire.Message && f.Flags&wire.FlagSoft != 0 }
