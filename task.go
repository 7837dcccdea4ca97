package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Task is a task on the worker that works on it. It exists in the worker process.
type Task struct {
	ID        uint64 // unique in the life of main
	Type      string
	Submitter string // name of the process that submitted it
	Attempt   int    // 1 for the first
	payload   codec.Payload
	decoded   atomic.Bool // see Message
	node      *node       // of the worker
	home      taskHome    // the worker's inbox
	chain     string
	timed     bool          // main must know when it begins
	batch     bool          // payload is that of the item that runs
	lone      bool          // the item is all that is worked on of the batch: it was taken with GetTask
	begun     atomic.Uint64 // items of the batch that have, and batchCut
	timeout   time.Duration // of this attempt, or 0
	expires   time.Time     // by the timeout, once the task runs
	limit     *timeLimit    // of its context, or nil; before it runs, that of who waits for the outcome
	ctx       *scope

	// early is the outcome of the item that runs, if its handler has called Done or Fail; nil else.
	early atomic.Pointer[reply]

	mu   lockorder.Mutex[lockorder.Task]
	done bool
}

// taskHome is the inbox of the worker that a task is in. It exists in the worker process.
type taskHome interface {
	// ended sends the outcome of a task to main.
	ended(t *Task, how link.Haste, outcome *wire.Frame)
	// report sends progress to the submitter of a task.
	report(ctx context.Context, f *wire.Frame) error
}

// Decode decodes the body of the task into the value that v points to; see Message.Decode.
func (t *Task) Decode(v any) error {
	decode := t.node.codec.Take
	if !t.decoded.CompareAndSwap(false, true) {
		decode = t.node.codec.Decode
	}
	if err := decode(t.payload, v); err != nil {
		return &DecodeError{Receiver: t.node.name, Type: t.Type, Err: err}
	}
	return nil
}

// Context ends when the task is cancelled or past its deadline, with the reason as its cause.
func (t *Task) Context() context.Context { return t.ctx }

// Done ends a task that was taken with GetTask: result goes to the submitter. A result that cannot
// be encoded goes to the submitter as that error, which Done returns as well. To end a task twice
// is an error.
func (t *Task) Done(result any) error {
	r := t.node.outcome(nil, t.Type, result, nil)
	return cmp.Or(t.finish(r), r.err)
}

// Fail ends a task that was taken with GetTask: err goes to the submitter. To end a task twice is
// an error.
func (t *Task) Fail(err error) error {
	if err == nil {
		return fmt.Errorf(
			"multiprolab: Fail of task %q (id %d) was called with a nil error: call Done instead",
			t.Type,
			t.ID,
		)
	}
	return t.finish(t.node.outcome(nil, t.Type, nil, err))
}

// TaskHandler works on one task; what it returns goes to the submitter.
type TaskHandler func(ctx context.Context, t *Task) (result any, err error)

// finish gives the task its outcome, or the item of a batch that runs, once.
func (t *Task) finish(r *reply) error {
	if !t.batch {
		return t.end(r)
	}
	if t.lone {
		return t.endFirst(r)
	}
	r.payload = r.payload.Own() // it is sent once the handler has returned
	if !t.early.CompareAndSwap(nil, r) {
		return t.hasEnded()
	}
	return nil
}

func (t *Task) hasEnded() error {
	return fmt.Errorf("multiprolab: task %q (id %d) has ended already: call Done or Fail once", t.Type, t.ID)
}

// end sends the outcome of a task, or the outcomes of a batch, to main, once.
func (t *Task) end(r *reply) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return t.hasEnded()
	}
	t.done = true
	t.ctx.leave()
	f := replyFrame(wire.Result, t.ID, r)
	if t.batch && r.err == nil {
		f.Flags |= wire.FlagBatch
	}
	f.Flags |= softly(t.late())
	how := link.Lazily
	if t.batch && !t.lone {
		how = link.Quietly // work pushes it
	}
	t.home.ended(t, how, f)
	return nil
}

// startClock notes that the task runs from now on: when its time will be over.
func (t *Task) startClock() {
	if t.timeout > 0 {
		t.expires = time.Now().Add(t.timeout)
		t.limit = t.limit.sooner(t.expires, context.DeadlineExceeded)
	}
}

// late reports whether the timeout of a task that runs has passed.
func (t *Task) late() bool { return t.timeout > 0 && !time.Now().Before(t.expires) }

// over returns an error if the task has ended.
func (t *Task) over() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done || t.early.Load() != nil {
		return fmt.Errorf("multiprolab: task %q (id %d) has ended: report progress before", t.Type, t.ID)
	}
	return nil
}

// Progress reports news of the task to its submitter; see the function Progress. Once the task has
// ended it returns an error.
func (t *Task) Progress(ctx context.Context, body any) error {
	if err := t.over(); err != nil {
		return err
	}
	p, err := t.node.encode(t.Submitter, t.Type, body)
	if err != nil {
		return err
	}
	f := &wire.Frame{Kind: wire.Progress, ID: t.ID, Type: t.Type}
	setPayload(f, p)
	if err := t.home.report(ctx, f); err != nil {
		return err
	}
	return t.over() // what has come behind the end is nobody's
}

// endBatch sends the outcomes of a batch to main.
func (t *Task) endBatch(r *reply) {
	_ = t.end(r) // nobody else ends a batch: its handler ends the item that runs
}

// beginItem notes that item n begins, unless the batch was cut before it. The first is the worker's
// in any case, if it is not cancelled: see cutBatch.
func (t *Task) beginItem(n uint64) bool {
	return t.begun.CompareAndSwap(n, n+1) || n == 0 && t.ctx.Err() == nil
}

// takeFirst makes a batch that answers a GetTask its first item, before it starts.
func (t *Task) takeFirst() error {
	items := batch.Read(t.payload.Data)
	var ok bool
	if _, t.payload, ok = items.Next(); !ok {
		return lie("%v", errBatch)
	}
	t.lone = true
	t.begun.Store(1)
	return nil
}

// endFirst ends a batch with the outcome of its first item. It says that it took long, so that the
// next items travel one at a time.
func (t *Task) endFirst(r *reply) error {
	all := &reply{payload: codec.Payload{Encoding: codec.Bytes}, took: batch.MaxTook}
	all.payload.Data = t.node.addOutcome(nil, 0, t.Type, r)
	if len(all.payload.Data) > t.node.mostBody() {
		all.bare(0)
	}
	return t.end(all)
}

// batchCut in Task.begun says that no further item of a batch may begin.
const batchCut = 1 << 63

// addOutcome appends an outcome that was encoded elsewhere.
func (n *node) addOutcome(out []byte, start int, typ string, r *reply) []byte {
	return n.endOutcome(append(batch.Begin(out), r.payload.Data...), start, typ, r.payload, r.err)
}

// failure is the error of a handler as it goes to the submitter.
func (n *node) failure(typ string, err error) error {
	if _, ok := err.(*DecodeError); ok {
		return err
	}
	return n.remote(typ, err)
}

// endOutcome ends the outcome that was begun when out had the length start. Its value was encoded
// since, unless err is its outcome.
func (n *node) endOutcome(out []byte, start int, typ string, p codec.Payload, err error) []byte {
	if err == nil && len(p.Data) > n.maxBody {
		err = &SizeError{Type: typ, Size: int64(len(p.Data)), Limit: int64(n.maxBody)}
	}
	if err == nil {
		return batch.End(out, start, batch.OK, p)
	}
	status := batch.Failed
	if remote, ok := err.(*RemoteError); ok && remote.after > 0 {
		status = batch.Later
	}
	return batch.EndWith(out, start, status, codec.Payload{Data: marshalError(err)})
}
