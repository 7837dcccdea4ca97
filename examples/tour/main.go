// Tour shows in ten steps what worker processes are good for, one idea each, with the page of
// package dashboard open beside it.
//
//	go run ./examples/tour          # then open the page that it names; Enter goes on
//	go run ./examples/tour -auto    # goes on by itself, and ends after the last step
//
// Each step says first what will happen, does it, and checks that it was so: the exit code is 1 if
// a step did not go as it says.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/dashboard"
)

func main() { // runs in main, and up to Start in the workers too
	addr := flag.String("addr", "127.0.0.1:8080", "address of the page")
	auto := flag.Bool("auto", false, "go on without Enter, and end after the last step")
	flag.Parse()

	app := multiprolab.New(&multiprolab.Config{
		Stderr: io.Discard, // the page shows what a worker printed last
		Logger: slog.New(slog.DiscardHandler),
	})
	app.RegisterWorker("cook", cook, &multiprolab.WorkerConfig{
		Count:           4,
		Limits:          multiprolab.Limits{Memory: memoryLimit},
		RestartLimit:    multiprolab.RestartLimit{Restarts: -1},
		RestartDelay:    10 * time.Millisecond,
		RestartMaxDelay: 100 * time.Millisecond,
	})
	app.RegisterWorker("bell", bell, nil)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := app.Start(ctx); err != nil { // in a worker, Start does not return
		fail(err)
	}
	err := serve(ctx, app, *addr, func(page string) error {
		t := &tour{Main: app, page: page, next: enter(ctx)}
		if *auto {
			t.next = func() error { return ctx.Err() }
		}
		return t.walk(ctx)
	})
	if err := errors.Join(err, app.Close()); err != nil && ctx.Err() == nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "tour:", err)
	os.Exit(1)
}

// serve runs walk while the page is served.
func serve(ctx context.Context, app *multiprolab.Main, addr string, walk func(page string) error) error {
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("%w: choose another address with -addr", err)
	}
	page := &http.Server{
		Handler:           dashboard.Handler(app, &dashboard.Config{Title: "tour", Allow: dashboard.AllowAll}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- page.Serve(l) }() // ends with Close
	err = walk("http://" + l.Addr().String())
	err = errors.Join(err, page.Close())
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// enter returns a function that waits for Enter, or for Ctrl-C.
func enter(ctx context.Context) func() error {
	lines := make(chan error)
	go func() { // ends with the program: a read of the terminal cannot be cancelled
		in := bufio.NewReader(os.Stdin)
		for {
			_, err := in.ReadString('\n')
			lines <- err
		}
	}()
	return func() error {
		fmt.Print("\n    Enter goes on ")
		select {
		case err := <-lines:
			return err
		case <-ctx.Done():
			fmt.Println()
			return ctx.Err()
		}
	}
}

// tour is the walk. It exists in main.
type tour struct {
	*multiprolab.Main
	page string       // its URL
	next func() error // waits until the user wants to see the next step
}

// walk goes through the steps.
func (t *tour) walk(ctx context.Context) error {
	fmt.Printf("The page beside this tour is %s\n", t.page)
	for i, s := range steps {
		fmt.Printf("\n%d. %s\n\n", i+1, s.idea)
		fmt.Println(indent(s.text))
		if err := t.next(); err != nil {
			return err
		}
		said, err := s.do(ctx, t)
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, strings.ToLower(s.idea), err)
		}
		fmt.Println(indent("-> " + said))
	}
	fmt.Println("\nThat was the tour. The page goes with it.")
	return t.next()
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}
