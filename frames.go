package multiprolab

import (
	"fmt"

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
		return &wireViolation{fmt.Sprintf("the body of a %v frame cannot be read: %v", f.Kind, err)}
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
		f.Defs = uint64(r.took)
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
