package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/multiprolab/multiprolab"
)

func init() { programs["mains"] = mains }

// maker makes a Main whose worker says to whom it belongs.
func maker(tag, name string) *multiprolab.Main {
	app := multiprolab.New(config(name))
	app.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "who", func(context.Context, int) (string, error) { return tag, nil })
		return nil
	}, nil)
	return app
}

// who asks the worker of a Main.
func who(app *multiprolab.Main) string {
	tag, err := multiprolab.Do[string](context.Background(), app, "who", 1)
	if err != nil {
		return err.Error()
	}
	return tag
}

// ask runs a Main that asks its worker, and ends.
func ask(app *multiprolab.Main) error {
	app.After(0, func(context.Context) error { fmt.Println("in Run:", who(app)); app.Exit(); return nil })
	return app.Run(context.Background())
}

// start is the code that everybody writes.
func start(app *multiprolab.Main) {
	if err := app.Start(context.Background()); err != nil {
		log.Fatal("Start: ", err)
	}
}

// mains has two Mains, in one of several ways.
func mains(args []string) {
	switch args[0] {
	case "started both":
		a, b := maker("A", "a"), maker("B", "b")
		for _, app := range []*multiprolab.Main{a, b} {
			start(app)
			defer app.Close()
		}
		fmt.Println(who(a), who(b))
	case "started three, the default name last":
		a, b, c := maker("A", "a"), maker("B", "b"), maker("C", "")
		for _, app := range []*multiprolab.Main{a, b, c} {
			start(app)
			defer app.Close()
		}
		fmt.Println(who(c), who(b), who(a))
	case "one after the other":
		for i, name := range []string{"a", "b", "c"} {
			app := maker(fmt.Sprint("phase ", i), name)
			start(app)
			if tag := who(app); tag != "" && errors.Is(app.Wait(expired()), context.DeadlineExceeded) { // not in the workers of those that follow
				fmt.Println(tag)
			}
			check(app.Close())
		}
	case "run one after the other":
		for i, name := range []string{"a", "b", "c"} {
			if err := ask(maker(fmt.Sprint("phase ", i), name)); err != nil {
				log.Fatal(err)
			}
		}
	case "run beside one that was started":
		a := maker("A", "a")
		start(a)
		defer a.Close()
		check(ask(maker("B", "b")))
		fmt.Println(who(a))
	case "run both at once":
		var both sync.WaitGroup
		for _, name := range []string{"a", "b"} {
			both.Go(func() { check(ask(maker(name, name))) })
		}
		both.Wait()
	case "run the second in the worker of the first":
		late()
	case "nested on a goroutine":
		nestedLate(args[1])
	case "one in this process first":
		a := multiprolab.New(&multiprolab.Config{InProcess: true})
		a.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
			multiprolab.HandleTask(w, "who", func(context.Context, int) (string, error) { return "in process", nil })
			return nil
		}, nil)
		b := maker("B", "")
		start(a)
		start(b)
		fmt.Println(who(a), who(b))
		check(a.Close())
		check(b.Close())
	case "used in the worker of the other":
		used(args[1:])
	case "nested":
		nested()
	case "one name at once":
		a, b := maker("A", ""), maker("B", "")
		start(a)
		defer a.Close()
		fmt.Println("the second:", b.Start(context.Background()))
		fmt.Println(who(a), b.Wait(context.Background()))
	case "one name, one after the other":
		for _, tag := range []string{"A", "B"} {
			app := maker(tag, "same")
			if err := app.Start(context.Background()); err != nil {
				fmt.Println("the second:", err)
				return
			}
			fmt.Println(who(app))
			check(app.Close())
		}
	case "one name, run again":
		for range 2 {
			fmt.Println("Run:", ask(maker("A", "")))
		}
	case "the first did not start":
		a := multiprolab.New(&multiprolab.Config{Window: -1})
		fmt.Println(a.Start(context.Background()) != nil)
		b := maker("B", "")
		start(b)
		defer b.Close()
		fmt.Println(who(b))
	}
}

// late runs two Mains on goroutines of their own. In the worker of the first, the second comes when
// the process has become that worker.
func late() {
	setUp, passed, second := make(chan struct{}), make(chan struct{}), make(chan struct{})
	a := multiprolab.New(config("a"))
	a.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "who", func(context.Context, int) (string, error) {
			<-second // of this process
			return "a", nil
		})
		close(setUp)
		return nil
	}, nil)
	const variable = "TEST_MAINS_LATE"
	inWorker := os.Getenv(variable) != ""
	check(os.Setenv(variable, "1"))
	var both sync.WaitGroup
	both.Go(func() {
		check(ask(a))
		close(passed)
	})
	both.Go(func() {
		if inWorker {
			select {
			case <-setUp:
			case <-passed:
			}
		}
		check(ask(maker("b", "b")))
		close(second)
	})
	both.Wait()
}

// nestedLate has a worker that runs a Main of its own on a goroutine: one that is made in the setup
// function, or one that gets its context.
func nestedLate(how string) {
	var inner *multiprolab.Main
	if how != "by its place" {
		inner = maker("inner", "inner")
	}
	app := multiprolab.New(config("outer"))
	app.RegisterWorker("outer", func(ctx context.Context, w *multiprolab.Worker) error {
		if inner == nil {
			inner, ctx = maker("inner", "inner"), context.Background()
		}
		started := make(chan error, 1)
		go func() { started <- inner.Start(ctx) }()
		if err := <-started; err != nil {
			return err
		}
		w.OnExit(func(context.Context) error { return inner.Close() })
		multiprolab.HandleTask(w, "who", func(context.Context, int) (string, error) { return who(inner), nil })
		return nil
	}, nil)
	start(app)
	fmt.Println(who(app))
	check(app.Close())
}

// expired is a context that has ended.
func expired() context.Context {
	ctx, cancel := context.WithDeadline(context.Background(), time.Now())
	cancel()
	return ctx
}

// used calls what a Main has in the process of a worker that is not its own, and in one that is. None of it may hang.
func used([]string) {
	ctx := context.Background()
	a := maker("A", "a")
	start(a)
	state := func(app *multiprolab.Main) (texts []string) {
		say := func(what string, err error) { texts = append(texts, fmt.Sprint(what, ": ", err)) }
		_, err := multiprolab.Call[int](ctx, app, "w", "x", nil)
		say("Call", err)
		_, err = multiprolab.Do[int](ctx, app, "who", 1)
		say("Do", err)
		_, err = app.Tasks().TrySubmit(ctx, "who", 1, nil)
		say("TrySubmit", err)
		for _, err := range multiprolab.Map[int](ctx, app, "who", func(yield func(int) bool) { yield(1) }, nil) {
			say("Map", err)
		}
		say("Send", multiprolab.Send(ctx, app, "w", "x", nil))
		say("Send to main", multiprolab.Send(ctx, app, "main", "x", nil))
		say("Broadcast", multiprolab.Broadcast(ctx, app, "", "x", nil))
		say("Restart", app.Restart(ctx, ""))
		say("Resize", app.Resize("w", 2))
		_, err = app.Watch(ctx, "")
		say("Watch", err)
		say("Join", app.Tasks().Join(ctx))
		say("Wait", app.Wait(ctx))
		say("Close", app.Close())
		say("Stop", app.Stop(ctx, multiprolab.KillAll))
		return texts
	}
	var inert []string
	if multiprolab.Send(ctx, a, "w", "x", nil) != nil { // here and not in main
		inert = state(a)
	}
	b := multiprolab.New(config("b"))
	b.RegisterWorker("w", func(_ context.Context, w *multiprolab.Worker) error {
		own := state(b) // the Main of this very worker
		multiprolab.HandleTask(w, "inert", func(context.Context, int) ([]string, error) { return inert, nil })
		multiprolab.HandleTask(w, "own", func(context.Context, int) ([]string, error) { return own, nil })
		multiprolab.HandleTask(w, "exit", func(context.Context, int) (int, error) { b.Exit(); return 0, nil })
		return nil
	}, nil)
	start(b)
	for _, what := range []string{"inert", "own"} {
		texts, err := multiprolab.Do[[]string](ctx, b, what, 1)
		check(err)
		for _, text := range texts {
			fmt.Println(what, text)
		}
	}
	_, _ = multiprolab.Do[int](ctx, b, "exit", 1) // the end may come first
	fmt.Println("b ended:", b.Wait(ctx))
	check(a.Close())
}

// nested has two Mains with a pool of one name, in which each runs two of its own.
func nested() {
	var all []*multiprolab.Main
	for _, name := range []string{"a", "b"} {
		app := multiprolab.New(config(name))
		app.RegisterWorker("outer", func(ctx context.Context, w *multiprolab.Worker) error {
			var inner []*multiprolab.Main
			for _, in := range []string{"x", "y"} {
				m := maker(name+in, in)
				if err := m.Start(ctx); err != nil {
					return err
				}
				inner = append(inner, m)
			}
			w.OnExit(func(context.Context) error { return errors.Join(inner[0].Close(), inner[1].Close()) })
			multiprolab.HandleTask(w, "who", func(context.Context, int) (string, error) { return who(inner[0]) + " " + who(inner[1]), nil })
			return nil
		}, nil)
		start(app)
		all = append(all, app)
	}
	fmt.Println(who(all[0]), who(all[1]))
	for _, app := range all {
		check(app.Close())
	}
}
