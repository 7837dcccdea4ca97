// Example 002-exit ends the whole program by a call of Exit from another goroutine: of main, or of
// a worker. Either way all workers end first, then main.
//
//	go run ./examples/002-exit              # a goroutine of main calls Exit after 3 seconds
//	go run ./examples/002-exit -by worker   # a goroutine of the worker alice does
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

var (
	runFor = flag.Duration("for", 3*time.Second, "the `time` after which Exit is called")
	by     = flag.String("by", "main", "`who` calls Exit: main or worker")
)

func main() {
	flag.Parse()
	if *by != "main" && *by != "worker" {
		log.Fatalf("-by is %q: give main or worker", *by)
	}

	app := multiprolab.New(nil)
	app.RegisterWorker("alice", alice, nil)
	app.RegisterWorker("bob", bob, nil)
	app.Action(time.Second, func(context.Context) error {
		say(app, "at work")
		return nil
	})
	app.After(0, func(context.Context) error { // here and not before Run, which the workers pass as well
		if *by == "main" {
			go exitLater(app)
		}
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	say(app, "every worker has ended, and so do I")
	if sig, ok := errors.AsType[*multiprolab.SignalError](app.Cause()); ok {
		os.Exit(sig.ExitCode()) // 130 after Ctrl-C: that is what a shell expects
	}
}

// alice works, and with -by worker ends the program. It sees the flag too: a worker is started with
// the arguments of main.
func alice(_ context.Context, w *multiprolab.Worker) error {
	work(w)
	if *by == "worker" {
		go exitLater(w)
	}
	return nil
}

// bob works until it is told to end.
func bob(_ context.Context, w *multiprolab.Worker) error {
	work(w)
	return nil
}

func work(w *multiprolab.Worker) {
	w.Action(time.Second, func(context.Context) error {
		say(w, "at work")
		return nil
	})
	w.OnExit(func(context.Context) error {
		say(w, "ends")
		return nil
	})
}

// exitLater ends the program from a goroutine of its own. The goroutine ends with the call, or
// after Ctrl-C with its process.
func exitLater(p multiprolab.Process) {
	time.Sleep(*runFor)
	say(p, "calls Exit")
	p.Exit()
}

func say(p multiprolab.Process, format string, args ...any) {
	fmt.Printf("%s (pid %d): %s\n", p.Name(), os.Getpid(), fmt.Sprintf(format, args...))
}
