package multiprolab

import (
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// packedFrame makes a frame whose body is v: the form of what main and a worker tell each other at
// its start and its end.
func packedFrame(kind wire.Kind, v pack.Packed) *wire.Frame {
	return &wire.Frame{Kind: kind, Body: pack.Marshal(v)}
}

// unmarshalBody reads what packedFrame wrote.
func unmarshalBody(f *wire.Frame, v pack.Packed) error {
	if err := pack.Unmarshal(f.Body, v); err != nil {
		return lie("the body of a %v frame cannot be read: %v", f.Kind, err)
	}
	return nil
}

// replyFrame makes the frame of an outcome.
func replyFrame(kind wire.Kind, id uint64, r *reply) *wire.Frame {
	f := &wire.Frame{Kind: kind, ID: id}
	if r.err != nil {
		f.Flags, f.Body = wire.FlagError, marshalError(r.err)
		return f
	}
	f.Meta = r.meta
	setPayload(f, r.payload)
	if r.took > 0 { // of a batch, whose payload has no definitions
		f.SetTook(r.took)
	}
	return f
}

// replyOf reads what replyFrame wrote.
func replyOf(f *wire.Frame) *reply {
	late := f.Flags&wire.FlagSoft != 0
	if f.Flags&wire.FlagError != 0 {
		return &reply{err: unmarshalError(f.Body), late: late}
	}
	if f.Flags&wire.FlagBatch != 0 {
		return batchReply(f)
	}
	return &reply{payload: payloadOf(f), late: late}
}

// lie says that the process at the other end of a wire, or what runs in its place, has sent what no
// honest one sends at this time. It costs a worker its life.
func lie(format string, args ...any) error {
	return &link.Violation{Reason: fmt.Sprintf(format, args...)}
}

// newLink returns this process's end of a wire. The options are those of its side.
func newLink(c *codec.Codec, r io.Reader, w io.Writer, o link.Options) *link.Link {
	o.DefinitionsIn, o.Excuse = definitionsOf, excuse
	return link.New(c, r, w, o)
}

// excuse makes the frame that says why an outcome could not be sent.
func excuse(f *wire.Frame, err error) *wire.Frame {
	return replyFrame(f.Kind, f.ID, &reply{err: fmt.Errorf("multiprolab: the outcome could not be sent: %w", err)})
}

// payloadOf returns the body of a frame for the codec.
func payloadOf(f *wire.Frame) codec.Payload {
	return codec.Payload{Encoding: f.Encoding, Defs: f.Defs, Data: f.Body, Lent: f.Lent}
}

// setPayload makes p the body of a frame.
func setPayload(f *wire.Frame, p codec.Payload) {
	f.Encoding, f.Defs, f.Body, f.Lent = p.Encoding, p.Defs, p.Data, p.Lent
}

// maxCalls is how many calls of a worker may wait for their replies. A worker process sees to it;
// main, which may hear later of the end of a call, allows twice as many.
const maxCalls = 1 << 16

// maxFetches is how many calls of GetTask of one worker may wait at a time. The worker keeps to it,
// too.
const maxFetches = 1024

// maxReason is how much of a worker's reason for a dead letter is told, in bytes.
const maxReason = 4 << 10

// awaitRoom is the Type of an Await frame that is about room, and not about a task.
const awaitRoom = "room"

// replaced is why a worker is not wanted that runs another binary than main.
const replaced = "the program's file was replaced while main runs"

// readiness is what a worker says when its setup function has returned.
type readiness = life.Readiness

// frameCost is what a frame costs beside its texts and its body, in bytes: about what it takes in
// memory while it waits, as a Message in an inbox (240 bytes) or as a parcel with its frame in an
// outbox (250).
const frameCost = 256

// cost is what a frame counts, in bytes, against the window of its receiver and of its sender: what
// it takes in memory. From is not in it: it is one of main's own names.
func cost(f *wire.Frame) int64 {
	return int64(frameCost + len(f.To) + len(f.Type) + len(f.Meta) + len(f.Body))
}

// letter is what is kept of a one-way message that was written to a worker, for who is told that it
// was lost. (The caller of a call is told: see slot.failCalls.)
type letter struct {
	from, typ string
	size      int // of the body, in bytes
}

func letterOf(f *wire.Frame) letter { return letter{f.From, f.Type, len(f.Body)} }

// reply is the outcome of a call or a task: a value or an error.
type reply struct {
	payload codec.Payload
	err     error

	meta  string                            // of a batch: the Meta of its frame, see bare
	took  time.Duration                     // of a batch: how long the worker was busy with it, as it says
	vouch func(typ string, err error) error // of a batch: checks the errors of its outcomes; nil if it has none
	died  bool                              // of a batch: err is the end of the item behind the last outcome
	late  bool                              // of a task: its timeout had passed when it ended, says the worker
}

// definitionsOf yields the ids of the type definitions that the items, or outcomes, in the body of
// a batch need.
func definitionsOf(b []byte) iter.Seq[uint64] { return batch.Definitions(b) }

// batchReply reads the result of a batch, from a process that is not to be trusted. What is
// malformed is no outcome.
func batchReply(f *wire.Frame) *reply {
	if f.Meta == "" {
		p := payloadOf(f)
		p.Defs = 0 // the place of the time in a frame whose payload has no definitions of its own
		return &reply{payload: p, took: f.Took()}
	}
	r, _ := batch.OfBare(f.Meta, payloadOf(f))
	return &reply{payload: codec.Payload{Encoding: codec.Bytes, Data: r.Outcomes}, took: r.Took}
}
