package multiprolab_test

import (
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab"
)

// A table of numbers is in memory once, and all workers read it there. A new version is taken by
// the next handler.
func ExampleMain_Publish() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("pricer", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "price", func(ctx context.Context, item int) (string, error) {
			prices, err := w.Shared(ctx, "prices")
			if err != nil {
				return "", err
			}
			values, err := multiprolab.View[float64](prices)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%.2f (version %d)", values[item], prices.Version()), nil
		})
		return nil
	}, &multiprolab.WorkerConfig{Count: 4, Shared: []string{"prices"}})
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		for _, prices := range [][]float64{{1.5, 2.5, 3.5}, {1.25, 2.25, 3.25}} {
			if _, err := app.Publish("prices", multiprolab.Numbers(prices)); err != nil {
				return err
			}
			text, err := multiprolab.Do[string](ctx, app, "price", 2)
			fmt.Println(text, err)
		}
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 3.50 (version 1) <nil>
	// 3.25 (version 2) <nil>
}
