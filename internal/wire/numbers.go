package wire

import (
	"fmt"
	"strconv"
	"time"
)

// This file is what the frames of some kinds carry beside their texts and their body: each of these
// kinds has a function that makes a frame of it and a method that reads it, which say in their
// names what the numbers are.
//
// On the wire a frame has two words in its header. For most kinds the first is ID and the second is
// Defs. The kinds in this file have Number or More in place of one of these, or of both.

// numbered says for the kinds of this file which of the two words is Number and which is More.
var numbered = [256]struct{ first, second bool }{
	Exit:        {first: true},
	Credit:      {first: true, second: true},
	Undelivered: {second: true},
	Failed:      {second: true},
	Split:       {second: true},
	Await:       {second: true},
	Beat:        {first: true, second: true},
	Overdue:     {first: true},
}

// words returns the two words of the header.
func (f *Frame) words() (first, second uint64) {
	first, second = f.ID, f.Defs
	if has := &numbered[f.Kind]; has.first || has.second {
		if has.first {
			first = f.Number
		}
		if has.second {
			second = f.More
		}
	}
	return first, second
}

// setWords takes the two words of the header in. The kind of the frame is set.
func (f *Frame) setWords(first, second uint64) {
	f.ID, f.Defs, f.Number, f.More = first, second, 0, 0
	if has := &numbered[f.Kind]; has.first || has.second {
		if has.first {
			f.ID, f.Number = 0, first
		}
		if has.second {
			f.Defs, f.More = 0, second
		}
	}
}

// NewExit makes the frame that ends a worker. The mode is the root's; why is a packed error, or
// nil.
func NewExit(mode uint64, why []byte) *Frame { return &Frame{Kind: Exit, Number: mode, Body: why} }

// ExitMode returns the mode of an Exit frame.
func (f *Frame) ExitMode() uint64 { return f.Number }

// NewCredit makes the frame that gives room back: for so many bytes that have left an inbox. From a
// worker it says as well up to which serial main's one-way messages have left it; of main's own
// inbox that is not told and is 0.
func NewCredit(bytes, upTo uint64) *Frame { return &Frame{Kind: Credit, Number: bytes, More: upTo} }

// Credit returns the bytes and the serial of a Credit frame.
func (f *Frame) Credit() (bytes, upTo uint64) { return f.Number, f.More }

// NewCreditAlone makes the Credit frame that says that the message of a serial has left the inbox
// of a worker before an earlier one.
func NewCreditAlone(serial uint64) *Frame { return &Frame{Kind: Credit, More: serial, Flags: FlagSoft} }

// NewUndelivered makes the frame that reports a one-way message that no handler has taken, by its
// serial: its number, from 1, among those that were sent to this life of the worker.
func NewUndelivered(serial uint64, reason string) *Frame {
	return &Frame{Kind: Undelivered, More: serial, Meta: reason}
}

// NewFailed makes the frame that reports a one-way message whose handler has returned an error, by
// its serial, see NewUndelivered. The error is packed.
func NewFailed(serial uint64, err []byte) *Frame {
	return &Frame{Kind: Failed, More: serial, Body: err}
}

// Serial returns the serial of an Undelivered or a Failed frame, and of one of NewCreditAlone.
func (f *Frame) Serial() uint64 { return f.More }

// NewSplit makes the frame that gives the items of a batch back, from one item on; items count from
// 0.
func NewSplit(task, from uint64) *Frame { return &Frame{Kind: Split, ID: task, More: from} }

// SplitFrom returns the number of the first item that a Split frame gives back.
func (f *Frame) SplitFrom() uint64 { return f.More }

// NewAwait makes the frame that says that the loop of a worker waits: for the task that it has
// submitted under an id, in the spell of waiting with a number.
func NewAwait(task, spell uint64) *Frame { return &Frame{Kind: Await, ID: task, More: spell} }

// NewRefusal makes the frame that says that a worker must not wait as an Await frame has told. The
// error is packed.
func NewRefusal(id, spell uint64, err []byte) *Frame {
	return &Frame{Kind: Await, ID: id, More: spell, Flags: FlagError, Body: err}
}

// Spell returns the number of the spell of waiting that an Await frame is about.
func (f *Frame) Spell() uint64 { return f.More }

// NewBeat makes the question for a sign of life, by its number, or the answer: what runs on the
// loop of the worker, or "", and for how long at least.
func NewBeat(number uint64, what string, since time.Duration) *Frame {
	return &Frame{Kind: Beat, Number: uint64(since), More: number, Meta: what}
}

// Beat returns the number of the question that a Beat frame is or answers, and for how long at
// least what it names has run.
func (f *Frame) Beat() (number uint64, since time.Duration) { return f.More, time.Duration(f.Number) }

// NewOverdue makes the frame that says for how long something has run, which is longer than it may.
func NewOverdue(what string, since time.Duration) *Frame {
	return &Frame{Kind: Overdue, Number: uint64(since), Meta: what}
}

// Overdue returns for how long what an Overdue frame names has run.
func (f *Frame) Overdue() time.Duration { return time.Duration(f.Number) }

// ForFetch makes a Task frame the answer to a Fetch.
func (f *Frame) ForFetch(id uint64) { f.To = strconv.FormatUint(id, 10) }

// FetchID returns the id of the Fetch that a Task frame answers. It reports false if the task was
// not asked for, and an error if what it answers is no Fetch.
func (f *Frame) FetchID() (id uint64, asked bool, err error) {
	if f.To == "" {
		return 0, false, nil
	}
	if id, err = strconv.ParseUint(f.To, 10, 64); err != nil {
		return 0, true, fmt.Errorf("a task answers fetch %s", f.To)
	}
	return id, true, nil
}

// SetTook notes in the Result frame of a batch how long the worker was busy with it. Its body has
// no type definitions of its own, and so their place in the header is free: the outcomes in it say
// each for itself which it needs.
func (f *Frame) SetTook(d time.Duration) { f.Defs = uint64(d) }

// Took returns what SetTook has noted.
func (f *Frame) Took() time.Duration { return time.Duration(f.Defs) }
