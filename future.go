package multiprolab

import "context"

// Future is a task as its submitter sees it: an outcome to come, whose result has the type R. That
// of TaskQueue.Submit is a Future[any], whose result is taken with Result. It exists in the process
// of the submitter, main or a worker. All its methods may be called from any goroutine.
type Future[R any] struct {
	task *submission // the task; does not change
}

// ID returns the number of the task, unique among those of its submitter.
func (f *Future[R]) ID() uint64 { return f.task.id }

// Done returns a channel that is closed when the outcome is there.
func (f *Future[R]) Done() <-chan struct{} { return f.task.done }

// Cancel cancels the task. If the task is queued, it never runs. If it runs, its context is
// cancelled, and if its handler does not return within the grace its worker is killed. The outcome
// is ErrCancelled, unless it was there before.
func (f *Future[R]) Cancel() { f.task.cancel() }

// Wait waits for the outcome of the task. The end of ctx ends the waiting, not the task.
func (f *Future[R]) Wait(ctx context.Context) (R, error) {
	var r R
	err := f.task.result(ctx, &r)
	return r, err
}

// Result is Wait for who names the type of the result here: it decodes the result into the value
// that v points to; v may be nil.
func (f *Future[R]) Result(ctx context.Context, v any) error { return f.task.result(ctx, v) }
