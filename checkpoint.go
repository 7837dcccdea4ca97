package multiprolab

import (
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// MaxCheckpoint is how many bytes a checkpoint may have, encoded.
const MaxCheckpoint = 64 << 10

// Checkpoint keeps v for the next attempt at the task that runs under ctx, in place of what was
// kept before; Last reads it there. When it has returned nil, v outlives this worker, even if that
// is killed at once. It goes to main, in whose memory it is until the task has its outcome; with a
// Backend whose leases are backend.Checkpointers it is stored there as well, a moment later, and so
// outlives main. A task that has no attempts left, or is not retried, needs none.
//
// v is anything that can be sent, and has at most MaxCheckpoint bytes: otherwise the error is a
// *SizeError, and what was kept before stays. It is an error if no task runs under ctx, or the task
// has ended. In a Map, an item that was sent together with others is begun anew.
func Checkpoint(ctx context.Context, v any) error {
	t := TaskFrom(ctx)
	if t == nil {
		return fmt.Errorf("multiprolab: Checkpoint works only in the handler of a task, with its context")
	}
	return t.Checkpoint(v)
}

// Last returns the last checkpoint of the earlier attempts at the task that runs under ctx, and
// whether there is one. It does not change while the attempt runs. The error is a *DecodeError if
// the checkpoint is of another type, or says that no task runs under ctx.
func Last[T any](ctx context.Context) (v T, ok bool, err error) {
	t := TaskFrom(ctx)
	if t == nil {
		return v, false, fmt.Errorf("multiprolab: Last works only in the handler of a task, with its context")
	}
	ok, err = t.Last(&v)
	return v, ok, err
}

// Checkpoint keeps v for the next attempt at the task; see the function Checkpoint.
func (t *Task) Checkpoint(v any) error {
	p, err := t.node.encode(MainName, t.Type, v)
	if err != nil {
		return err
	}
	if n := len(p.Data); n > MaxCheckpoint {
		return &sentinelError{fmt.Sprintf("multiprolab: the checkpoint of task %q takes %d bytes, more than the limit "+
			"of %d: keep large data elsewhere, and here where it is", t.Type, n, MaxCheckpoint),
			&SizeError{Type: t.Type, Size: int64(n), Limit: MaxCheckpoint}}
	}
	f := &wire.Frame{Kind: wire.Checkpoint, ID: t.ID}
	link.SetBody(f, p)
	if err := t.save(f); err != nil {
		return err
	}
	return t.home.secure()
}

// save posts a checkpoint, before the outcome of the task or not at all.
func (t *Task) save(f *wire.Frame) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done || t.early.Load() != nil {
		return fmt.Errorf("multiprolab: task %q (id %d) has ended: call Checkpoint before", t.Type, t.ID)
	}
	return t.home.save(f)
}

// Last decodes the last checkpoint of the earlier attempts into the value that v points to, and
// reports whether there is one; see the function Last.
func (t *Task) Last(v any) (ok bool, err error) {
	if t.last == nil {
		return false, nil
	}
	if err := t.node.codec.Decode(*t.last, v); err != nil {
		return false, &DecodeError{Receiver: t.node.name(), Type: t.Type, Err: err}
	}
	return true, nil
}
