package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/ablate"
	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/shop"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// Task is a task on the worker that works on it. It exists in the worker process.
type Task struct {
	ID        uint64 // unique in the life of main
	Type      string
	Submitter string            // name of the process that submitted it
	Attempt   int               // 1 for the first
	Header    map[string]string // what a Middleware of its submitter has set, or nil
	// payload is the body; of a batch, the body of the batch before it is begun, and then that of
	// the item that runs. The goroutine that works on the task uses it.
	payload codec.Payload
	// decoded says that a []byte may have got the memory of the payload. Any goroutine may use it.
	decoded atomic.Bool
	// node is the worker. It does not change.
	node *node
	// home is the inbox of the worker. It does not change.
	home taskHome
	// chain is the names of the processes whose loops wait for the task, or may, separated by
	// commas. It does not change.
	chain string
	// last is the last checkpoint of the earlier attempts, or nil. It does not change.
	last *codec.Payload
	// timed says that main must have read the Start before the handler begins. It does not change.
	timed bool
	// batch says that the task is a batch. It does not change.
	batch bool
	// streams says that the handler yields pieces. The goroutine that works on the task sets it.
	streams bool
	// lone says that only the first item of the batch is worked on, because the batch was taken
	// with TaskQueue.Get. It does not change once the task has started.
	lone bool
	// items is how far the task has come, if it is a batch. It guards itself.
	items shop.Items
	// timeout is the timeout of this attempt, or 0. It does not change.
	timeout time.Duration
	// began is when the task has started, by the clock of its home. It is set when it starts.
	began time.Duration
	// expires is when the timeout passes. It is set when the task starts.
	expires time.Time
	// limit is when the context ends at the latest, or nil: before the task starts, by the deadline
	// of who waits for the outcome; then by the timeout as well.
	limit *contexts.Limit
	// ctx is the context of the handler. It is set when the task starts; before that it is nil.
	ctx *scope

	// early is the outcome of the item of a batch that runs, if its handler has called Done or
	// Fail; otherwise nil. Any goroutine may use it.
	early atomic.Pointer[reply]

	mu   lockorder.Mutex[lockorder.Task] // guards done
	done bool                            // the task has ended
}

// taskHome is the inbox of the worker that a task is in. It exists in the worker process.
type taskHome interface {
	// runs returns for how long a task has run that ends now.
	runs(t *Task) time.Duration
	// ended sends the outcome of a task to main.
	ended(t *Task, how link.Haste, outcome *wire.Frame)
	// save posts a checkpoint.
	save(f *wire.Frame) error
	// secure returns when what was posted outlives the worker.
	secure() error
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
		return &DecodeError{Receiver: t.node.name(), Type: t.Type, Err: err}
	}
	return nil
}

// Context ends when the task is cancelled or past its deadline, with the reason as its cause.
func (t *Task) Context() context.Context { return t.ctx }

// Done ends a task that was taken with TaskQueue.Get: result goes to the submitter. If the result
// cannot be encoded, the submitter gets the error that says so, and Done returns it as well. To end
// a task twice is an error.
func (t *Task) Done(result any) error {
	r := t.node.outcome(nil, t.Type, result, nil)
	return cmp.Or(t.giveOutcome(r), r.err)
}

// Fail ends a task that was taken with TaskQueue.Get: err goes to the submitter. To end a task
// twice is an error.
func (t *Task) Fail(err error) error {
	if err == nil {
		return fmt.Errorf("multiprolab: Fail of task %q (id %d) was called with a nil error: call Done instead",
			t.Type, t.ID)
	}
	return t.giveOutcome(t.node.outcome(nil, t.Type, nil, err))
}

// TaskHandler works on one task; what it returns goes to the submitter.
type TaskHandler func(ctx context.Context, t *Task) (result any, err error)

// giveOutcome gives the task its outcome or, if the task is a batch, the item that runs. It does so
// once, and returns an error if there was an outcome before.
func (t *Task) giveOutcome(r *reply) error {
	if !t.batch {
		return t.end(r)
	}
	if t.lone {
		return t.endFirst(r)
	}
	r.payload = r.payload.Own() // the outcome is sent later, when the handler has returned
	if !t.early.CompareAndSwap(nil, r) {
		return t.hasEnded()
	}
	return nil
}

// hasEnded makes the error of a task that is ended a second time.
func (t *Task) hasEnded() error {
	return fmt.Errorf("multiprolab: task %q (id %d) has ended already: call Done or Fail once", t.Type, t.ID)
}

// end sends the outcome of a task, or the outcomes of a batch, to main. It does so once, and
// returns an error if the task has ended before.
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
	if !t.batch && !ablate.Without(ablate.Figures) {
		f.Left = t.home.runs(t)
	}
	f.Flags |= wire.Softly(t.late())
	how := link.Lazily
	if t.batch && !t.lone {
		how = link.Quietly // taskInbox.work pushes it
	}
	t.home.ended(t, how, f)
	return nil
}

// startClock notes that the task runs from now on, and so when its timeout will have passed.
func (t *Task) startClock() {
	if t.timeout > 0 {
		t.expires = time.Now().Add(t.timeout)
		t.limit = t.limit.Sooner(t.expires, context.DeadlineExceeded)
	}
}

// late reports whether the timeout of a task that runs has passed.
func (t *Task) late() bool { return t.timeout > 0 && !time.Now().Before(t.expires) }

// stillRuns returns an error if the task has ended.
func (t *Task) stillRuns() error {
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
	if t.streams {
		return fmt.Errorf("multiprolab: task %q reports nothing: its handler yields pieces instead", t.Type)
	}
	return t.report(ctx, body)
}

// beginPieces notes that the handler of the task yields pieces from now on. It returns an error if
// nobody could take them, or if the handler has yielded some already.
func (t *Task) beginPieces() error {
	if t.batch {
		return fmt.Errorf("multiprolab: %w", resultInPieces(t.Type))
	}
	if t.streams {
		return secondNext("task", t.Type)
	}
	t.streams = true
	return nil
}

// report is Progress, and sends the pieces of a stream.
func (t *Task) report(ctx context.Context, body any) error {
	if err := t.stillRuns(); err != nil {
		return err
	}
	p, err := t.node.encode(t.Submitter, t.Type, body)
	if err != nil {
		return err
	}
	f := &wire.Frame{Kind: wire.Progress, ID: t.ID, Type: t.Type}
	if t.streams {
		f.Flags |= wire.FlagStream
	}
	link.SetBody(f, p)
	if err := t.home.report(ctx, f); err != nil {
		return err
	}
	return t.stillRuns() // if the task has ended meanwhile, nobody gets the report
}

// endBatch sends the outcomes of a batch to main.
func (t *Task) endBatch(r *reply) {
	_ = t.end(r) // nobody else ends a batch: Done and Fail only end the item that runs
}

// batchItems returns how far a batch has come, or nil if the task is no batch.
func (t *Task) batchItems() *shop.Items {
	if !t.batch {
		return nil
	}
	return &t.items
}

// beginItem notes that item n begins, and reports whether it may: not if the batch was cut before
// it. The first item begins in any case, unless it is cancelled: see shop.Shop.Recall.
func (t *Task) beginItem(n uint64) bool {
	return t.items.Begin(n) || n == 0 && t.ctx.Err() == nil
}

// takeFirst makes a batch that answers a TaskQueue.Get consist of its first item, before it starts.
func (t *Task) takeFirst() error {
	items := batch.Read(t.payload.Data)
	var ok bool
	if _, t.payload, ok = items.Next(); !ok {
		return lie("%v", errBatch)
	}
	t.lone = true
	t.items.Begin(0)
	return nil
}

// endFirst ends a batch with the outcome of its first item. It claims that the item took long, so
// that the next items travel one at a time.
func (t *Task) endFirst(r *reply) error {
	all := &reply{payload: codec.Payload{Encoding: codec.Bytes}, took: batch.MaxTook}
	all.payload.Data = t.node.addOutcome(nil, 0, t.Type, r)
	if len(all.payload.Data) > t.node.mostBody() {
		all.bare(0)
	}
	return t.end(all)
}

// kind implements work.
func (t *Task) kind() (verb, typ string) { return "task", t.Type }

// waiters implements work.
func (t *Task) waiters() string { return t.chain }

// arriving returns what the middlewares see of the task.
func (t *Task) arriving() *Operation {
	return &Operation{Kind: "task", Type: t.Type, Sender: t.Submitter, Receiver: t.node.name(), Header: t.Header}
}

// TaskFrom returns the task that runs under ctx, or nil.
func TaskFrom(ctx context.Context) *Task {
	if s, _ := ctx.Value(scopeKey{}).(*scope); s != nil {
		t, _ := s.work.(*Task)
		return t
	}
	return nil
}
