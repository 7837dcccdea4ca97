package main

import (
	"context"
	"errors"
	"time"

	"github.com/multiprolab/multiprolab"

	"github.com/multiprolab/multiprolab/examples/eval/script"
)

// program is the setup function of a worker that stands for a program which evaluates its scripts
// in goroutines: so a script can end it without ending this one. It has a machine of 1 GiB.
func program(limit time.Duration) func(context.Context, *multiprolab.Worker) error {
	return func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "goroutine", func(_ context.Context, source string) (string, error) {
			return inGoroutine(limit, source)
		})
		return nil
	}
}

// errEndless is what there is to say of a script that nothing can end.
var errEndless = errors.New("goes on for ever")

// inGoroutine evaluates a script in a goroutine of this process.
func inGoroutine(limit time.Duration, source string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, errInterrupted)
	type result struct {
		value string
		err   error
	}
	done := make(chan result, 1)
	go func() { // ends with the script, if that ends
		defer cancel()
		value, err := script.Evaluate(ctx, source)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-time.After(limit + never):
		return "", errEndless
	}
}
