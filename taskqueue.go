package multiprolab

import (
	"context"
	"errors"
	"time"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/queue"
)

var errOnlyMain = errors.New("multiprolab: this works only in the main process")

// TaskQueue is a process's door to the one queue of tasks, which is in main. Main and every worker
// may submit; workers that have registered a handler for the type, or get it with Get, take tasks
// in the order of submission. All methods may be called from any goroutine.
type TaskQueue struct {
	node *node       // the process
	main queueKeeper // main's broker; nil in a worker
	mine taskSource  // the tasks of the worker; nil in main
}

// taskSource is where a TaskQueue gets the tasks of its worker.
type taskSource interface {
	// fetch asks main for a task of one of the types, or of any pulled type if there are none. Its
	// error need not say that ctx has ended as well.
	fetch(ctx context.Context, wait bool, types []string) (*Task, error)
}

// queueKeeper is main's broker as a TaskQueue knows it: what only main can do with the queue.
type queueKeeper interface {
	// beginJoin says that main's loop waits until no task is left, or why it must not.
	beginJoin() (over func(), err error)
	// join returns a channel that is closed when no task is left.
	join() <-chan struct{}
	// cancelPending cancels what no worker has been given.
	cancelPending(queue string) int
	// pause stops handing out the tasks of a queue, or goes on with it.
	pause(queue string, on bool)
	// pauseUntil is pause that ends by itself.
	pauseUntil(queue string, until time.Time)
	// throttle sets the limits of a throttle, before the program starts or later.
	throttle(of queue.Throttle, to queue.Limits)
	// count counts the tasks.
	count() TaskStats
	// dead returns the dead letters, the oldest first.
	deadTasks() []*DeadTask
	// retryDead puts dead letters back into their queues, and says why others stay.
	retryDead(ids []uint64) (n int, stays []error)
	// dropDead removes dead letters, and returns their number.
	dropDead(ids []uint64) int
}

// Submit puts a task into the queue. It waits while the queue is full; ctx limits this wait alone.
// See the function Submit for the typed form.
func (q *TaskQueue) Submit(ctx context.Context, typ string, body any, o *TaskOptions) (*Future[any], error) {
	return q.submit(ctx, typ, body, o, false)
}

// TrySubmit puts a task into the queue, or returns an error that wraps ErrQueueFull if it has no
// room. From a worker it costs one round trip to main.
func (q *TaskQueue) TrySubmit(ctx context.Context, typ string, body any, o *TaskOptions) (*Future[any], error) {
	return q.submit(ctx, typ, body, o, true)
}

func (q *TaskQueue) submit(ctx context.Context, typ string, body any, o *TaskOptions, try bool) (*Future[any], error) {
	s, err := q.node.submit(ctx, typ, body, o, try)
	if err != nil {
		return nil, err
	}
	return &Future[any]{s}, nil
}

// Get waits for a task of one of the types, or of every type that Worker.PullTasks declared. The
// caller ends it with Task.Done or Task.Fail. It returns an error when ctx ends, or ErrStopped when
// exit is requested. In an action, pass the action's context. Tasks come after the setup function
// has returned: a goroutine that it starts may call Get, the setup function itself may not. It
// works in a worker only; in main it returns ErrNotWorker.
func (q *TaskQueue) Get(ctx context.Context, types ...string) (*Task, error) {
	return q.get(ctx, true, types)
}

// TryGet is Get without waiting: it returns ErrNoTask if no task is in the queue. It costs one
// round trip to main and, with a Config.Backend, a question to that for each queue, type and
// priority which the task may have.
func (q *TaskQueue) TryGet(ctx context.Context, types ...string) (*Task, error) {
	return q.get(ctx, false, types)
}

func (q *TaskQueue) get(ctx context.Context, wait bool, types []string) (*Task, error) {
	if q.mine == nil {
		return nil, ErrNotWorker
	}
	t, err := q.mine.fetch(ctx, wait, types)
	if err != nil && err != ErrNoTask {
		err = contexts.AlsoEnded(ctx, err) // mostly exit was requested, which ends the context of an action, too
	}
	return t, err
}

// Join waits until no accepted task is left without an outcome, those that are submitted meanwhile
// included. It works in main only.
func (q *TaskQueue) Join(ctx context.Context) error {
	if q.main == nil {
		return errOnlyMain
	}
	defer stall(ctx)()
	if scopeOf(ctx) != nil {
		over, err := q.main.beginJoin()
		if err != nil {
			return err
		}
		defer over()
	}
	select {
	case <-q.main.join():
		return nil
	case <-ctx.Done():
		return contexts.CauseOf(ctx)
	}
}

// CancelPending cancels the tasks of a queue that no worker has been given, or those of every queue
// if it is "". It returns their number. It works in main only.
func (q *TaskQueue) CancelPending(queue string) int {
	if q.main == nil {
		return 0
	}
	return q.main.cancelPending(queue)
}

// Pause stops handing out the tasks of a queue, or those of every queue if it is "". Those that run
// go on; new ones are taken and wait. It works in main only.
func (q *TaskQueue) Pause(queue string) {
	if q.main != nil {
		q.main.pause(queue, true)
	}
}

// PauseUntil is Pause, or another end of it, up to a time: then the queue goes on by itself, or
// earlier by Resume. A time that has passed ends the pause. The pauses of a queue, and that of
// every queue with "", are apart from each other: tasks are handed out once neither holds. What
// counts is how far away t is now, whatever the clock is set to later. It works in main only.
func (q *TaskQueue) PauseUntil(queue string, t time.Time) {
	if q.main != nil {
		q.main.pauseUntil(queue, t)
	}
}

// Resume ends the Pause of a queue; with "" every Pause. It works in main only.
func (q *TaskQueue) Resume(queue string) {
	if q.main != nil {
		q.main.pause(queue, false)
	}
}

// Stats counts the tasks of the program. It works in main only; in a worker it returns zeros.
func (q *TaskQueue) Stats() TaskStats {
	if q.main == nil {
		return TaskStats{}
	}
	return q.main.count()
}

// Dead returns the tasks that have used up their attempts, the oldest first. It works in main only;
// in a worker it returns nil.
func (q *TaskQueue) Dead() []*DeadTask {
	if q.main == nil {
		return nil
	}
	return q.main.deadTasks()
}

// RetryDead puts the dead tasks with the ids back into their queues, all their attempts before
// them; without ids all. They keep their ids. Nobody waits for their outcomes: a task that fails
// again comes back to the list, and so does one that no worker can be found for. It returns the
// number of tasks that it has put back, and an error for those that it could not, which stay in the
// list. It works in main only.
func (q *TaskQueue) RetryDead(ids ...uint64) (int, error) {
	if q.main == nil {
		return 0, errOnlyMain
	}
	n, stays := q.main.retryDead(ids)
	return n, errors.Join(stays...)
}

// DropDead removes the dead tasks with the ids; without ids all. It returns the number that it
// found. It works in main only.
func (q *TaskQueue) DropDead(ids ...uint64) int {
	if q.main == nil {
		return 0
	}
	return q.main.dropDead(ids)
}

// TaskStats counts tasks. At any moment Received = Succeeded + Failed + Cancelled + Queued +
// Running.
type TaskStats struct {
	Received  uint64 `json:"received"` // accepted by the queue, or waiting for room in it
	Succeeded uint64 `json:"succeeded"`
	Failed    uint64 `json:"failed"`
	Cancelled uint64 `json:"cancelled"` // by their submitters, or because the program ends
	Queued    uint64 `json:"queued"`    // not started on a worker
	Running   uint64 `json:"running"`
}
