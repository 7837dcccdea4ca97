package multiprolab

import (
	"context"
	"time"
)

// This file is small functions that wait on channels, or wake who does. Both processes use them.

// within waits until c is closed, but no longer than d, and reports whether c was closed.
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

// closed reports whether c is closed.
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

// waitFor waits for wake, for the end of ctx, or until the time d is over. A negative d is never
// over.
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
