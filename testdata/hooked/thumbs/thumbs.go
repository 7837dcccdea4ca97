// Package thumbs is a library that uses multiprolab inside, for tests: its users need not know.
package thumbs

import (
	"context"
	"os"
	"sync"

	"github.com/multiprolab/multiprolab"
)

var app = multiprolab.New(&multiprolab.Config{Name: "thumbs"})

func init() {
	app.RegisterWorker("maker", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "make", func(ctx context.Context, n int) (Thumb, error) {
			return Thumb{Twice: 2 * n, PID: os.Getpid(), Parent: os.Getppid()}, nil
		})
		return nil
	}, nil)
	app.RegisterWorker("server", func(ctx context.Context, w *multiprolab.Worker) error {
		looping := make(chan struct{})
		w.Loop(func(ctx context.Context) error {
			close(looping)
			<-ctx.Done()
			return nil
		})
		multiprolab.HandleTask(w, "looping", func(context.Context, int) (bool, error) { <-looping; return true, nil })
		return nil
	}, nil)
	app.Hook()
}

// A Thumb says who has made it.
type Thumb struct{ Twice, PID, Parent int }

// start starts the workers at the first use.
var start = sync.OnceValue(func() error { return app.Start(context.Background()) })

// Make makes a Thumb in a worker.
func Make(ctx context.Context, n int) (Thumb, error) {
	if err := start(); err != nil {
		return Thumb{}, err
	}
	return multiprolab.Do[Thumb](ctx, app, "make", n)
}

// Looping asks the worker that has a Loop.
func Looping(ctx context.Context) (bool, error) {
	if err := start(); err != nil {
		return false, err
	}
	return multiprolab.Do[bool](ctx, app, "looping", 0)
}

// Close ends the workers.
func Close() error { return app.Close() }
