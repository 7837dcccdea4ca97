package contexts

import (
	"context"
	"errors"
	"strings"
)

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
