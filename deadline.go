package multiprolab

import (
	"context"
	"errors"
	"time"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how a deadline crosses a wire. It travels as the time that is left, for two
// processes have no clock in common, and what has none pays nothing.

// timeLimit is when the context of a function ends by itself, at the latest. It exists in the
// process of the function, and never changes.
type timeLimit struct {
	due   time.Time
	cause error // of the context then
}

// leftUntil returns the time that is left of a deadline, as frames carry it.
func leftUntil(due time.Time) time.Duration { return max(1, time.Until(due)) }

// leftOf returns the time that is left of the context, or 0 if that has no deadline.
func leftOf(ctx context.Context) time.Duration {
	if due, ok := ctx.Deadline(); ok {
		return leftUntil(due)
	}
	return 0
}

// limitIn returns the limit of what has come with a frame, or nil if it has none.
func limitIn(f *wire.Frame) *timeLimit {
	if f.Left <= 0 {
		return nil
	}
	return &timeLimit{time.Now().Add(f.Left), context.DeadlineExceeded}
}

// sooner returns the limit or, if that comes first, one at the time due. l may be nil.
func (l *timeLimit) sooner(due time.Time, cause error) *timeLimit {
	if l == nil || due.Before(l.due) {
		return &timeLimit{due, cause}
	}
	return l
}

// nearTime is by how much the deadline of a function may come later in its own process than where
// it was set. That one's clock does not tell.
const nearTime = 100 * time.Millisecond

// expire ends the context because its deadline has passed where it was set. Here it comes by
// itself, in the next moment: then the context says of itself that its deadline has passed.
func (s *scope) expire() {
	if s.limit == nil || time.Until(s.limit.due) > nearTime {
		s.cancel(context.DeadlineExceeded)
	}
}

// giveUp ends the context because nobody waits for the function any more: since the deadline has
// passed, if soft is set.
func (s *scope) giveUp(soft bool, cause error) {
	if soft {
		s.expire()
	} else {
		s.cancel(cause)
	}
}

// expired reports whether the context has ended by its deadline.
func expired(ctx context.Context) bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }

// softly is the flag of a cancellation.
func softly(soft bool) wire.Flags {
	if soft {
		return wire.FlagSoft
	}
	return 0
}

// overtakenTimeout bounds the wait of overtaken for a context, which may be of a kind that never
// ends.
const overtakenTimeout = time.Second

// overtaken reports whether an error of a handler says no more than that the deadline of ctx has
// passed, which the handler may see first: the caller's wait has then ended with ctx. It waits for
// ctx to see it, too.
func overtaken(ctx context.Context, err error) bool {
	if _, ok := err.(*RemoteError); !ok || !errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if due, ok := ctx.Deadline(); !ok || time.Until(due) > 0 {
		return false
	}
	return within(ctx.Done(), overtakenTimeout)
}

// within waits for c, at most for the time d, and reports whether c was closed.
func within(c <-chan struct{}, d time.Duration) bool {
	if closed(c) {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	}
}
