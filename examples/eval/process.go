package main

import (
	"context"
	"time"

	"github.com/multiprolab/multiprolab"

	"github.com/multiprolab/multiprolab/examples/eval/script"
)

// The time between the end of a script's context and the kill, and the memory of a process in
// bytes.
const (
	grace     = 20 * time.Millisecond
	maxMemory = 512 << 20
)

// evaluator is the setup function of the process in which scripts are evaluated.
func evaluator(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "process", script.Evaluate)
	return nil
}

// inProcess evaluates a script in a worker process.
func inProcess(ctx context.Context, app *multiprolab.Main, limit time.Duration, source string) (string, error) {
	return multiprolab.DoWith[string](ctx, app, "process", source,
		&multiprolab.TaskOptions{Timeout: limit, Grace: grace})
}
