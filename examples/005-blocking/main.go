// Example 005-blocking shows the two ways in which a worker can wait for messages.
//
// The worker sleeper has nothing to do but its messages: it blocks until one comes, uses no
// processor time until then, and is woken at once. The worker searcher has work of its own, a
// search for prime numbers: it does a piece of that on each turn (an Action at the interval zero),
// never blocks, and handles what messages have come between two pieces. Main sends both a message
// every second. Searcher keeps one processor busy.
//
//	go run ./examples/005-blocking
//	go run ./examples/005-blocking -for 5s
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/big"
	"os"
	"time"

	"github.com/multiprolab/multiprolab"
)

// Tick is the message that main sends.
type Tick struct {
	Number int
	Sent   time.Time
}

func main() {
	runFor := flag.Duration("for", 0, "end by itself after this `time`; 0 means: run until Ctrl-C")
	flag.Parse()

	// what is on its way at the end still arrives
	app := multiprolab.New(&multiprolab.Config{Shutdown: multiprolab.DrainQueue})
	app.RegisterWorker("sleeper", sleeper, nil)
	app.RegisterWorker("searcher", searcher, nil)
	number := 0
	app.Action(time.Second, func(ctx context.Context) error {
		number++
		say(app, "sends tick %d to every worker", number)
		return multiprolab.Broadcast(ctx, app, "", "tick", Tick{Number: number, Sent: time.Now()})
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

// sleeper registers a handler and nothing else, so it blocks on messages.
func sleeper(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(w, "tick", func(_ context.Context, t Tick) error {
		say(w, "woken by tick %d after %v", t.Number, time.Since(t.Sent))
		return nil
	})
	return nil
}

// searcher has an action on every turn, so it does not block.
func searcher(_ context.Context, w *multiprolab.Worker) error {
	turns, primes := 0, 0
	n := big.NewInt(1)
	one := big.NewInt(1)
	w.Action(0, func(context.Context) error {
		turns++
		for range 100 { // a small piece: it is how long a message may have to wait
			if n.Add(n, one).ProbablyPrime(0) { // exact up to 2 to the power of 64
				primes++
			}
		}
		return nil
	})
	multiprolab.Handle(w, "tick", func(_ context.Context, t Tick) error { // between two turns: no lock is needed
		say(
			w,
			"got tick %d after %v, between turns %d and %d: %d primes up to %v",
			t.Number,
			time.Since(t.Sent),
			turns,
			turns+1,
			primes,
			n,
		)
		return nil
	})
	return nil
}

func say(p multiprolab.Process, format string, args ...any) {
	fmt.Printf("%s (pid %d): %s\n", p.Name(), os.Getpid(), fmt.Sprintf(format, args...))
}
