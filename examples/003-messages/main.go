// Example 003-messages lets three processes send each other messages on timers: main, and the
// workers alice and bob. A receiver is named by its name alone; whether it is main or a worker
// makes no difference.
//
//	go run ./examples/003-messages
//	go run ./examples/003-messages -for 5s
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

// Greeting is the body of the messages. Anything that encoding/gob can encode may be one.
type Greeting struct {
	PID    int // of the sender
	Number int // of the greeting, from 1
}

func main() {
	runFor := flag.Duration("for", 0, "end by itself after this `time`; 0 means: run until Ctrl-C")
	flag.Parse()

	// what is on its way at the end still arrives
	app := multiprolab.New(&multiprolab.Config{Shutdown: multiprolab.DrainQueue})
	app.RegisterWorker("alice", func(_ context.Context, w *multiprolab.Worker) error {
		listen(w)
		w.Action(1500*time.Millisecond, greet(w, "main", "bob"))
		return nil
	}, nil)
	app.RegisterWorker("bob", func(_ context.Context, w *multiprolab.Worker) error {
		listen(w)
		w.Action(2*time.Second, greet(w, "main", "alice"))
		return nil
	}, nil)

	listen(app)
	app.Action(time.Second, greet(app, "alice", "bob"))
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

// listen registers the handler of greetings in a process: main or a worker.
func listen(p multiprolab.Process) {
	multiprolab.Handle(p, "greeting", func(ctx context.Context, g Greeting) error {
		say(p, "got greeting %d from %s (pid %d)", g.Number, multiprolab.MessageFrom(ctx).Sender, g.PID)
		return nil
	})
}

// greet returns an action that sends a greeting to each of the receivers.
func greet(p multiprolab.Process, receivers ...string) func(context.Context) error {
	number := 0
	return func(ctx context.Context) error {
		number++
		for _, receiver := range receivers {
			greeting := Greeting{PID: os.Getpid(), Number: number}
			if err := multiprolab.Send(ctx, p, receiver, "greeting", greeting); err != nil {
				return err
			}
		}
		return nil
	}
}

func say(p multiprolab.Process, format string, args ...any) {
	fmt.Printf("%s (pid %d): %s\n", p.Name(), os.Getpid(), fmt.Sprintf(format, args...))
}
