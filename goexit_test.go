package multiprolab_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// goexit ends the goroutine, in one of several ways.
func goexit(how string) {
	switch how {
	case "":
		runtime.Goexit()
	case "in a deferred function":
		defer runtime.Goexit()
	case "in spite of a panic":
		defer runtime.Goexit()
		panic("it never gets out")
	case "with a panic that is recovered on the way":
		defer func() {
			defer func() { _ = recover() }()
			panic("it never gets out")
		}()
		runtime.Goexit()
	}
}

// quitting are where and how the worker "quitting" ends its goroutine: all but its first life do
// not.
var quitting atomic.Value

var _ = worker("quitting", func(ctx context.Context, w *multiprolab.Worker) error {
	where := os.Getenv("QUITTING")
	if s, ok := quitting.Load().(string); ok && where == "" {
		where = s
	}
	if w.Life() > 1 && where != "task" { // tasks choose for themselves
		where = ""
	}
	quit := func(context.Context) error { goexit(""); return nil }
	switch where {
	case "setup":
		return quit(ctx)
	case "action":
		w.After(0, quit)
	case "action of every turn":
		w.Action(0, quit)
	case "loop":
		w.Loop(quit)
	case "exit":
		w.OnExit(quit)
	case "beside a loop":
		w.After(0, quit)
		w.Loop(func(ctx context.Context) error { <-ctx.Done(); return nil })
	}
	multiprolab.HandleTask(w, "quit", func(_ context.Context, how string) (int, error) { goexit(how); return 0, nil })
	w.HandleTask("quit-untyped", func(context.Context, *multiprolab.Task) (any, error) { goexit(""); return nil, nil })
	multiprolab.HandleTask(w, "item", func(_ context.Context, n int) (int, error) {
		if n == 50 {
			goexit("")
		}
		return n, nil
	})
	multiprolab.HandleTask(w, "watch", func(ctx context.Context, _ struct{}) (int, error) {
		return multiprolab.DoWith[int](
			ctx,
			w,
			"news",
			nil,
			&multiprolab.TaskOptions{OnProgress: func(context.Context, *multiprolab.Message) { goexit("") }},
		)
	})
	multiprolab.HandleCall(
		w,
		"quit-call",
		func(_ context.Context, how string) (int, error) { goexit(how); return 0, nil },
	)
	multiprolab.Handle(w, "quit-message", func(_ context.Context, how string) error { goexit(how); return nil })
	multiprolab.HandleTask(w, "double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	return nil
})

// requireGoexit checks the error of a worker that has died of runtime.Goexit.
func requireGoexit(t testing.TB, err error, running string) {
	t.Helper()
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.ErrorContains(t, err, "runtime.Goexit was called in "+running+", which ends the goroutine")
	require.Equal(t, 2, died.ExitCode)
	require.Contains(t, died.Stderr, "goexit_test.go")
	require.Contains(t, died.Stderr, "multiprolab_test.goexit(")
}

// A handler that ends its goroutine is the death of its worker, at once, with a text that says so.
func TestGoexitInAHandlerIsADeath(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, quickly("quitting", 1), workers("bell", 1))
		ctx := bounded(t)
		works := func() {
			t.Helper()
			n, err := multiprolab.Do[int](ctx, l, "double", 4)
			require.NoError(t, err)
			require.Equal(t, 8, n)
		}
		for _, how := range []string{"", "in a deferred function", "in spite of a panic", "with a panic that is recovered on the way"} {
			_, err := multiprolab.Do[int](ctx, l, "quit", how)
			requireGoexit(t, err, `task "quit"`)
			works()
			_, err = multiprolab.Call[int](ctx, l, "quitting", "quit-call", how)
			requireGoexit(t, err, `call "quit-call"`)
			works()
		}
		_, err := multiprolab.Do[int](ctx, l, "quit-untyped", nil)
		requireGoexit(t, err, `task "quit-untyped"`)
		_, err = multiprolab.Do[int](ctx, l, "watch", nil)
		requireGoexit(t, err, `task "watch"`)
		require.NoError(t, multiprolab.Send(ctx, l, "quitting", "quit-message", ""))
		failed := waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool {
			return e.Worker == "quitting/0" && e.Life == 11
		})
		requireGoexit(t, failed.Err, `message "quit-message"`)
		var others int
		i := 0
		for n, err := range multiprolab.Map[int](ctx, l, "item", slices.Values(countTo(200)), nil) {
			if i == 50 {
				requireGoexit(t, err, `task "item"`)
			} else if err == nil && n == i {
				others++
			}
			i++
		}
		require.Equal(t, 199, others, "a death costs the item that ran, and no other")
		works()
	})
}

func countTo(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

// So is any other function of the user's that a worker calls.
func TestGoexitOutsideOfHandlersIsADeath(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for where, running := range map[string]string{
			"action": "an action", "action of every turn": "an action", "beside a loop": "an action", "loop": "the function of Worker.Loop", "exit": "a function of Worker.OnExit",
		} {
			t.Run(where, func(t *testing.T) {
				p := quickly("quitting", 1)
				if inProcess {
					quitting.Store(where)
					defer quitting.Store("")
				} else {
					p.cfg.Process.Env = []string{"QUITTING=" + where}
				}
				l := startLab(t, &multiprolab.Config{InProcess: inProcess}, p)
				if where == "exit" {
					require.NoError(t, l.Restart(bounded(t), "quitting"))
				}
				failed := waitEvent[*multiprolab.WorkerFailed](t, l, nil)
				requireGoexit(t, failed.Err, running)
				require.Equal(t, 1, failed.Life)
				n, err := multiprolab.Do[int](bounded(t), l, "double", 4)
				require.NoError(t, err)
				require.Equal(t, 8, n)
				require.NoError(t, l.Close())
			})
		}
		t.Run("setup", func(t *testing.T) {
			p := workers("quitting", 1)
			if inProcess {
				quitting.Store("setup")
				defer quitting.Store("")
			} else {
				p.cfg.Process.Env = []string{"QUITTING=setup"}
			}
			l := newLab(t, &multiprolab.Config{InProcess: inProcess}, p)
			err := l.Start(bounded(t))
			var start *multiprolab.StartError
			require.ErrorAs(t, err, &start)
			requireGoexit(t, err, "its setup function")
			l.checkGone(t)
		})
	})
}

// On main's loop it ends the program with an error. Start's is on a goroutine of its own: Wait says
// so, and what comes later.
func TestGoexitOnMainsLoopEndsTheProgram(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for _, place := range onMainsLoop {
			t.Run(place.name, func(t *testing.T) {
				onEvent := func() {}
				l := newLab(t, &multiprolab.Config{InProcess: inProcess, OnEvent: func(e multiprolab.Event) {
					if _, ok := e.(*multiprolab.WorkerReady); ok {
						onEvent()
					}
				}}, workers("bell", 1))
				place.put(l, &onEvent, func(context.Context) error { goexit(""); return nil })
				if err := l.Start(bounded(t)); err != nil { // the event may come before it returns
					require.ErrorContains(t, err, "runtime.Goexit was called in "+place.doing+" of main, ")
				}
				err := l.Wait(bounded(t))
				require.ErrorContains(t, err, "runtime.Goexit was called in "+place.doing+" of main, ")
				require.Equal(t, err, l.Close(), "and no worker had to be killed")
				_, err = multiprolab.Call[int](bounded(t), l, "bell", "x", nil)
				require.ErrorIs(t, err, multiprolab.ErrStopped)
				require.ErrorContains(t, err, "runtime.Goexit")
				l.checkGone(t)
			})
		}
	})
}

// The last events are told when the loop has ended: to end the goroutine there, or to wait for the
// end, does not keep the program from ending.
func TestLastEvents(t *testing.T) {
	for how, fn := range map[string]func(l *lab){
		"goexit": func(*lab) { goexit("") },
		"close":  func(l *lab) { _ = l.Close() },
	} {
		t.Run(how, func(t *testing.T) {
			var l *lab
			l = newLab(t, &multiprolab.Config{OnEvent: func(e multiprolab.Event) {
				if _, ok := e.(*multiprolab.WorkerStopped); ok {
					fn(l)
				}
			}}, workers("lab", 3))
			require.NoError(t, l.Start(t.Context()))
			ended := make(chan error, 1)
			go func() { ended <- l.Close() }() // ends with the program
			err := await(t, ended, "the end")
			if how == "goexit" {
				require.ErrorContains(t, err, "runtime.Goexit was called in Config.OnEvent of main")
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// In a test, Run on the goroutine of the test ends the workers, and then the test goes on to end:
// t.FailNow in an action of main does what it does elsewhere.
func TestGoexitInRunEndsTheTest(t *testing.T) {
	l := newLab(t, nil, workers("lab", 1))
	l.After(0, func(context.Context) error { goexit(""); return nil })
	returned := true
	ended := make(chan struct{})
	go func() { // the test
		defer close(ended)
		_ = l.Run(t.Context())
		returned = false
	}()
	await(t, ended, "the goroutine to end")
	require.True(t, returned)
	require.ErrorContains(t, l.Wait(t.Context()), "runtime.Goexit was called in an action of main, ")
	l.checkGone(t)
}

// In any other program Run ends the process with an error then: nobody could be told otherwise.
func TestGoexitInRunEndsTheProcess(t *testing.T) {
	for _, how := range []string{"main", "goroutine"} {
		out, err := runTestProgram(t, "goexit", how)
		var exit *exec.ExitError
		require.True(t, errors.As(err, &exit), "%v\n%s", err, out)
		require.Equal(t, 2, exit.ExitCode(), "%s", out)
		require.Regexp(t, `(?m)^panic: .*runtime.Goexit was called in an action of main`, out)
		require.Contains(t, out, "worker stopped", "the workers were ended first")
	}
}
