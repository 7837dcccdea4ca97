package multiprolab_test

import (
	"context"
	"fmt"
	"iter"

	"github.com/multiprolab/multiprolab"
)

// The handler yields pieces, and the submitter takes as many as it wants. To leave the range cancels
// the task.
func ExampleStream() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("sieve", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleStream(w, "primes", func(ctx context.Context, from int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
			next:
				for n := from; ; n++ {
					for d := 2; d*d <= n; d++ {
						if n%d == 0 {
							continue next
						}
					}
					if !yield(n, nil) {
						return
					}
				}
			}
		})
		return nil
	}, nil)
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		for prime, err := range multiprolab.Stream[int](ctx, app, "primes", 100, nil) {
			if err != nil {
				return err
			}
			if fmt.Println(prime); prime > 105 {
				break
			}
		}
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 101
	// 103
	// 107
}
