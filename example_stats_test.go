package multiprolab_test

import (
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab"
)

// What goes on in a program, as numbers: one snapshot, which can be taken every second.
func ExampleMain_Stats() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("squarer", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "square", func(ctx context.Context, n int) (int, error) { return n * n, nil })
		return nil
	}, &multiprolab.WorkerConfig{Count: 2})
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		for i := range 10 {
			if _, err := multiprolab.Do[int](ctx, app, "square", i); err != nil {
				return err
			}
		}
		s := app.Stats()
		for _, w := range s.Workers {
			fmt.Println(w.Name, w.State, "life", w.Life)
		}
		for _, t := range s.Types {
			fmt.Println(t.Type, t.Succeeded, "done,", t.Run.Count, "run times, p99 above 0:", t.Run.P99 > 0)
		}
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// squarer/0 ready life 1
	// squarer/1 ready life 1
	// square 10 done, 10 run times, p99 above 0: true
}

// A worker is killed by hand. What follows is what follows a crash.
func ExampleMain_Kill() {
	app := multiprolab.New(nil)
	fmt.Println(app.Kill("squarer/0"))
	// Output: multiprolab: the workers have not been started: call Run or Start first
}
