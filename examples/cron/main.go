// A task that is submitted at the times of a cron expression: a report every second, or as
// -schedule says.
//
// github.com/robfig/cron/v3 knows when, multiprolab how: the report runs in a process of its own,
// within the time limit of its type, one at a time, and a death costs it an attempt. A tick that
// finds the last report still running is left out, because nobody wants two.
//
//	go run . -schedule "*/5 * * * * *" -reports 3
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/multiprolab/multiprolab"
)

var (
	schedule = flag.String("schedule", "* * * * * *", "when a report is made: a cron expression with seconds")
	reports  = flag.Int("reports", 3, "how many reports are made before the program ends")
	crash    = flag.Bool("crash", false, "the first attempt at each report kills its worker")
)

func main() {
	flag.Parse()
	app := multiprolab.New(nil)
	app.RegisterWorker("reporter", reporter, nil)
	app.TaskDefaults("report", &multiprolab.TaskOptions{
		Timeout: 10 * time.Second, Attempts: 3, Retry: multiprolab.RetryPolicy{First: time.Millisecond},
	})
	results := make(chan string)
	app.After(0, func(ctx context.Context) error { // once the workers are ready
		times := cron.New(cron.WithSeconds(), cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger)))
		_, err := times.AddFunc(*schedule, func() {
			text, err := multiprolab.Do[string](ctx, app, "report", time.Now())
			if err != nil {
				text = "no report: " + err.Error()
			}
			select {
			case results <- text:
			case <-ctx.Done():
			}
		})
		if err != nil {
			return err
		}
		times.Start()
		defer func() { <-times.Stop().Done() }() // no job is left when main's loop goes on
		for range *reports {
			select {
			case text := <-results:
				fmt.Println(text)
			case <-ctx.Done():
				return nil
			}
		}
		app.Exit()
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func reporter(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "report", func(ctx context.Context, at time.Time) (string, error) {
		attempt := multiprolab.TaskFrom(ctx).Attempt
		if *crash && attempt == 1 {
			os.Exit(1)
		}
		return fmt.Sprintf("report of second %d, attempt %d", at.Second(), attempt), nil
	})
	return nil
}
