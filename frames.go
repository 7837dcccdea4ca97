package multiprolab

import (
	"encoding/json"
	"fmt"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// jsonFrame makes a frame whose body is v as JSON: the form of everything but users' bodies.
func jsonFrame(kind wire.Kind, v any) *wire.Frame {
	b, err := json.Marshal(v)
	if err != nil {
		panic("multiprolab: " + err.Error()) // v is one of our own structs
	}
	return &wire.Frame{Kind: kind, Body: b}
}

// unmarshalBody reads what jsonFrame wrote.
func unmarshalBody(f *wire.Frame, v any) error {
	if err := json.Unmarshal(f.Body, v); err != nil {
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
	setPayload(f, r.payload)
	return f
}

// replyOf reads what replyFrame wrote.
func replyOf(f *wire.Frame) *reply {
	if f.Flags&wire.FlagError != 0 {
		return &reply{err: unmarshalError(f.Body)}
	}
	return &reply{payload: payloadOf(f)}
}

// exitFrame tells a worker to end.
func exitFrame(mode ShutdownMode) *wire.Frame {
	return &wire.Frame{Kind: wire.Exit, ID: uint64(mode)}
}
