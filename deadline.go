package multiprolab

import (
	"context"
	"errors"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how a deadline crosses a wire. It travels as the time that is left, because two
// processes have no clock in common. A call or task without a deadline costs nothing.

// timeLimit is when the context of a function ends by itself, at the latest. It exists in the
// process of the function, and never changes.
type timeLimit struct {
	due   time.Time // when the context ends
	cause error     // the cause with which the context ends then
}

// leftUntil returns the time that is left until a deadline, as frames carry it.
func leftUntil(due time.Time) time.Duration { return max(1, time.Until(due)) }

// leftOf returns the time that is left until the deadline of ctx, or 0 if ctx has none.
func leftOf(ctx context.Context) time.Duration {
	if due, ok := ctx.Deadline(); ok {
		return leftUntil(due)
	}
	return 0
}

// limitIn returns the limit of the call or task that has come with a frame, or nil if it has none.
func limitIn(f *wire.Frame) *timeLimit {
	if f.Left <= 0 {
		return nil
	}
	return &timeLimit{time.Now().Add(f.Left), context.DeadlineExceeded}
}

// sooner returns l or, if the time due comes first, a limit at that time. l may be nil.
func (l *timeLimit) sooner(due time.Time, cause error) *timeLimit {
	if l == nil || due.Before(l.due) {
		return &timeLimit{due, cause}
	}
	return l
}

// expired reports whether the context has ended by its deadline.
func expired(ctx context.Context) bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }

// softly returns the flag of a Cancel frame: soft says that the deadline has passed, and nobody has
// cancelled.
func softly(soft bool) wire.Flags {
	if soft {
		return wire.FlagSoft
	}
	return 0
}

// overtakenTimeout bounds how long overtaken waits for the end of a context, which may be of a kind
// that never ends.
const overtakenTimeout = time.Second

// overtaken reports whether an error of a handler says no more than that the deadline of ctx has
// passed. The handler may see the deadline before the caller does: so overtaken waits until ctx has
// ended, too, and the caller's wait then counts as ended by ctx.
func overtaken(ctx context.Context, err error) bool {
	if _, ok := err.(*RemoteError); !ok || !errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if due, ok := ctx.Deadline(); !ok || time.Until(due) > 0 {
		return false
	}
	return goroutine.Within(ctx.Done(), overtakenTimeout)
}
