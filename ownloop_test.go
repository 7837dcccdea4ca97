package multiprolab_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// waitsForEnd are the methods that wait for the end of the program.
var waitsForEnd = map[string]func(ctx context.Context, app *multiprolab.Main) error{
	"Close": func(_ context.Context, app *multiprolab.Main) error { return app.Close() },
	"Stop": func(ctx context.Context, app *multiprolab.Main) error {
		return app.Stop(ctx, multiprolab.FinishRunning)
	},
	"Stop of all": func(ctx context.Context, app *multiprolab.Main) error {
		return app.Stop(context.WithoutCancel(ctx), multiprolab.KillAll)
	},
	"Wait": func(ctx context.Context, app *multiprolab.Main) error { return app.Wait(context.WithoutCancel(ctx)) },
}

var _ = worker("bell", func(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(w, "ring", func(ctx context.Context, _ struct{}) error {
		return multiprolab.Send(ctx, w, "main", "rung", nil)
	})
	multiprolab.Handle(w, "ask", func(ctx context.Context, _ struct{}) error {
		_, _ = multiprolab.Call[int](ctx, w, "main", "asked", nil) // main may end meanwhile
		return nil
	})
	multiprolab.HandleTask(w, "news", func(ctx context.Context, _ struct{}) (int, error) {
		return 0, multiprolab.Progress(ctx, 1)
	})
	return nil
})

// onMainsLoop are the places of a user's code that run on main's loop, with what the error has to
// say of them. Each calls fn once; onEvent is called when a worker is ready.
var onMainsLoop = []struct {
	name, doing string
	put         func(l *lab, onEvent *func(), fn func(ctx context.Context) error)
}{
	{"After", "an action", func(l *lab, _ *func(), fn func(context.Context) error) { l.After(0, fn) }},
	{"Action of every turn", "an action", func(l *lab, _ *func(), fn func(context.Context) error) { l.Action(0, fn) }},
	{"message", `message "rung"`, func(l *lab, _ *func(), fn func(context.Context) error) {
		multiprolab.Handle(l, "rung", func(ctx context.Context, _ struct{}) error { return fn(ctx) })
		l.After(0, func(ctx context.Context) error { return multiprolab.Send(ctx, l, "bell", "ring", nil) })
	}},
	{"call", `call "asked"`, func(l *lab, _ *func(), fn func(context.Context) error) {
		multiprolab.HandleCall(l, "asked", func(ctx context.Context, _ struct{}) (int, error) { return 0, fn(ctx) })
		l.After(0, func(ctx context.Context) error { return multiprolab.Send(ctx, l, "bell", "ask", nil) })
	}},
	{"message that an action receives", `message "rung"`, func(l *lab, _ *func(), fn func(context.Context) error) {
		multiprolab.Handle(l, "rung", func(ctx context.Context, _ struct{}) error { return fn(ctx) })
		l.After(0, func(ctx context.Context) error {
			if err := multiprolab.Send(ctx, l, "bell", "ring", nil); err != nil {
				return err
			}
			return l.Receiver().Receive(ctx)
		})
	}},
	{"OnEvent", "Config.OnEvent", func(_ *lab, onEvent *func(), fn func(context.Context) error) {
		*onEvent = func() { _ = fn(context.Background()) }
	}},
	{"OnProgress", "an action", func(l *lab, _ *func(), fn func(context.Context) error) {
		l.After(0, func(ctx context.Context) error {
			_, _ = multiprolab.DoWith[int](ctx, l, "news", nil, &multiprolab.TaskOptions{ // the end may come first
				OnProgress: func(ctx context.Context, _ *multiprolab.Message) { _ = fn(ctx) }})
			return nil
		})
	}},
}

// What waits for the end of the program says so at once where it would wait for itself: on main's
// own loop. Close and Stop request the end all the same.
func TestWaitForTheEndOnMainsLoop(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for _, place := range onMainsLoop {
			for name, wait := range waitsForEnd {
				t.Run(place.name+", "+name, func(t *testing.T) {
					onEvent := func() {}
					l := newLab(t, &multiprolab.Config{InProcess: inProcess, OnEvent: func(e multiprolab.Event) {
						if _, ok := e.(*multiprolab.WorkerReady); ok {
							onEvent()
						}
					}}, workers("bell", 1))
					said := make(chan error, 1)
					place.put(l, &onEvent, func(ctx context.Context) error {
						err := wait(ctx, l.Main)
						select {
						case said <- err:
						default: // an action of every turn
						}
						if name == "Wait" {
							l.Exit()
						}
						return nil
					})
					ended := make(chan error, 1)
					go func() { ended <- l.Run(t.Context()) }() // ends by the call
					err := await(t, said, "the call to return")
					call, _, _ := cutSpace(name)
					require.ErrorContains(
						t,
						err,
						"multiprolab: "+call+" waits until the loop of main has ended, and was called on that loop, in "+place.doing,
					)
					require.ErrorContains(t, err, "use Exit here")
					err = await(t, ended, "Run to return")
					if name == "Stop of all" {
						err = ignore[*multiprolab.ShutdownError](err)
					}
					require.NoError(t, err)
				})
			}
		}
	})
}

// An action that returns the error of Close ends the program with it.
func TestCloseInAnAction(t *testing.T) {
	l := newLab(t, nil, workers("lab", 1))
	l.After(0, func(context.Context) error { return l.Close() })
	ended := make(chan error, 1)
	go func() { ended <- l.Run(t.Context()) }() // ends by the action
	require.ErrorContains(t, await(t, ended, "Run to return"), "use Exit here")
	l.checkGone(t)
	require.ErrorContains(t, l.Close(), "use Exit here", "on another goroutine it waits, and says how Run ended")
}

// With InProcess a worker's goroutines are some that the end waits for: its setup function,
// handlers, event loop and OnExit functions.
func TestWaitForTheEndInAWorker(t *testing.T) {
	for _, where := range []string{"setup", "task", "action", "loop", "task beside a loop", "exit"} {
		for name, wait := range waitsForEnd {
			t.Run(where+", "+name, func(t *testing.T) {
				said := make(chan error, 1)
				l := newLab(t, &multiprolab.Config{InProcess: true})
				fn := func(ctx context.Context) error {
					said <- wait(ctx, l.Main)
					l.Exit()
					return nil
				}
				l.RegisterWorker("own", func(ctx context.Context, w *multiprolab.Worker) error {
					task := func(context.Context, struct{}) (int, error) { return 0, nil }
					switch where {
					case "setup":
						return fn(ctx)
					case "task", "task beside a loop":
						task = func(ctx context.Context, _ struct{}) (int, error) { return 0, fn(ctx) }
					case "action":
						w.After(0, fn)
					case "loop":
						w.Loop(fn)
					case "exit":
						w.OnExit(fn)
					}
					if where == "task beside a loop" {
						w.Loop(func(ctx context.Context) error { <-ctx.Done(); return nil })
					}
					multiprolab.HandleTask(w, "do", task)
					return nil
				}, nil)
				l.After(0, func(ctx context.Context) error {
					switch where {
					case "task", "task beside a loop":
						_, _ = multiprolab.Do[int](ctx, l, "do", nil) // the end may come first
					case "exit":
						l.Exit()
					}
					return nil
				})
				ended := make(chan error, 1)
				go func() { ended <- l.Run(t.Context()) }() // ends by the call
				err := await(t, said, "the call to return")
				require.ErrorContains(t, err, "was called in worker own/0, which would wait for itself")
				require.ErrorContains(t, err, "use Worker.Exit or Main.Exit here")
				err = await(t, ended, "Run to return")
				if name == "Stop of all" {
					err = ignore[*multiprolab.ShutdownError](err)
				}
				require.NoError(t, err)
			})
		}
	}
}
