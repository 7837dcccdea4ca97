package multiprolab_test

import (
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab"
)

// A program that takes in main what one process alone can have. In the processes of its workers,
// Hook does not return.
func ExampleMain_Hook() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("squarer", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "square", func(ctx context.Context, n int) (int, error) { return n * n, nil })
		return nil
	}, nil)
	app.Hook()

	fmt.Println("main reads its flags, takes its port, changes its database")
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	defer app.Close()
	fmt.Println(multiprolab.Do[int](context.Background(), app, "square", 12))
	// Output:
	// main reads its flags, takes its port, changes its database
	// 144 <nil>
}

// A library that uses multiprolab inside, which its users need not know: Hook in an initialiser
// starts nothing, and Start waits for the first use.
func ExampleMain_Hook_library() {
	// package thumbs

	var app = multiprolab.New(&multiprolab.Config{Name: "acme/thumbs", InProcess: true}) // without InProcess

	var initialise = func() { // func init()
		app.RegisterWorker("thumbnailer", func(ctx context.Context, w *multiprolab.Worker) error {
			multiprolab.HandleTask(w, "thumb", func(ctx context.Context, picture string) (string, error) {
				return "thumb of " + picture, nil
			})
			return nil
		}, nil)
		app.Hook()
	}

	var makeThumb = func(ctx context.Context, picture string) (string, error) { // func Make, with a sync.OnceValue
		if err := app.Start(context.WithoutCancel(ctx)); err != nil {
			return "", err
		}
		return multiprolab.Do[string](ctx, app, "thumb", picture)
	}

	// package main

	initialise()
	fmt.Println(makeThumb(context.Background(), "a.png"))
	app.Stop(context.Background(), multiprolab.KillAll)
	// Output: thumb of a.png <nil>
}
