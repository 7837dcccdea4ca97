package multiprolab

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// This file is the errors that only tasks end with.

// TimeoutError reports a task that ran past its deadline. It matches context.DeadlineExceeded.
type TimeoutError struct {
	Worker  string
	PID     int
	Type    string
	Timeout time.Duration
	Killed  bool   // the handler did not return within the grace, so its worker was killed and replaced
	Stopped string // the signal that had stopped the worker's process when it was killed: see WorkerDiedError
	// Stderr says what the killed worker was doing: it is the stacks of its goroutines or, if the
	// worker could not give them, the end of its stderr.
	Stderr string
}

func (e *TimeoutError) Error() string {
	s := fmt.Sprintf("multiprolab: task %q ran past its timeout of %v on worker %s (pid %d)", e.Type, e.Timeout,
		e.Worker, e.PID)
	switch {
	case e.Stopped != "":
		s += fmt.Sprintf(", whose process was stopped by %s, and which was killed", e.Stopped)
	case e.Killed:
		s += ", which was killed"
	}
	return s
}

// Unwrap returns context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// NoWorkerError reports a task of a type whose workers have all ended for good.
type NoWorkerError struct {
	Type string
	Err  error // how the last worker ended; may be nil
}

func (e *NoWorkerError) Error() string {
	s := fmt.Sprintf("multiprolab: no worker is left for tasks of type %q", e.Type)
	if e.Err != nil {
		s += "; the last end was: " + strings.TrimPrefix(e.Err.Error(), "multiprolab: ")
	}
	return s
}

// Unwrap returns how the last worker ended.
func (e *NoWorkerError) Unwrap() error { return e.Err }
