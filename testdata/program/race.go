package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/multiprolab/multiprolab"
)

func init() { programs["race"] = race }

// counts is what a worker counts on two goroutines.
var counts int

// count has a data race, unless the way says no.
func count(way string) {
	counted := make(chan bool)
	if way == "clean" {
		counts++
		return
	}
	go func() { counts++; counted <- true }() // ends with the count
	counts++
	<-counted
}

// race has a data race in a worker that does its work all the same, and ends in one of several ways.
func race(args []string) {
	way := args[0]
	cfg := &multiprolab.WorkerConfig{RestartDelay: time.Millisecond}
	cfg.Process.Env = []string{"GORACE=" + os.Getenv("RACE_OPTIONS") + " atexit_sleep_ms=0"}
	switch way {
	case "replaced", "replaced often":
		cfg.MaxTasks = 1
	}
	c := config("")
	if way == "killed" {
		c.ShutdownTimeout, c.KillTimeout = time.Minute, time.Minute
	}
	app := multiprolab.New(c)
	app.RegisterWorker("w", func(ctx context.Context, w *multiprolab.Worker) error {
		if way == "in setup" {
			count(way)
		}
		multiprolab.HandleTask(w, "count", func(_ context.Context, raced bool) (int, error) {
			if raced {
				count(way)
			}
			return counts, nil
		})
		multiprolab.HandleTask(w, "hang", func(context.Context, int) (int, error) { count(way); select {} })
		switch way {
		case "at exit":
			w.OnExit(func(context.Context) error { count(way); return nil })
		case "with an error":
			w.OnExit(func(context.Context) error { return errors.New("an error at the end") })
		case "loop":
			w.Loop(func(ctx context.Context) error { count(way); <-ctx.Done(); return nil })
		}
		return nil
	}, cfg)
	use := func(ctx context.Context) {
		raced := way != "at exit" && way != "loop" && way != "in setup" && way != "killed"
		_, err := multiprolab.Do[int](ctx, app, "count", raced)
		check(err)
		switch way {
		case "replaced":
			check(first(multiprolab.Do[int](ctx, app, "count", false)))
		case "replaced often":
			for range 14 {
				check(first(multiprolab.Do[int](ctx, app, "count", true)))
			}
		case "killed":
			_, err := multiprolab.DoWith[int](ctx, app, "hang", 1, &multiprolab.TaskOptions{Timeout: time.Millisecond, Grace: 100 * time.Millisecond})
			var timeout *multiprolab.TimeoutError
			fmt.Println("killed:", errors.As(err, &timeout) && timeout.Killed)
		}
	}
	if len(args) > 1 { // Start
		check(app.Start(context.Background()))
		use(context.Background())
		err := app.Close()
		fmt.Println("Run:", err)
		fmt.Println("again:", err == nil || errors.Is(app.Wait(context.Background()), err) || fmt.Sprint(err) == fmt.Sprint(app.Wait(context.Background())))
		return
	}
	app.After(0, func(ctx context.Context) error { use(ctx); app.Exit(); return nil })
	fmt.Println("Run:", app.Run(context.Background()))
}

func first[T any](_ T, err error) error { return err }
