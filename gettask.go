package multiprolab

import "context"

// GetTask waits for a task of one of the types, or of every type that PullTasks declared. The
// caller ends it with Task.Done or Task.Fail. It returns an error when ctx ends, or ErrStopped when
// exit is requested. In an action, pass the action's context. Tasks come after the setup function
// has returned: a goroutine that it starts may call GetTask, the setup function itself may not.
func (w *Worker) GetTask(ctx context.Context, types ...string) (*Task, error) {
	return w.inbox.fetch(ctx, true, types)
}

// TryGetTask is GetTask without waiting: it returns ErrNoTask if no task is in the queue. It costs
// one round trip to main.
func (w *Worker) TryGetTask(ctx context.Context, types ...string) (*Task, error) {
	return w.inbox.fetch(ctx, false, types)
}

// fetch asks main for a task of one of the types, or of any pulled type if there are none.
func (b *taskInbox) fetch(ctx context.Context, wait bool, types []string) (*Task, error) {
	t, err := b.tryFetch(ctx, wait, types)
	if err != nil && err != ErrNoTask {
		err = alsoEnded(ctx, err) // mostly exit was requested, which ends the context of an action, too
	}
	return t, err
}
