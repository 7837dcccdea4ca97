package main

import (
	"context"
	"sync"

	"github.com/multiprolab/multiprolab"
)

func init() { programs["panic"] = panics }

// panics has an action of main panic, and names the file for the record.
func panics(args []string) {
	cfg := config("")
	cfg.RecordFile = args[1]
	app := multiprolab.New(cfg)
	app.RegisterWorker("w", func(context.Context, *multiprolab.Worker) error { return nil }, nil)
	app.After(0, func(context.Context) error {
		if args[0] == "fatal" {
			new(sync.Mutex).Unlock()
		}
		panic("of an action")
	})
	check(app.Run(context.Background()))
}
