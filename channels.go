package multiprolab

import (
	"context"
	"time"
)

// This file is small functions that wait on channels, or wake who does. Both processes use them.

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
