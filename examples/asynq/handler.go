package main

import (
	"context"
	"time"

	"github.com/hibiken/asynq"

	"github.com/multiprolab/multiprolab"
)

// The options of a task: how long it may run, and how much later its process is killed.
const (
	limit = 300 * time.Millisecond
	grace = 50 * time.Millisecond
)

// Handler is an Asynq handler whose tasks run in processes. It lives in main: Asynq calls
// ProcessTask on a goroutine of the task, which waits there for what the process says.
type Handler struct {
	app *multiprolab.Main // has the processes
}

// ProcessTask returns when the task has ended, or was ended: nothing of it is left then.
func (h *Handler) ProcessTask(ctx context.Context, t *asynq.Task) error {
	_, err := multiprolab.DoWith[string](ctx, h.app, "crunch", t.Payload(),
		&multiprolab.TaskOptions{Timeout: limit, Grace: grace})
	return err
}

// crunchers is the setup function of the processes in which the tasks run.
func crunchers(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "crunch", func(_ context.Context, what []byte) (string, error) { return crunch(what), nil })
	return nil
}
