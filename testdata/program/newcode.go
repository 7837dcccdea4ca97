package main

import (
	"context"
	"fmt"
	"os"

	"github.com/multiprolab/multiprolab"
)

func init() { programs["newcode"] = newCode }

// newCode replaces its own file as the argument says, and restarts its worker twice.
func newCode(args []string) {
	app := multiprolab.New(config(""))
	app.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "life", func(context.Context, int) (int, error) { return w.Life(), nil })
		return nil
	}, nil)
	ctx := context.Background()
	check(app.Start(ctx))
	check(app.Restart(ctx, ""))
	fmt.Fprintln(os.Stderr, "now it changes")
	path, err := os.Executable()
	check(err)
	switch args[0] {
	case "another in its place":
		check(os.WriteFile(path+".new", []byte("#!/bin/false\n"), 0o755))
		check(os.Rename(path+".new", path))
	case "moved, and another in its place":
		check(os.Rename(path, path+".old"))
		check(os.WriteFile(path, []byte("#!/bin/false\n"), 0o755))
	case "gone":
		check(os.Remove(path))
	case "the same":
	}
	for range 2 {
		check(app.Restart(ctx, "w"))
	}
	life, err := multiprolab.Do[int](ctx, app, "life", 1)
	check(err)
	fmt.Println("life", life)
	check(app.Close())
}
