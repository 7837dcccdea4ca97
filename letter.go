package multiprolab

import (
	"bytes"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// letter is what main keeps of a one-way message that was written to a worker, for the report that
// the message was lost, or to hand it on; see WorkerConfig.Redeliver. It never changes. (If a call
// is lost, its caller is told: see slot.failCalls.)
type letter struct {
	from string  // the name of the sender
	typ  string  // the type of the message
	size int     // the size of the body in bytes
	kept *parcel // the message itself, if main has it; otherwise nil
}

// letterOf returns the letter of a message that main does not keep.
func letterOf(f *wire.Frame) letter { return letter{from: f.From, typ: f.Type, size: len(f.Body)} }

// keep returns a parcel for the next life, of a message that is being written to the present one.
// p is the parcel in which the message has waited, or nil. If that was kept already, it is kept on.
func keep(f *wire.Frame, p *parcel) *parcel {
	if p != nil && p.kept {
		return p
	}
	c := *f
	if c.Lent && c.Encoding != codec.String { // nobody can change a string
		c.Body = bytes.Clone(c.Body)
	}
	c.Lent = false
	p = &parcel{frame: &c, kept: true}
	p.place.Message, p.place.Cost = p, cost(&c)
	return p
}

// mark notes that a handler may have begun with a message that is kept.
func (p *parcel) mark() { p.frame.Flags |= wire.FlagSoft }

// wasMarked reports whether a handler of an earlier life may have begun with a message of main.
func wasMarked(f *wire.Frame) bool { return f.Kind == wire.Message && f.Flags&wire.FlagSoft != 0 }

// died returns in how many lives that have ended a handler was in the middle of the message, as far
// as main has counted them.
func (l *letter) died() int {
	if l.kept == nil {
		return 0
	}
	return l.kept.place.Died()
}

// dead makes the event that says that the message was not handled by its receiver.
func (l *letter) dead(to, reason string, c *codec.Codec) *DeadLetter {
	d := &DeadLetter{Sender: l.from, Receiver: to, Type: l.typ, Size: l.size, Reason: reason}
	if l.kept != nil {
		d.body, d.codec = payloadOf(l.kept.frame).Own(), c
	}
	return d
}
