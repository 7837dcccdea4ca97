package contexts

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// This file is how a deadline crosses a wire, and how a wait ends by its context. A deadline
// travels as the time that is left, because two processes have no clock in common. What has no
// deadline costs nothing.

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
	return max(1, time.Until(l.Due))
}

// Left returns the time that is left until the deadline of ctx, more than 0, or 0 if ctx has none.
func Left(ctx context.Context) time.Duration {
	if due, ok := ctx.Deadline(); ok {
		return max(1, time.Until(due))
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

// endedError is the error of a wait whose context has ended. It matches the cause of the context
// and its Err. If the wait has ended with an error of its own as well, it matches that, too. It
// exists in the process that has waited, and never changes.
type endedError struct {
	text string  // the whole text of the error
	is   []error // the errors that it matches
}

func (e *endedError) Error() string   { return e.text }
func (e *endedError) Unwrap() []error { return e.is }

// CauseOf returns why a context has ended. The error matches the cause of ctx and, like an error of
// the standard library, ctx.Err.
func CauseOf(ctx context.Context) error {
	cause, err := context.Cause(ctx), ctx.Err()
	if errors.Is(cause, err) {
		return cause
	}
	return &endedError{cause.Error(), []error{cause, err}}
}

// AlsoEnded returns the error of a wait. If ctx has ended as well, the error matches the cause of
// ctx, too, so that a user finds either of them, whichever came first.
func AlsoEnded(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, ctx.Err()) && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	cause := CauseOf(ctx)
	return &endedError{err.Error() + ": " + strings.TrimPrefix(cause.Error(), "multiprolab: "), []error{err, cause}}
}
