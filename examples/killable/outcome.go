package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/multiprolab/multiprolab"
)

// outcome tells all the ways apart in which a task can end. The order counts, because one error may
// wrap another: what ended the task comes before what that was made of.
func outcome(err error) string {
	var attempts *multiprolab.AttemptsError
	var noWorker *multiprolab.NoWorkerError
	var memory *multiprolab.MemoryLimitError
	var died *multiprolab.WorkerDiedError
	var timeout *multiprolab.TimeoutError
	var remote *multiprolab.RemoteError
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &attempts): // TaskOptions.Attempts are used up; it wraps the end of the last one
		return fmt.Sprintf(
			"given up after %d attempts, the last of which: %s",
			len(attempts.Attempts),
			outcome(attempts.Unwrap()),
		)
	case errors.Is(err, multiprolab.ErrCancelled): // by its submitter, in the queue or while it ran
		return "cancelled"
	case errors.Is(err, multiprolab.ErrQueueFull): // from TrySubmit: it was not accepted, so try again later
		return "not accepted: the queue is full"
	case errors.Is(err, multiprolab.ErrStopped): // the program ends; it may wrap the error that the program ends of
		return "stopped with the program"
	case errors.As(err, &noWorker): // nobody who could do it is left; it may wrap the death of the last one
		return "no worker is left for it"
	case errors.As(err, &timeout): // TaskOptions.Timeout; matches context.DeadlineExceeded too
		if timeout.Killed { // timeout.Stderr has the stacks
			return fmt.Sprintf(
				"timed out after %v, and %s (pid %d) was killed",
				timeout.Timeout,
				timeout.Worker,
				timeout.PID,
			)
		}
		return fmt.Sprintf("timed out after %v on %s (pid %d)", timeout.Timeout, timeout.Worker, timeout.PID)
	case errors.As(err, &memory): // WorkerConfig.Limits.Memory; it wraps the death
		return fmt.Sprintf(
			"out of memory: %s (pid %d) died of its limit of %d MiB",
			memory.Died.Worker,
			memory.Died.PID,
			memory.Limit>>20,
		)
	case errors.As(err, &died): // a crash, an exit, a kill
		if died.Signal != "" {
			return fmt.Sprintf("its worker died: %s (pid %d) was killed by %s", died.Worker, died.PID, died.Signal)
		}
		return fmt.Sprintf("its worker died: %s (pid %d) exited with status %d", died.Worker, died.PID, died.ExitCode)
	// its handler returned an error; may match context.Canceled or context.DeadlineExceeded too
	case errors.As(err, &remote):
		return fmt.Sprintf("failed on %s (pid %d): %s", remote.Worker, remote.PID, remote.Text)
	case errors.Is(err, context.Canceled),
		errors.Is(err, context.DeadlineExceeded): // the context of the one who waited
		return "not waited for to its end"
	}
	// such as *UnknownTypeError, *EncodeError, *DecodeError, *SizeError
	return "a mistake in the program: " + err.Error()
}
