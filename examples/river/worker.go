package main

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/multiprolab/multiprolab"
)

// The options of a job's task: how long it may run, and how much later its process is killed.
const (
	limit = 300 * time.Millisecond
	grace = 50 * time.Millisecond
)

// Worker is a River worker whose jobs run in processes. It lives in main: River calls Work on a
// goroutine of the job, which waits there for what the process says.
type Worker struct {
	river.WorkerDefaults[Args]
	app *multiprolab.Main // has the processes
}

// Work returns when the job has ended, or was ended: River then has its slot back.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	_, err := multiprolab.DoWith[int](ctx, w.app, "crunch", job.Args,
		&multiprolab.TaskOptions{Timeout: limit, Grace: grace})
	return err
}

// crunchers is the setup function of the processes in which the jobs run.
func crunchers(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "crunch", func(_ context.Context, a Args) (int, error) { return crunch(a), nil })
	return nil
}
