package multiprolab

import (
	"context"
	"errors"
	"strings"
)

// endedError is the error of a wait that has ended with its context: it matches why that has ended,
// and what its Err says, and the error that the wait would have ended with at that moment anyhow,
// if there is one. It exists in the process that waited.
type endedError struct {
	text string
	is   []error
}

func (e *endedError) Error() string   { return e.text }
func (e *endedError) Unwrap() []error { return e.is }

// causeOf returns why a context has ended. The error matches the cause and, as the error of a
// function of the standard library would, ctx.Err.
func causeOf(ctx context.Context) error {
	cause, err := context.Cause(ctx), ctx.Err()
	if errors.Is(cause, err) {
		return cause
	}
	return &endedError{cause.Error(), []error{cause, err}}
}

// alsoEnded returns the error of a wait and, if its context has ended as well, why: who looks for
// one of them finds it, whichever came first.
func alsoEnded(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, ctx.Err()) && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	cause := causeOf(ctx)
	return &endedError{err.Error() + ": " + strings.TrimPrefix(cause.Error(), "multiprolab: "), []error{err, cause}}
}
