// Package thumbs is a library that uses multiprolab inside, for tests: its users need not know.
package thumbs

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/multiprolab/multiprolab"
)

var app = multiprolab.New(&multiprolab.Config{Name: "thumbs"})

func init() {
	app.RegisterWorker("maker", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "make", func(ctx context.Context, n int) (Thumb, error) {
			return Thumb{Twice: 2 * n, PID: os.Getpid(), Parent: os.Getppid()}, nil
		})
		multiprolab.HandleTask(w, "die", func(ctx context.Context, how string) (int, error) {
			switch how {
			case "kill":
				p, err := os.FindProcess(os.Getpid())
				if err != nil {
					return 0, err
				}
				_ = p.Kill()
				select {}
			case "goexit":
				runtime.Goexit()
			case "panic":
				panic("of a thumb")
			}
			return 0, nil
		})
		w.OnExit(func(ctx context.Context) error { return multiprolab.Send(ctx, w, "main", "left", nil) })
		return nil
	}, nil)
	app.RegisterWorker("server", func(ctx context.Context, w *multiprolab.Worker) error {
		looping := make(chan struct{})
		w.Loop(func(ctx context.Context) error {
			if !onMainThread() {
				return errors.New("the function of Loop is not on the main thread")
			}
			close(looping)
			<-ctx.Done()
			return nil
		})
		multiprolab.HandleTask(w, "looping", func(context.Context, int) (bool, error) { <-looping; return true, nil })
		return nil
	}, nil)
	app.RegisterWorker("nest", nest, nil)
	app.Hook()
	multiprolab.Handle(app, "left", func(context.Context, struct{}) error { left.Add(1); return nil })
}

// left counts the makers that have left in good order.
var left atomic.Int32

// Left returns how many makers have left in good order.
func Left() int { return int(left.Load()) }

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

// Die kills a maker: by "kill", "goexit" or "panic".
func Die(ctx context.Context, how string) error {
	if err := start(); err != nil {
		return err
	}
	_, err := multiprolab.Do[int](ctx, app, "die", how)
	return err
}

// nest is the setup function of a worker that runs a Main of its own.
func nest(ctx context.Context, w *multiprolab.Worker) error {
	inner := multiprolab.New(&multiprolab.Config{MaxDepth: 5})
	inner.RegisterWorker("egg", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "egg", func(context.Context, int) (int, error) { return os.Getppid(), nil })
		return nil
	}, nil)
	if err := inner.Start(ctx); err != nil {
		return err
	}
	w.OnExit(func(context.Context) error { return inner.Close() })
	multiprolab.HandleTask(w, "nested", func(ctx context.Context, _ int) (bool, error) {
		parent, err := multiprolab.Do[int](ctx, inner, "egg", 0)
		return parent == os.Getpid(), err
	})
	return nil
}

// Nested asks the worker that runs a Main of its own.
func Nested(ctx context.Context) (bool, error) {
	if err := start(); err != nil {
		return false, err
	}
	return multiprolab.Do[bool](ctx, app, "nested", 0)
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
