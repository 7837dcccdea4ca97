// Package wire knows frames and no processes: how a frame, which is one message between two
// processes, is laid out in bytes, how it is checked, and how much memory it may take.
//
// Both ends of a wire use this package, the main process and every worker process.
//
// A frame is a fixed header of HeaderSize bytes, then the time that is left if the frame says it,
// then the length of Header if there is one, then five texts (To, From, Type, Meta, Header), then
// the body:
//
//	offset size
//	0      2    magic 'm' 'p'
//	2      1    version of the wire
//	3      1    kind
//	4      1    flags
//	5      1    encoding of the body
//	6      2    length of Meta and Header together
//	8      8    id, or a number of the kind, see numbers.go
//	16     8    id of the gob type definitions that the body needs, or 0; or a number of the kind
//	24     4    length of the body
//	28     1    length of To
//	29     1    length of From
//	30     1    length of Type
//	31     1    length of what comes before the texts: 8 for the time that is left, 2 for the length
//	            of Header, 10 for both, or 0
//	32     4    Checksum of the 32 bytes before
//	36     8    the time that is left in nanoseconds, if the frame has one
//	       2    length of Header, if the frame has one
//
// Numbers are little-endian. The checksum covers the header alone: pipes do not flip bits, but a
// reader that has lost its place, or a writer that went wild, must be found out before a length is
// believed.
package wire

import (
	"encoding/binary"
	"fmt"
	"time"
)

const (
	// Version is the version of this layout. Two ends with different versions do not talk.
	Version = 3
	// HeaderSize is the length of the fixed header in bytes.
	HeaderSize = 36
	// MaxName is the greatest length of To, From and Type in bytes.
	MaxName = 255
	// MaxMeta is the greatest length of Meta and Header together in bytes.
	MaxMeta = 1<<16 - 1
	// MaxBody is the greatest length of a body in bytes that the layout can carry; readers may set
	// a lower one.
	MaxBody = 1<<31 - 1

	// magic0 and magic1 are the first two bytes of every frame.
	magic0, magic1 = 'm', 'p'
	// leftSize is the length in bytes of the time that is left.
	leftSize = 8
	// headerLenSize is the length in bytes of the length of Header.
	headerLenSize = 2
)

// Kind says what a frame is for. The comments name who sends it: M the main process, W a worker
// process.
type Kind uint8

// The kinds of frames.
const (
	Hello       Kind = iota + 1 // W: the first frame; the body is packed
	Welcome                     // M: the first frame, which does not wait for Hello; the body is packed
	Ready                       // W: the setup function has returned; the body is packed
	Bye                         // W: the last frame of a worker that ends by itself; the body is packed
	Exit                        // M: end now
	ExitRequest                 // W: end the whole program
	Defs                        // both: gob type definitions under the id in Defs
	// both: what has left the inbox; see NewCredit and NewCreditAlone
	Credit
	Message // both: a one-way message
	Call    // both: a message that wants a Reply with the same id
	Reply   // both: the outcome of a Call
	// W: a one-way message could not be handed to its handler; see NewUndelivered
	Undelivered
	Failed      // W: the handler of a one-way message returned an error; see NewFailed
	Submit      // W: a task for the queue
	Accepted    // M: the queue has taken the task
	Task        // M: a task to work on
	Start       // W: work on the task begins
	Progress    // both: news of a running task
	Result      // both: the outcome of a task
	Cancel      // both: stop the call or the task
	Fetch       // W: the worker asks for one task
	FetchCancel // W: the worker takes a Fetch back
	NoTask      // M: the answer to a Fetch when there is no task
	Recall      // M: main asks for a task back that was not started, or for the rest of a batch
	Returned    // W: the answer to a Recall of a task that was not started
	Retire      // W: the worker asks to be replaced
	ExitValue   // W: the value that the worker leaves to main at its end
	Dump        // M: main asks for the stacks of all goroutines
	Stacks      // W: the answer to a Dump; the body is text
	Pools       // M: the sizes of the pools have changed; the body is packed
	// both: main asks for a sign of life, and the worker answers; see NewBeat
	Beat
	Overdue // W: something has run longer than it may; see NewOverdue
	// W: the answer to a Recall of a batch that runs: some of its items are given back; see
	// NewSplit
	Split
	// W: the loop of the worker waits for a task or for room, or with FlagSoft waits no longer; see
	// NewAwait. M: the loop must not wait; see NewRefusal
	Await
	Place // M: the worker, a spare, has its place from now on; see NewPlace
	// W: what the next attempt at a task that runs is to know. M: the same, ahead of the Task
	Checkpoint
	// W: the worker asks for shared data. M: the answer, with the same id, or with the id 0 the
	// news that there is another version; the body is packed
	Share
	Taken // W: the submitter of a stream has taken its first piece
	// M: main asks for stacks or a profile and the body is packed; with FlagWait it has taken a
	// piece of the answer, with FlagSoft it wants no more. W: a piece of the answer, with FlagSoft
	// the last one, with FlagError the text of an error
	Inspect
	Log // W: a record of the worker's log; see NewLog
	// M: there is room for more of the worker's log, of a level; see NewLogRoom
	LogRoom
	// kindEnd is the number behind the last kind.
	kindEnd
)

// kindNames has the names of the kinds.
var kindNames = [...]string{
	Hello: "Hello", Welcome: "Welcome", Ready: "Ready", Bye: "Bye", Exit: "Exit", ExitRequest: "ExitRequest",
	Defs: "Defs", Credit: "Credit", Message: "Message", Call: "Call", Reply: "Reply", Undelivered: "Undelivered",
	Failed: "Failed", Submit: "Submit", Accepted: "Accepted", Task: "Task", Start: "Start", Progress: "Progress",
	Result: "Result", Cancel: "Cancel", Fetch: "Fetch", FetchCancel: "FetchCancel", NoTask: "NoTask",
	Recall: "Recall", Returned: "Returned", Retire: "Retire", ExitValue: "ExitValue", Pools: "Pools",
	Beat: "Beat", Split: "Split", Overdue: "Overdue", Dump: "Dump", Stacks: "Stacks", Await: "Await", Place: "Place",
	Checkpoint: "Checkpoint",
	Share:      "Share",
	Taken:      "Taken",
	Inspect:    "Inspect",
	Log:        "Log",
	LogRoom:    "LogRoom",
}

// String returns the name of the kind.
func (k Kind) String() string {
	if k > 0 && k < kindEnd {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Flags qualify a kind.
type Flags uint8

// The flags.
const (
	FlagError     Flags = 1 << iota // Reply, Result: the body is an error, packed
	FlagBroadcast                   // Message: to every instance of To, or to every worker if To is empty
	// Submit, Fetch: wait for room in the queue or for a task instead of answering that there is
	// none
	FlagWait
	FlagBatch // Submit, Task: the body is a batch of items, and the body of the Result will be one, too
	// Cancel: the deadline has passed, and nobody has cancelled. Result: the time of the task was
	// over when it ended. Await: the wait is over. Credit: see NewCreditAlone. Message of main: a
	// handler of an earlier life may have begun with it
	FlagSoft
	FlagShared // any kind: the body lies in shared memory, see Frame.Shared
)

// Softly returns the flag of a Cancel: soft says that the deadline has passed, and nobody has
// cancelled.
func Softly(soft bool) Flags {
	if soft {
		return FlagSoft
	}
	return 0
}

// FlagTimed says of a Task that its time runs from its Start, which the worker must have written
// before it begins.
const FlagTimed = FlagWait

// FlagForGood says of a Retire that the worker leaves, and is not replaced.
const FlagForGood = FlagWait

// FlagStream says of a Submit that the outcome comes in pieces, of which the submitter tells which
// it has taken, and of a Progress that it is such a piece.
const FlagStream = FlagSoft

// Frame is one message on the wire. Whoever holds the frame owns its Body, unless that is lent.
type Frame struct {
	Kind     Kind  // what the frame is for
	Flags    Flags // qualify the kind
	Encoding uint8 // how Body encodes a value, see package codec
	// Lent says that Body is the sender's, who waits until the frame has been posted, and no
	// longer.
	Lent bool
	// ID is the id of the call, the task or the fetch that the frame is about, or 0.
	ID uint64
	// Defs is the id of the gob type definitions that Body needs, or 0.
	Defs uint64
	// Number and More are numbers that only some kinds have. Only this package uses them: for each
	// of these kinds numbers.go has a function and a method that say what the numbers are.
	Number, More uint64

	To   string // the name of the receiver, or ""
	From string // the name of the sender, or ""
	Type string // the name of the type of the message or the task, or ""
	Meta string // a text of the kind, or ""
	// Header is the packed headers of a message, a call or a task, or "".
	Header string
	// Left is, for a Call, a Submit or a Task, how long after the frame is written the one who
	// waits for the outcome will go on waiting, and for a Result of what is no batch, how long the
	// handler has run; 0 if the frame does not say.
	Left time.Duration
	Body []byte // the encoded value, or packed fields, or nil
}

// sharedSize is the length in bytes of what stands in a frame for a body that lies in shared
// memory: the place and the length of the body, little-endian.
const sharedSize = 12

// Shared makes c the frame without its body, which lies at a place in memory that both ends share,
// and returns it. The memory of c.Body is used again.
func (f *Frame) Shared(at uint64, c *Frame) *Frame {
	place := binary.LittleEndian.AppendUint64(c.Body[:0], at)
	place = binary.LittleEndian.AppendUint32(place, uint32(len(f.Body)))
	*c = *f
	c.Flags |= FlagShared
	c.Body, c.Lent = place, false
	return c
}

// Size returns the number of bytes that the frame takes on the wire.
func (f *Frame) Size() int {
	return HeaderSize + f.ahead() + len(f.To) + len(f.From) + len(f.Type) + len(f.Meta) + len(f.Header) + len(f.Body)
}

// FrameCost is how many bytes a frame costs besides its texts and its body: about what it takes in
// memory while it waits, as a message in an inbox (240 bytes) or as a parcel with its frame in an
// outbox (250 bytes).
const FrameCost = 256

// Cost is how many bytes the frame takes of the window of its receiver and of its sender: what it
// takes in memory. From does not count, because it is one of main's own names.
func (f *Frame) Cost() int64 {
	return int64(FrameCost + len(f.To) + len(f.Type) + len(f.Meta) + len(f.Header) + len(f.Body))
}

// ahead returns the number of bytes that come before the texts.
func (f *Frame) ahead() (n int) {
	if f.Left > 0 {
		n = leftSize
	}
	if f.Header != "" {
		n += headerLenSize
	}
	return n
}

// SizeError reports a part of a frame that is larger than it may be. Nothing of the frame was
// written.
type SizeError struct {
	Part  string // the part: "body", "receiver name", ...
	Size  int64  // the length of the part in bytes
	Limit int64  // the greatest length that it may have in bytes
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%s of %d bytes is over the limit of %d bytes", e.Part, e.Size, e.Limit)
}

// Check reports whether the frame can be laid out with a body of at most maxBody bytes.
func (f *Frame) Check(maxBody int) error {
	switch {
	case len(f.Body) > min(maxBody, MaxBody):
		return &SizeError{"body", int64(len(f.Body)), int64(min(maxBody, MaxBody))}
	case len(f.To) > MaxName:
		return &SizeError{"receiver name", int64(len(f.To)), MaxName}
	case len(f.From) > MaxName:
		return &SizeError{"sender name", int64(len(f.From)), MaxName}
	case len(f.Type) > MaxName:
		return &SizeError{"type", int64(len(f.Type)), MaxName}
	case len(f.Meta)+len(f.Header) > MaxMeta:
		return &SizeError{"meta text", int64(len(f.Meta) + len(f.Header)), MaxMeta}
	}
	return nil
}

// Checksum returns the checksum of a header's first 32 bytes. Eight bytes at a time are mixed into
// 64 bits by steps that lose nothing, so that a change in one place always shows in them. The last
// step keeps one half of the 64 bits. A CRC would need tables, which each worker would have to make
// at its start.
func Checksum(header []byte) uint32 {
	var s uint64
	for i := 0; i < 32; i += 8 {
		s = (s ^ binary.LittleEndian.Uint64(header[i:]) ^ 0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93
		s ^= s >> 32
	}
	return uint32(s)
}

// AppendHead appends everything of the frame but its body, so that a large body can be written
// without a copy. The frame must pass Check.
func AppendHead(dst []byte, f *Frame) []byte {
	start := len(dst)
	// The header is made in place: the checksum would move an array to the heap.
	dst = append(dst, make([]byte, HeaderSize)...)
	h := dst[start:]
	h[0], h[1], h[2] = magic0, magic1, Version
	h[3], h[4], h[5] = byte(f.Kind), byte(f.Flags), f.Encoding
	binary.LittleEndian.PutUint16(h[6:], uint16(len(f.Meta)+len(f.Header)))
	first, second := f.words()
	binary.LittleEndian.PutUint64(h[8:], first)
	binary.LittleEndian.PutUint64(h[16:], second)
	binary.LittleEndian.PutUint32(h[24:], uint32(len(f.Body)))
	h[28], h[29], h[30] = byte(len(f.To)), byte(len(f.From)), byte(len(f.Type))
	h[31] = byte(f.ahead())
	binary.LittleEndian.PutUint32(h[32:], Checksum(h))
	if f.Left > 0 {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(f.Left))
	}
	if f.Header != "" {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(f.Header)))
	}
	dst = append(dst, f.To...)
	dst = append(dst, f.From...)
	dst = append(dst, f.Type...)
	dst = append(dst, f.Meta...)
	return append(dst, f.Header...)
}

// Append appends the whole frame, which must pass Check.
func Append(dst []byte, f *Frame) []byte { return append(AppendHead(dst, f), f.Body...) }
