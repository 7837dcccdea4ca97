package console_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"slices"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/console"
)

// The bar is on stderr if that is a terminal; the results are the same in any case.
func ExampleProgress() {
	ctx, app := context.Background(), newApp()
	if err := app.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer app.Close()
	out := &console.Terminal{File: os.Stdout} // prints above the bar if stdout is the same terminal
	numbers := slices.Values([]int{2, 4, 6})
	for half, err := range console.Progress(multiprolab.Map[int](ctx, app, "halve", numbers, nil)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintln(out, half)
	}
	// Output:
	// 1
	// 2
	// 3
}

// What is printed meanwhile goes above the bar, and the workers are below it.
func ExampleProgressWith() {
	terminal := &console.Terminal{}
	app := multiprolab.New(&multiprolab.Config{
		Stderr: terminal,
		Logger: slog.New(slog.NewTextHandler(terminal, nil)),
	})
	// ... RegisterWorker, Start
	_ = func(ctx context.Context, paths []string) error {
		lengths := multiprolab.Map[int](ctx, app, "length", slices.Values(paths), nil)
		for length, err := range console.ProgressWith(lengths, &console.Config{
			Label: "files", Total: len(paths), Workers: app, Terminal: terminal,
		}) {
			if err != nil {
				return err
			}
			fmt.Println(length)
		}
		return nil
	}
}
