package contexts

import (
	"context"
	"errors"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// This file is how a deadline crosses a wire. It travels as the time that is left, because two
// processes have no clock in common. What has no deadline costs nothing.

// Limit is when the context of a function ends by itself, at the latest. It exists in the process
// of the function, and never changes.
type Limit struct {
	Due   time.Time // when the context ends
	Cause error     // the cause with which the context ends then
}

// Within returns the limit of what has come with a time that is left, or nil if that is not more
// than 0.
func Within(left time.Duration) *Limit {
	if left <= 0 {
		return nil
	}
	return &Limit{time.Now().Add(left), context.DeadlineExceeded}
}

// Sooner returns l or, if the time due comes first, a limit at that time. l may be nil.
func (l *Limit) Sooner(due time.Time, cause error) *Limit {
	if l == nil || due.Before(l.Due) {
		return &Limit{due, cause}
	}
	return l
}

// Left returns the time that is left until the limit, more than 0, or 0 if l is nil.
func (l *Limit) Left() time.Duration {
	if l == nil {
		return 0
	}
	return leftUntil(l.Due)
}

func leftUntil(due time.Time) time.Duration { return max(1, time.Until(due)) }

// Left returns the time that is left until the deadline of ctx, more than 0, or 0 if ctx has none.
func Left(ctx context.Context) time.Duration {
	if due, ok := ctx.Deadline(); ok {
		return leftUntil(due)
	}
	return 0
}

// Expired reports whether the context has ended by its deadline.
func Expired(ctx context.Context) bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }

// overtakenTimeout bounds how long Overtaken waits for the end of a context, which may be of a kind
// that never ends.
const overtakenTimeout = time.Second

// Overtaken reports whether the deadline of ctx has passed, of which another process has told. That
// process may see the deadline before this one does: so Overtaken waits until ctx has ended, too,
// and the caller's wait then counts as ended by ctx.
func Overtaken(ctx context.Context) bool {
	if due, ok := ctx.Deadline(); !ok || time.Until(due) > 0 {
		return false
	}
	return goroutine.Within(ctx.Done(), overtakenTimeout)
}
