package multiprolab

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// This file is how a task is attempted again: the policy, what a handler may say about it, and the
// error of a task that has used up its attempts.

// RetryOn says which ends of an attempt are worth another one.
type RetryOn uint8

const (
	// RetryDeaths retries after a worker has died while it ran the task.
	RetryDeaths RetryOn = 1 << iota
	// RetryTimeouts retries after TaskOptions.Timeout.
	RetryTimeouts
	// RetryErrors retries after the handler has returned an error, unless NoRetry has made it.
	RetryErrors
)

// RetryPolicy says when a failed attempt of a task is followed by another attempt. The zero value
// retries after every failure, with pauses that start at 100 milliseconds and double up to 30
// seconds. TaskOptions.Attempts says how often.
type RetryPolicy struct {
	// On selects the failures that are worth another attempt. Defaults to all.
	On RetryOn
	// First is the pause before the second attempt. Defaults to 100 milliseconds.
	First time.Duration
	// Factor is the number by which the pause is multiplied after each attempt. Defaults to 2; a
	// number less than 1, and a NaN, are errors. If it is infinite, every pause but the first is
	// Max.
	Factor float64
	// Max is the longest pause. Defaults to 30 seconds.
	Max time.Duration
}

// check returns an error for the first field that cannot be.
func (p *RetryPolicy) check() error {
	err := cmp.Or(notNegative("RetryPolicy.First", p.First), notNegative("RetryPolicy.Max", p.Max))
	switch {
	case err != nil:
		return err
	case p.Factor != 0 && !(p.Factor >= 1): // also if it is a NaN
		return &ConfigError{
			"RetryPolicy.Factor",
			p.Factor,
			"pauses cannot shrink: leave it zero for 2, or give 1 or more",
		}
	case p.On > RetryDeaths|RetryTimeouts|RetryErrors:
		return &ConfigError{
			"RetryPolicy.On",
			p.On,
			"combine RetryDeaths, RetryTimeouts and RetryErrors, or leave it zero for all",
		}
	}
	return nil
}

// steer is an error that a handler returns to say how its task goes on. It exists in the process of
// the handler, and never changes.
type steer struct {
	err   error         // the error that the handler has passed to NoRetry or RetryAfter
	final bool          // NoRetry has made it
	after time.Duration // the time that RetryAfter was given; 0 if NoRetry has made it
}

func (s *steer) Error() string { return s.err.Error() }
func (s *steer) Unwrap() error { return s.err }

// NoRetry marks an error that a task's handler returns as final: the task is not attempted again,
// whatever its options say.
func NoRetry(err error) error {
	if err == nil {
		return nil
	}
	return &steer{err: err, final: true}
}

// RetryAfter makes a task's handler end this attempt without a verdict: the task is started again
// after the time d, and the attempt does not count. It is for tasks that need something that is not
// there yet. If err is nil, the error says only when the task is started again.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		err = fmt.Errorf("to be retried after %v", d)
	}
	return &steer{err: err, after: max(d, 1)}
}

// AttemptsError is the outcome of a task that has used up its attempts. It matches, with errors.Is
// and errors.As, what the error of the last attempt matches.
type AttemptsError struct {
	Type string
	// Attempts says how each attempt ended, in order. If there were very many attempts, and the
	// error came from another process, it has only the last of them.
	Attempts []error

	missing int // how many attempts there were before those in Attempts; does not change
}

func (e *AttemptsError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "multiprolab: task %q failed in all of its %d attempts:", e.Type, e.missing+len(e.Attempts))
	for i, err := range e.Attempts {
		fmt.Fprintf(&b, "\n  %d. %s", e.missing+i+1, brief(err))
	}
	return b.String()
}

// Unwrap returns the end of the last attempt, or nil if there is none.
func (e *AttemptsError) Unwrap() error {
	if len(e.Attempts) == 0 {
		return nil
	}
	return e.Attempts[len(e.Attempts)-1]
}
