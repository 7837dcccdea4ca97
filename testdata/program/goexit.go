package main

import (
	"context"
	"runtime"

	"github.com/multiprolab/multiprolab"
)

func init() { programs["goexit"] = goexit }

// goexit ends main's goroutine in an action. Another goroutine would keep the process alive.
func goexit(args []string) {
	app := multiprolab.New(config(""))
	app.RegisterWorker("w", func(context.Context, *multiprolab.Worker) error { return nil }, nil)
	app.After(0, func(context.Context) error { runtime.Goexit(); return nil })
	stay := make(chan bool)
	if args[0] == "goroutine" {
		go func() { _ = app.Run(context.Background()) }() // ends with the process
		<-stay
	}
	go func() { <-stay }() // ends with the process
	_ = app.Run(context.Background())
}
