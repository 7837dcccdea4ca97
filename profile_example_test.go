package multiprolab_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/multiprolab/multiprolab"
)

func ExampleMain_Dump() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("thumbnailer", func(context.Context, *multiprolab.Worker) error { return nil }, nil)
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
	}
	defer app.Close()
	stacks, err := app.Dump(context.Background(), "thumbnailer/0")
	fmt.Println(strings.HasPrefix(stacks, "goroutine "), err)
	// Output: true <nil>
}

func ExampleMain_Profile() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true}) // nil for real processes
	app.RegisterWorker("thumbnailer", func(context.Context, *multiprolab.Worker) error { return nil }, nil)
	if err := app.Start(context.Background()); err != nil {
		fmt.Println(err)
	}
	defer app.Close()
	var heap bytes.Buffer // a file, for go tool pprof
	err := app.Profile(context.Background(), &heap, "thumbnailer/0", "heap", nil)
	fmt.Println(heap.Len() > 0, err)
	// Output: true <nil>
}
