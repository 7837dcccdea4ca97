package wire

import (
	"fmt"
	"strconv"
	"time"
)

// This file is the numbers that frames of some kinds carry beside their texts and their body. For
// each of these kinds there is a function that makes such a frame and a method that reads it; their
// names say what the numbers are.
//
// On the wire a frame has two words in its header. For most kinds the first is ID and the second is
// Defs. The kinds in this file have Number in place of ID, or More in place of Defs, or both.

// numbered says which kinds have Number as their first word, and which have More as their second.
var numbered = [256]struct{ first, second bool }{
	Exit:        {first: true},
	Credit:      {first: true, second: true},
	Undelivered: {second: true},
	Failed:      {second: true},
	Split:       {second: true},
	Await:       {second: true},
	Beat:        {first: true, second: true},
	Overdue:     {first: true},
	Place:       {first: true, second: true},
	Log:         {second: true},
	LogRoom:     {first: true, second: true},
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

// setWords takes in the two words of the header. The kind of the frame must be set.
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

// NewExit makes the frame that ends a worker. What the mode means is not known here; why is a
// packed error, or nil.
func NewExit(mode uint64, why []byte) *Frame { return &Frame{Kind: Exit, Number: mode, Body: why} }

// ExitMode returns the mode of an Exit frame.
func (f *Frame) ExitMode() uint64 { return f.Number }

// NewCredit makes the frame that gives room back, for so many bytes that have left an inbox. If a
// worker sends it, upTo is the serial up to which all one-way messages of main have left the inbox
// of the worker. If main sends it, upTo is 0.
func NewCredit(bytes, upTo uint64) *Frame { return &Frame{Kind: Credit, Number: bytes, More: upTo} }

// Credit returns the bytes and the serial of a Credit frame.
func (f *Frame) Credit() (bytes, upTo uint64) { return f.Number, f.More }

// NewCreditAlone makes the Credit frame that says that the message with a serial has left the inbox
// of a worker before an earlier message has.
func NewCreditAlone(serial uint64) *Frame { return &Frame{Kind: Credit, More: serial, Flags: FlagSoft} }

// NewUndelivered makes the frame that reports a one-way message that no handler has taken. The
// serial is the number of the message, from 1, among those that were sent to this life of the
// worker.
func NewUndelivered(serial uint64, reason string) *Frame {
	return &Frame{Kind: Undelivered, More: serial, Meta: reason}
}

// NewFailed makes the frame that reports a one-way message whose handler has returned an error. For
// the serial see NewUndelivered. The error is packed.
func NewFailed(serial uint64, err []byte) *Frame {
	return &Frame{Kind: Failed, More: serial, Body: err}
}

// Serial returns the serial in an Undelivered frame, a Failed frame or a frame of NewCreditAlone.
func (f *Frame) Serial() uint64 { return f.More }

// NewSplit makes the frame that gives back the items of a batch from one item on. Items count from
// 0.
func NewSplit(task, from uint64) *Frame { return &Frame{Kind: Split, ID: task, More: from} }

// SplitFrom returns the number of the first item that a Split frame gives back.
func (f *Frame) SplitFrom() uint64 { return f.More }

// NewAwait makes the frame that says that the loop of a worker waits for the task that it has
// submitted under an id. Spell is the number of this spell of waiting.
func NewAwait(task, spell uint64) *Frame { return &Frame{Kind: Await, ID: task, More: spell} }

// NewRefusal makes the frame that says that a worker must not wait as it has told in an Await
// frame. The error is packed.
func NewRefusal(id, spell uint64, err []byte) *Frame {
	return &Frame{Kind: Await, ID: id, More: spell, Flags: FlagError, Body: err}
}

// Spell returns the number of the spell of waiting that an Await frame is about.
func (f *Frame) Spell() uint64 { return f.More }

// NewBeat makes the question for a sign of life, which has a number, or the answer to it, which
// says what runs on the loop of the worker, or "", and for how long it has run at least.
func NewBeat(number uint64, what string, since time.Duration) *Frame {
	return &Frame{Kind: Beat, Number: uint64(since), More: number, Meta: what}
}

// Beat returns the number of the question that a Beat frame asks or answers, and for how long the
// thing that it names has run at least.
func (f *Frame) Beat() (number uint64, since time.Duration) { return f.More, time.Duration(f.Number) }

// NewOverdue makes the frame that says for how long something has run, which is longer than it may.
func NewOverdue(what string, since time.Duration) *Frame {
	return &Frame{Kind: Overdue, Number: uint64(since), Meta: what}
}

// Overdue returns for how long the thing that an Overdue frame names has run.
func (f *Frame) Overdue() time.Duration { return time.Duration(f.Number) }

// ForFetch makes a Task frame the answer to a Fetch.
func (f *Frame) ForFetch(id uint64) { f.To = strconv.FormatUint(id, 10) }

// FetchID returns the id of the Fetch that a Task frame answers. It reports false if the worker has
// not asked for the task, and an error if the text in the frame is no id.
func (f *Frame) FetchID() (id uint64, asked bool, err error) {
	if f.To == "" {
		return 0, false, nil
	}
	if id, err = strconv.ParseUint(f.To, 10, 64); err != nil {
		return 0, true, fmt.Errorf("a task answers fetch %s", f.To)
	}
	return id, true, nil
}

// SetTook notes in the Result frame of a batch how long the worker was busy with the batch. The
// place of the type definitions in the header is free for it, because each outcome in the body says
// for itself which definitions it needs.
func (f *Frame) SetTook(d time.Duration) { f.Defs = uint64(d) }

// Took returns what SetTook has noted.
func (f *Frame) Took() time.Duration { return time.Duration(f.Defs) }

// NewPlace makes the frame that gives a spare its place: it is instance number index of its pool
// from now on, and the life with that number of it.
func NewPlace(index, life int) *Frame {
	return &Frame{Kind: Place, Number: uint64(index), More: uint64(life)}
}

// Place returns the index and the life of a Place frame.
func (f *Frame) Place() (index, life int) { return int(f.Number), int(f.More) }

// NewLog makes the frame of a record of a worker's log, which is packed and lent. Task and typ are
// those of the task that it was logged for, or 0 and "". Lost is how many records before this one
// had no room; with a record that is empty the frame says that alone.
func NewLog(task uint64, typ string, lost uint64, record []byte) *Frame {
	return &Frame{Kind: Log, ID: task, Type: typ, More: lost, Body: record, Lent: true}
}

// LostBefore returns how many records before that in a Log frame had no room.
func (f *Frame) LostBefore() uint64 { return f.More }

// LoseBefore says how many it were, when that is known only after the frame has been made.
func (f *Frame) LoseBefore(records uint64) { f.More = records }

// NewLogRoom makes the frame that gives room back, for so many bytes of records that main has
// handled, and says from which level on main wants records.
func NewLogRoom(bytes uint64, level int) *Frame {
	return &Frame{Kind: LogRoom, Number: bytes, More: uint64(int64(level))}
}

// LogRoom returns the bytes and the level of a LogRoom frame.
func (f *Frame) LogRoom() (bytes uint64, level int) { return f.Number, int(int64(f.More)) }
