// Package goroutine is small things about goroutines that the standard library lacks: to look at a
// channel without waiting, to wait for one for some time, to wake who waits, to tell the calling
// goroutine from others, to give it a name, to find out what it is at, and to do something when it
// is ended.
package goroutine

import (
	"bytes"
	"context"
	"runtime"
	"slices"
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

// Await waits for wake, for the end of ctx, or until the time d is over. A negative d is never
// over.
func Await(ctx context.Context, wake <-chan struct{}, d time.Duration) {
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

// Caller returns the function among those named that was called last on the calling goroutine and
// has not returned, or "".
func Caller(names ...string) string {
	var callers [64]uintptr
	for skip := 2; ; skip += len(callers) {
		n := runtime.Callers(skip, callers[:])
		frames := runtime.CallersFrames(callers[:n])
		for more := n > 0; more; {
			var f runtime.Frame
			if f, more = frames.Next(); slices.Contains(names, f.Function) {
				return f.Function
			}
		}
		if n < len(callers) {
			return ""
		}
	}
}

// Finally calls part and then last. It calls last also if part ends the goroutine with
// runtime.Goexit, but not if part panics: the process dies then, and nothing may go on as if part
// had ended.
func Finally(part func(), last func(goexit bool)) {
	returned := false
	defer func() {
		if !returned && goexiting() {
			last(true)
		}
	}()
	part()
	returned = true
	last(false)
}

// goexiting reports, in a deferred function, whether that runs because of runtime.Goexit, and not
// because of a panic. It looks at its callers, because a recover would take the panic's stack away.
func goexiting() bool {
	return Caller("runtime.Goexit", "runtime.gopanic") == "runtime.Goexit"
}

// Initialises reports whether the calling goroutine is the main goroutine at the initialisers of
// packages, before the program's main function.
func Initialises() bool { return Caller("main.main", runtimeMain) == runtimeMain }

// BeforeTests reports whether the calling goroutine is the main goroutine of a test binary, and has
// not begun with the tests: it is at the initialisers of packages, or in TestMain.
func BeforeTests() bool { return Caller("testing.(*M).Run", runtimeMain) == runtimeMain }

// runtimeMain is the function of the main goroutine, in which the initialisers run and then the
// program's main function.
const runtimeMain = "runtime.main"
