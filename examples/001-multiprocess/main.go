// Example 001-multiprocess runs three processes from one program: main and two workers. Each says
// once a second who it is, with its name and its pid, until Ctrl-C.
//
//	go run ./examples/001-multiprocess
//	go run ./examples/001-multiprocess -for 5s
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

func main() { // all of this runs in main, and up to Run in the workers too
	runFor := flag.Duration("for", 0, "end by itself after this `time`; 0 means: run until Ctrl-C")
	flag.Parse()

	app := multiprolab.New(nil)
	app.RegisterWorker("alice", worker, nil)
	app.RegisterWorker("bob", worker, nil)
	app.Action(time.Second, func(context.Context) error {
		say(app, "here I am")
		return nil
	})
	if *runFor > 0 {
		app.After(*runFor, func(context.Context) error {
			app.Exit()
			return nil
		})
	}
	if err := app.Run(context.Background()); err != nil { // in a worker, Run does not return
		log.Fatal(err)
	}
	say(app, "every worker has ended, and so do I")
	if sig, ok := errors.AsType[*multiprolab.SignalError](app.Cause()); ok {
		os.Exit(sig.ExitCode()) // 130 after Ctrl-C: that is what a shell expects
	}
}

// worker is the setup function of both workers. It runs in the worker's process, and only there.
func worker(_ context.Context, w *multiprolab.Worker) error {
	turn := 0 // this process's own: the other one has another
	w.Action(time.Second, func(context.Context) error {
		turn++
		say(w, "here I am, turn %d", turn)
		return nil
	})
	w.OnExit(func(context.Context) error {
		say(w, "ends after turn %d", turn)
		return nil
	})
	return nil
}

// say prints a line with the name and the pid of the process that it runs in. What a worker prints
// comes out where main's lines do.
func say(p multiprolab.Process, format string, args ...any) {
	fmt.Printf("%s (pid %d): %s\n", p.Name(), os.Getpid(), fmt.Sprintf(format, args...))
}
