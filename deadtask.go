package multiprolab

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// DeadTask is a task that has used up its attempts. It is kept in main, the newest Config.DeadLimit
// of them, until it is retried or dropped.
type DeadTask struct {
	ID    uint64
	Queue string
	Type  string
	Err   *AttemptsError // how each attempt ended
	At    time.Time      // when the last attempt ended

	payload    codec.Payload  // the body of the task; it never changes
	checkpoint *codec.Payload // its last checkpoint, or nil; it never changes
	node       *node          // main as a process, whose codec decodes the body; it never changes
}

// Decode decodes the body of the task into the value that v points to; see Message.Decode.
func (t *DeadTask) Decode(v any) error {
	if err := t.node.codec.Decode(t.payload, v); err != nil {
		return &DecodeError{Receiver: MainName, Type: t.Type, Err: err}
	}
	return nil
}

// Checkpoint decodes the last checkpoint of the task into the value that v points to, and reports
// whether there is one; see the function Checkpoint. Retried, the task goes on from there.
func (t *DeadTask) Checkpoint(v any) (ok bool, err error) {
	if t.checkpoint == nil {
		return false, nil
	}
	if err := t.node.codec.Decode(*t.checkpoint, v); err != nil {
		return false, &DecodeError{Receiver: MainName, Type: t.Type, Err: err}
	}
	return true, nil
}
