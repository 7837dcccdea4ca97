package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// This file is what happens when a user's function ends its goroutine with runtime.Goexit, as
// t.FailNow, t.SkipNow and mocks do. The goroutine is the library's: without it the process would
// live on and do nothing. So in a worker this is a death like any other; in main it ends the
// program.

// insideWorker reports whether the caller runs in a function that the library has called in a
// worker's process, or has the context of such a function. If so, a Main that is made or started
// there is the worker's own. Otherwise the call comes from the program's main function, which may
// go on beside the worker if it has several goroutines.
func insideWorker(ctx context.Context) bool {
	return proc.Current() != nil && (ctx.Value(workerKey{}) != nil || goroutine.Caller(workerLive) == workerLive)
}

// workerKey is the key of the worker in all contexts that its functions are given.
type workerKey struct{}

// workerLive is the name of the function that calls every function of a user in a worker.
const workerLive = "github.com/multiprolab/multiprolab.(*Worker).live"

// errGoexit is the cause of the contexts in a worker that dies because of runtime.Goexit.
var errGoexit = errors.New("multiprolab: a function of the worker called runtime.Goexit")

// goexitMark is how the report of a worker begins whose loop runtime.Goexit has ended.
const goexitMark = "multiprolab: runtime.Goexit "

// goexitText says in one line what happened, for the start of a report.
func goexitText(what string) string {
	return goexitMark + "was called in " + what + ", which ends the goroutine that all handlers run on: return an " +
		"error there, or panic " + "(t.FailNow, t.SkipNow and mocks that fail call it)"
}

// goexitStatus is the exit status of a worker that dies because of runtime.Goexit. It is the status
// of a panic.
const goexitStatus = 2

// dieOfGoexit ends a worker's process with a report on stderr.
func dieOfGoexit(report string) {
	fmt.Fprintln(os.Stderr, report)
	os.Exit(goexitStatus)
}
