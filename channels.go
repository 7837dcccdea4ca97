package multiprolab

import (
	"context"
	"time"
)

// within waits for c, at most for the time d, and reports whether c was closed.
func within(c <-chan struct{}, d time.Duration) bool {
	select {
	case <-c:
		return true
	default:
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

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// wakeUp wakes the one goroutine that waits on a channel of capacity 1.
func wakeUp(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// waitFor waits for wake, the end of ctx, or the time d unless that is negative.
func waitFor(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	var due <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-wake:
	case <-due:
	case <-ctx.Done():
	}
}
