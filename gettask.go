package multiprolab

import "context"

// fetch asks main for a task of one of the types, or of any pulled type if there are none.
func (b *taskInbox) fetch(ctx context.Context, wait bool, types []string) (*Task, error) {
	t, err := b.tryFetch(ctx, wait, types)
	if err != nil && err != ErrNoTask {
		err = alsoEnded(ctx, err) // mostly exit was requested, which ends the context of an action, too
	}
	return t, err
}
