// Example 004-taskqueue shares work out: main puts pairs of numbers into the task queue, workers
// take them as they have time, multiply them, and main gets each product back.
//
// There are two ways to be such a worker. The three multipliers have a handler that is called with
// each task (HandleTask); the puller asks for the next task when it wants one (PullTasks, TaskQueue.Get).
// All four take from the same queue.
//
//	go run ./examples/004-taskqueue
//	go run ./examples/004-taskqueue -for 5s
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/multiprolab/multiprolab"
)

// Pair is the body of a task; the product, an int, is its result.
type Pair struct{ A, B int }

const batch = 8 // tasks that main has in the queue at a time

func main() {
	runFor := flag.Duration("for", 0, "end by itself after this `time`; 0 means: run until Ctrl-C")
	flag.Parse()

	app := multiprolab.New(nil)
	app.RegisterWorker("multiplier", multiplier, &multiprolab.WorkerConfig{Count: 3})
	app.RegisterWorker("puller", puller, nil)
	last := 0
	app.Action(time.Second, func(ctx context.Context) error {
		var pairs []Pair
		var products []*multiprolab.Future[int]
		for range batch { // all are in the queue before the first is waited for
			last++
			pair := Pair{last, last + 1}
			product, err := multiprolab.Submit[int](ctx, app, "multiply", pair, nil)
			if err != nil {
				return err
			}
			pairs, products = append(pairs, pair), append(products, product)
		}
		for i, product := range products {
			n, err := product.Wait(ctx)
			if err != nil {
				return err
			}
			say(app, "%d x %d is %d", pairs[i].A, pairs[i].B, n)
		}
		return nil
	})
	if *runFor > 0 {
		app.After(*runFor, func(context.Context) error {
			app.Exit()
			return nil
		})
	}
	if err := app.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	say(app, "every worker has ended, and so do I")
	if sig, ok := errors.AsType[*multiprolab.SignalError](app.Cause()); ok {
		os.Exit(sig.ExitCode()) // 130 after Ctrl-C: that is what a shell expects
	}
}

// multiplier has its handler called with each task that main hands to it.
func multiplier(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "multiply", func(_ context.Context, p Pair) (int, error) {
		return multiply(w, p), nil
	})
	return nil
}

// puller takes its tasks itself, one on each turn, and ends each with Done or Fail.
func puller(_ context.Context, w *multiprolab.Worker) error {
	w.PullTasks("multiply")
	w.Action(0, func(ctx context.Context) error {
		task, err := w.Tasks().Get(ctx) // waits until there is one
		if err != nil {
			return err // exit was requested
		}
		var p Pair
		if err := task.Decode(&p); err != nil {
			return task.Fail(err)
		}
		return task.Done(multiply(w, p))
	})
	return nil
}

// multiply takes a moment, so that one worker cannot do everything before the next has its turn.
func multiply(w *multiprolab.Worker, p Pair) int {
	time.Sleep(100 * time.Millisecond)
	say(w, "multiplies %d by %d", p.A, p.B)
	return p.A * p.B
}

func say(p multiprolab.Process, format string, args ...any) {
	fmt.Printf("%s (pid %d): %s\n", p.Name(), os.Getpid(), fmt.Sprintf(format, args...))
}
