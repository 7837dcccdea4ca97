package outbox

import (
	"bytes"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main keeps of one-way messages that were written to a worker.

// Letter is what main keeps of a one-way message that was written to a worker, for the report that
// the message was lost, or to hand it on; see Config.Again. It never changes. (If a call is lost,
// its caller is told, and needs no letter.)
type Letter struct {
	From string  // the name of the sender
	Type string  // the type of the message
	Size int     // the size of the body in bytes
	kept *Parcel // the message itself, if main has it; otherwise nil
}

// letterOf returns the letter of a message that main does not keep.
func letterOf(f *wire.Frame) Letter { return Letter{From: f.From, Type: f.Type, Size: len(f.Body)} }

// Unsent returns the letter of a message that cannot be sent.
func Unsent(f *wire.Frame) Letter { return (&Parcel{Frame: f}).letter() }

// letter returns the letter of a message that main has in a parcel.
func (p *Parcel) letter() Letter {
	l := letterOf(p.Frame)
	l.kept = p
	return l
}

// Frame returns the message itself, or nil if main does not have it.
func (l *Letter) Frame() *wire.Frame {
	if l.kept == nil {
		return nil
	}
	return l.kept.Frame
}

// Died returns in how many lives that have ended a handler was in the middle of the message, as far
// as main has counted them.
func (l *Letter) Died() int {
	if l.kept == nil {
		return 0
	}
	return l.kept.place.Died()
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
