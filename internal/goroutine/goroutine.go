// Package goroutine is small things about goroutines that the standard library lacks: to look at a
// channel without waiting, to wait for one for some time, to wake who waits, and to tell the
// calling goroutine from others.
package goroutine

import (
	"bytes"
	"runtime"
	"strconv"
	"time"
)

// Closed reports whether c is closed.
func Closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Within waits until c is closed, but no longer than d, and reports whether c was closed.
func Within(c <-chan struct{}, d time.Duration) bool {
	if Closed(c) {
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

// Wake wakes the one goroutine that waits on a channel of capacity 1.
func Wake(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// ID returns the number that the calling goroutine has in stacks, the only place where the runtime
// shows it. It takes about a microsecond.
func ID() uint64 {
	var buf [64]byte
	fields := bytes.Fields(buf[:runtime.Stack(buf[:], false)]) // goroutine 18 [running]:
	id, _ := strconv.ParseUint(string(fields[1]), 10, 64)      // the runtime has written a number
	return id
}
