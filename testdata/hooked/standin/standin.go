// Package standin is a library with workers that hooks its Main by package multiprolabtest, for tests.
package standin

import (
	"context"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/multiprolabtest"
)

func init() { multiprolabtest.Hook(newApp) }

func newApp() *multiprolab.Main {
	app := multiprolab.New(&multiprolab.Config{Name: "standin"})
	app.RegisterWorker("negater", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "negate", func(_ context.Context, n int) (int, error) { return -n, nil })
		return nil
	}, nil)
	return app
}

// Negate asks a worker.
func Negate(ctx context.Context, n int) (int, error) {
	app := newApp()
	if err := app.Start(ctx); err != nil {
		return 0, err
	}
	defer app.Close()
	return multiprolab.Do[int](ctx, app, "negate", n)
}
