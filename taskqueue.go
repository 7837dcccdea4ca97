package multiprolab

import "context"

// TaskQueue is a process's door to the one queue of tasks, which is in main. Main and every worker
// may submit; workers that have registered a handler for the type, or pull it, take tasks in the
// order of submission. All methods may be called from any goroutine.
type TaskQueue struct {
	node *node
	main *Main // nil in a worker
}

// Submit puts a task into the queue. It waits while the queue is full; ctx limits this wait alone.
// See the function Submit for the typed form.
func (q *TaskQueue) Submit(ctx context.Context, typ string, body any, o *TaskOptions) (*Submission, error) {
	return q.node.submit(ctx, typ, body, o, false, false)
}

// TrySubmit puts a task into the queue, or returns an error that wraps ErrQueueFull if it has no
// room. From a worker it costs one round trip to main.
func (q *TaskQueue) TrySubmit(ctx context.Context, typ string, body any, o *TaskOptions) (*Submission, error) {
	return q.node.submit(ctx, typ, body, o, true, false)
}

// Join waits until no accepted task is left without an outcome, those that are submitted meanwhile
// included. It works in main only.
func (q *TaskQueue) Join(ctx context.Context) error {
	if q.main == nil {
		return errOnlyMain
	}
	defer stall(ctx)()
	if scopeOf(ctx) != nil {
		over, err := q.main.broker.beginJoin()
		if err != nil {
			return err
		}
		defer over()
	}
	select {
	case <-q.main.broker.join():
		return nil
	case <-ctx.Done():
		return causeOf(ctx)
	}
}

// CancelPending cancels the tasks of a queue that no worker has been given, or those of every queue
// if it is "". It returns their number. It works in main only.
func (q *TaskQueue) CancelPending(queue string) int {
	if q.main == nil {
		return 0
	}
	return q.main.broker.cancelPending(queue)
}

// Pause stops handing out the tasks of a queue, or those of every queue if it is "". Those that run
// go on; new ones are taken and wait. It works in main only.
func (q *TaskQueue) Pause(queue string) {
	if q.main != nil {
		q.main.broker.pause(queue, true)
	}
}

// Resume ends the Pause of a queue; with "" every Pause. It works in main only.
func (q *TaskQueue) Resume(queue string) {
	if q.main != nil {
		q.main.broker.pause(queue, false)
	}
}

// Stats counts the tasks of the program. It works in main only; in a worker it returns zeros.
func (q *TaskQueue) Stats() TaskStats {
	if q.main == nil {
		return TaskStats{}
	}
	return q.main.broker.count()
}
