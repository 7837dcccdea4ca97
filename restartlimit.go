package multiprolab

import "time"

// RestartLimit says how often a worker is replaced. Its zero value is a good default.
type RestartLimit struct {
	// Restarts is how often one worker is replaced within Window; Then says what one failure more
	// does. A death in the middle of a task does not count, whatever has caused it: the task has
	// its own outcome. Defaults to 10. A negative value means no limit: the worker is replaced for
	// ever, unless another start would fail in the same way.
	Restarts int
	// Window is the time in which restarts are counted. A restart that never became ready counts
	// however long ago it was. Defaults to 1 minute.
	Window time.Duration
	// Then says what happens beyond the limit, and at once when another start would fail in the
	// same way: after an error marked with NoRetry, or when the program's file is missing or may
	// not be executed. Defaults to EndProgram.
	Then LimitAction
}

// LimitAction says what happens when a worker is not replaced any more because it failed too often,
// or for good.
type LimitAction int

const (
	// EndProgram is the default: Run ends the program and returns the error.
	EndProgram LimitAction = iota
	// StopWorker leaves the place of this one worker empty, at the start of the program as well;
	// the other workers go on. What is sent to it fails, and tasks that only it would take end with
	// a *NoWorkerError.
	StopWorker
)
