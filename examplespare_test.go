package multiprolab_test

import (
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab"
)

// The worker asks to be replaced, and the spare, which has been set up by then, takes its place.
func ExampleWorker_Recycle() {
	ready := make(chan string, 10)
	app := multiprolab.New(&multiprolab.Config{InProcess: true, OnEvent: func(e multiprolab.Event) {
		if e, ok := e.(*multiprolab.WorkerReady); ok {
			ready <- fmt.Sprintf("%s is ready, once %q", e.Worker, e.Spare)
		}
	}})
	app.RegisterWorker("reader", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.Handle(w, "reopen", func(context.Context, struct{}) error {
			w.Recycle()
			return nil
		})
		return nil
	}, &multiprolab.WorkerConfig{Spare: 1})
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-ready)
	fmt.Println(<-ready)
	if err := multiprolab.Send(context.Background(), app, "reader", "reopen", struct{}{}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-ready)
	fmt.Println(app.Close())
	// Output:
	// reader/0 is ready, once ""
	// reader/spare.0 is ready, once ""
	// reader/0 is ready, once "reader/spare.0"
	// <nil>
}

// A worker whose work is done leaves; the others go on.
func ExampleWorker_Leave() {
	left := make(chan string, 1)
	app := multiprolab.New(&multiprolab.Config{InProcess: true, OnEvent: func(e multiprolab.Event) {
		if e, ok := e.(*multiprolab.WorkerStopped); ok && len(left) == 0 {
			left <- fmt.Sprint(e.Worker, " has left; it will be replaced: ", e.Restart)
		}
	}})
	app.RegisterWorker("importer", func(ctx context.Context, w *multiprolab.Worker) error {
		w.After(0, func(context.Context) error {
			if w.Index() == 1 {
				w.Leave()
			}
			return nil
		})
		multiprolab.HandleTask(w, "double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
		return nil
	}, &multiprolab.WorkerConfig{Count: 2})
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-left)
	fmt.Println(multiprolab.Do[int](context.Background(), app, "double", 21))
	fmt.Println(app.Close())
	// Output:
	// importer/1 has left; it will be replaced: false
	// 42 <nil>
	// <nil>
}
