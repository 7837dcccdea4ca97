package backend_test

import (
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/backend"
)

// counted is a Backend that says what is stored, and leaves the rest to another.
type counted struct{ backend.Backend }

func (c counted) Enqueue(ctx context.Context, tasks ...backend.Task) ([]backend.Receipt, error) {
	for _, t := range tasks {
		fmt.Println("stores a task of type", t.Type)
	}
	return c.Backend.Enqueue(ctx, tasks...)
}

// A Backend keeps the queue: here in memory, elsewhere on a disk or a server.
func Example() {
	app := multiprolab.New(&multiprolab.Config{Backend: counted{backend.NewMemory()}, InProcess: true})
	app.RegisterWorker("doubler", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
		return nil
	}, nil)
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(multiprolab.Do[int](ctx, app, "double", 21))
	fmt.Println(app.Close())
	// Output:
	// stores a task of type double
	// 42 <nil>
	// <nil>
}
