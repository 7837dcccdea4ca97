package life

import (
	"context"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how the goroutine of the life waits for what a worker says at its start.

// Welcome tells the worker what it needs to know. Shares is what the link says.
func (l *Life) Welcome(w Welcome) {
	w.Shares = l.link.Shares()
	l.link.Tell(link.Quietly, Packed(wire.Welcome, &w))
	l.link.Push()
}

// Answer is how a wait for what a worker says at its start has ended.
type Answer uint8

const (
	// Came says that the worker has said what it was to say.
	Came Answer = iota
	// CameForeign says that the worker is of another binary. It has found the same, and goes no
	// further.
	CameForeign
	// Ended says that the wire came to its end before. End says more.
	Ended
	// Late says that the time was over before. The life goes on.
	Late
	// Cancelled says that the context ended before. The life goes on.
	Cancelled
)

// Hello waits until the worker has said hello, at most for the time d. Only the goroutine of the
// life calls it, once.
func (l *Life) Hello(ctx context.Context, d time.Duration) Answer {
	h, how := await(ctx, l.hello, l.read, d)
	switch {
	case how != Came:
		return how
	case h.Identity != l.options.Identity:
		return CameForeign
	case h.Shares:
		l.link.StartSharing()
	}
	return Came
}

// Ready waits until the worker's setup function has returned, at most for the time d, and returns
// the packed error of that function, which is empty if there is none. Only the goroutine of the
// life calls it, once.
func (l *Life) Ready(ctx context.Context, d time.Duration) (failure string, how Answer) {
	r, how := await(ctx, l.ready, l.read, d)
	if how != Came {
		return "", how
	}
	return r.Failure, Came
}

// await waits for an answer of the worker.
func await[T any](ctx context.Context, answer <-chan *T, read <-chan struct{}, d time.Duration) (*T, Answer) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case v := <-answer:
		return v, Came
	case <-read:
		select {
		case v := <-answer: // it came before the end of the wire
			return v, Came
		default:
			return nil, Ended
		}
	case <-timer.C:
		return nil, Late
	case <-ctx.Done():
		return nil, Cancelled
	}
}
