package multiprolab_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/multiprolab/multiprolab"
)

// The record of a program says what has become of each task and each worker.
func ExampleMain_WriteRecord() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("squarer", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "square", func(ctx context.Context, n int) (int, error) { return n * n, nil })
		return nil
	}, nil)
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		if _, err := multiprolab.Do[int](ctx, app, "square", 12); err != nil {
			return err
		}
		var record bytes.Buffer // mostly a file
		if err := app.WriteRecord(&record); err != nil {
			return err
		}
		for line := range strings.Lines(record.String()) {
			for _, event := range []string{"process", "submit", "assign", "began", "outcome"} {
				if strings.Contains(line, `"`+event+`"`) {
					fmt.Println(event)
				}
			}
		}
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// process
	// submit
	// assign
	// began
	// outcome
}
