package multiprolab

import (
	"fmt"
	"io"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main and a worker say to each other on the wire, as far as both need to know
// it: how outcomes, greetings and farewells become frames and are read again.

// replyFrame makes the frame of the outcome of a call or a task.
func replyFrame(kind wire.Kind, id uint64, r *reply) *wire.Frame {
	f := &wire.Frame{Kind: kind, ID: id}
	if r.err != nil {
		f.Flags, f.Body = wire.FlagError, marshalError(r.err)
		return f
	}
	f.Meta = r.meta
	link.SetBody(f, r.payload)
	if r.took > 0 { // r is of a batch, whose frame has no definitions
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
	return &reply{payload: link.Body(f), late: late}
}

// lie makes the error that says that the other end of a wire has sent something that no honest
// process sends at this time. It costs a worker its life.
func lie(format string, args ...any) error {
	return &link.Violation{Reason: fmt.Sprintf(format, args...)}
}

// newLink returns this process's end of a wire. It completes the options, which are those of main
// or of a worker.
func newLink(c *codec.Codec, r io.Reader, w io.Writer, o link.Options) *link.Link {
	o.DefinitionsIn, o.Excuse = batch.Definitions, excuse
	return link.New(c, r, w, o)
}

// excuse makes the frame that says why an outcome could not be sent.
func excuse(f *wire.Frame, err error) *wire.Frame {
	return replyFrame(f.Kind, f.ID, &reply{err: fmt.Errorf("multiprolab: the outcome could not be sent: %w", err)})
}

// maxCalls is how many calls of a worker may wait for their replies. The worker keeps to it; main,
// which may hear of the end of a call later than the worker, allows twice as many.
const maxCalls = 1 << 16

// maxFetches is how many calls of TaskQueue.Get of one worker may wait at a time. Both the worker
// and main see to it.
const maxFetches = queue.MaxFetches

// maxReason is how many bytes are told of a worker's reason for a dead letter.
const maxReason = 4 << 10

// awaitRoom is the Type of an Await frame that is about room, and not about a task.
const awaitRoom = "room"

// replaced is the reason why a worker is refused that runs another binary than main.
const replaced = "the program's file was replaced while main runs"

// readiness is what a worker says when its setup function has returned.
type readiness = life.Readiness

// reply is the outcome of a call or a task: a value or an error. It exists in both processes.
// Whoever has made it hands it on, and does not touch it afterwards.
type reply struct {
	payload codec.Payload // the value, if err is nil; the outcomes of a batch also if it is not
	err     error         // the error, or nil

	meta  string                            // for a batch: the Meta of its frame, see bare
	took  time.Duration                     // for a batch: how long the worker says that it was busy with it
	vouch func(typ string, err error) error // for a batch: checks the errors among its outcomes; nil if it has none
	run   int32                             // for a stream: the number of its last run, see job.run
	died  bool                              // for a batch: err is how the item behind the last outcome ended
	late  bool                              // for a task: the worker says that its timeout had passed when it ended
	ran   time.Duration                     // for a task that is no batch: how long the worker says that it has run
}

// batchReply reads the result of a batch, which comes from a process that is not to be trusted. If
// the result is malformed, the outcomes end before the malformed bytes.
func batchReply(f *wire.Frame) *reply {
	if f.Meta == "" {
		p := link.Body(f)
		p.Defs = 0 // in this frame the place of the definitions holds the time, see Frame.SetTook
		return &reply{payload: p, took: f.Took()}
	}
	r, _ := batch.OfBare(f.Meta, link.Body(f))
	return &reply{payload: codec.Payload{Encoding: codec.Bytes, Data: r.Outcomes}, took: r.Took}
}
