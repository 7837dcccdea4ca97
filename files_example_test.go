package multiprolab_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/multiprolab/multiprolab"
)

// A worker gets a file that main has opened, with the rights of main perhaps.
func ExampleWorker_File() {
	r, w, err := os.Pipe()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("reader", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "read", func(ctx context.Context, name string) (string, error) {
			f, err := w.File(name)
			if err != nil {
				return "", err
			}
			defer f.Close()
			b, err := io.ReadAll(f)
			return strings.ToUpper(string(b)), err
		})
		return nil
	}, &multiprolab.WorkerConfig{Files: map[string]*os.File{"input": r}})
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		fmt.Fprint(w, "written by main")
		_ = w.Close()
		text, err := multiprolab.Do[string](ctx, app, "read", "input")
		fmt.Println(text, err)
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: WRITTEN BY MAIN <nil>
}
