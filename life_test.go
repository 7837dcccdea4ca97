package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// Exit may come from anywhere and at any time: before Run, from a goroutine, an action, a handler,
// a worker, its setup function; twice, too.
func TestExitFromAnywhere(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for _, from := range []string{"before", "goroutine", "action", "handler", "worker", "setup", "context"} {
			name := "prog"
			if from == "setup" {
				name = "quitter"
			}
			l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers(name, 2))
			ctx, cancel := context.WithCancel(t.Context())
			ready := make(chan struct{})
			l.After(0, func(ctx context.Context) error {
				close(ready)
				switch from {
				case "action":
					l.Exit()
					l.Exit()
				case "handler":
					return multiprolab.Send(ctx, l, "main", "quit", nil)
				case "worker":
					return multiprolab.Send(ctx, l, "prog", "program-message", order{"exit", ""})
				}
				return nil
			})
			multiprolab.Handle(l, "quit", func(context.Context, struct{}) error { l.Exit(); return nil })
			switch from {
			case "before":
				l.Exit()
			case "goroutine":
				go func() { <-ready; l.Exit() }()
			case "context":
				go func() { <-ready; cancel() }()
			}
			ended := make(chan error, 1)
			go func() { ended <- l.Run(ctx) }()
			require.NoError(t, await(t, ended, "Run to return after Exit from "+from))
			cancel()
			if from == "before" {
				require.Empty(t, l.all(), "something was started")
			}
			l.checkGone(t)
		}
	})
}

var _ = program("exit", func(_ context.Context, w *multiprolab.Worker, _ string) (string, error) {
	w.Exit()
	w.Exit()
	return "", nil
})

var _ = worker("quitter", func(_ context.Context, w *multiprolab.Worker) error { w.Exit(); return nil })

// What a Main can do depends on where it is in its life; each misuse is an error that says what to
// do.
func TestLifeOfMain(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("lab", 1))
		ctx := bounded(t)
		require.Equal(t, "main", l.Name())
		// Before Start nothing can be sent, and there is nothing to wait for.
		_, callErr := multiprolab.Call[int](ctx, l, "lab", "state", nil)
		_, doErr := multiprolab.Do[int](ctx, l, "double", 1)
		for _, err := range []error{multiprolab.Send(ctx, l, "lab", "add", 1), multiprolab.Broadcast(ctx, l, "", "add", 1), callErr, doErr, l.Wait(ctx)} {
			require.ErrorContains(t, err, "call Run or Start first")
		}
		require.NoError(t, l.Start(ctx))
		// A second Run or Start is refused, and disturbs nothing.
		require.ErrorContains(t, l.Start(ctx), "make a new one with New")
		require.ErrorContains(t, l.Run(ctx), "make a new one with New")
		require.Contains(
			t,
			panicText(t, func() { l.RegisterWorker("late", setups["lab"], nil) }),
			"registered after Run or Start",
		)
		n, err := multiprolab.Do[int](ctx, l, "double", 1)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		require.ErrorIs(t, l.Wait(short), context.DeadlineExceeded)
		require.NoError(t, l.Stop(ctx, multiprolab.FinishRunning))
		require.NoError(t, l.Stop(ctx, multiprolab.KillAll))
		require.NoError(t, l.Close())
		require.NoError(t, l.Wait(ctx))
		require.ErrorContains(t, l.Run(ctx), "make a new one with New")
		_, err = multiprolab.Do[int](ctx, l, "double", 1)
		require.ErrorIs(t, err, multiprolab.ErrStopped)
		require.ErrorIs(t, multiprolab.Broadcast(ctx, l, "", "add", 1), multiprolab.ErrStopped)
	})
}

// Close before Start does nothing, in whatever mode and however often: what is started later works,
// and ends only when it is asked to. (Exit and Stop are remembered.)
func TestCloseBeforeStartDoesNothing(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for _, mode := range []multiprolab.ShutdownMode{multiprolab.FinishRunning, multiprolab.DrainQueue, multiprolab.KillAll} {
			for _, run := range []bool{false, true} {
				l := newLab(t, &multiprolab.Config{InProcess: inProcess, Shutdown: mode}, workers("lab", 1))
				require.NoError(t, l.Close())
				require.NoError(t, l.Close())
				ended := make(chan error, 1)
				if run {
					go func() { ended <- l.Run(t.Context()) }() // ends with Stop, below
					waitEvent(t, l, func(*multiprolab.WorkerReady) bool { return true })
				} else {
					require.NoError(t, l.Start(t.Context()), mode.String())
					ended <- nil
				}
				n, err := multiprolab.Do[int](bounded(t), l, "double", 4)
				require.NoError(t, err, mode.String())
				require.Equal(t, 8, n)
				require.NoError(t, l.Stop(t.Context(), multiprolab.FinishRunning), mode.String())
				require.NoError(t, await(t, ended, "Run to return"))
				l.checkGone(t)
			}
		}
	})
}

// Start with a context that has ended starts nothing.
func TestStartThatCannotBe(t *testing.T) {
	gone := errors.New("gone before")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	l := newLab(t, nil, workers("lab", 1))
	require.ErrorIs(t, l.Start(ctx), gone)
	require.Empty(t, l.all())
	l = newLab(t, nil, workers("lab", 1))
	require.ErrorIs(t, l.Run(ctx), gone)
	require.Empty(t, l.all())
	require.ErrorIs(t, l.Wait(t.Context()), gone)
}

// A Main without workers is one, too: its actions and messages run.
func TestMainWithoutWorkers(t *testing.T) {
	l := newLab(t, nil)
	multiprolab.Handle(l, "quit", func(context.Context, struct{}) error { l.Exit(); return nil })
	l.Action(time.Hour, func(ctx context.Context) error { return multiprolab.Send(ctx, l, "main", "quit", nil) })
	ended := make(chan error, 1)
	go func() { ended <- l.Run(t.Context()) }()
	require.NoError(t, await(t, ended, "the end"))
}

// The context of Run reaches the handlers with its values.
func TestValuesOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		l := newLab(t, &multiprolab.Config{InProcess: true}, workers("lab", 1))
		got := make(chan any, 2)
		multiprolab.Handle(l, "x", func(ctx context.Context, _ struct{}) error { got <- ctx.Value(key{}); return nil })
		l.After(0, func(ctx context.Context) error { got <- ctx.Value(key{}); return nil })
		require.NoError(t, l.Start(context.WithValue(t.Context(), key{}, "value")))
		require.NoError(t, multiprolab.Send(t.Context(), l, "main", "x", nil))
		require.Equal(t, "value", <-got)
		require.Equal(t, "value", <-got)
		require.NoError(t, l.Close())
	})
}

var _ = program("who", func(_ context.Context, w *multiprolab.Worker, _ string) (string, error) {
	dir, err := os.Getwd()
	return fmt.Sprintf(
		"%s %s %d %d|%s|%s|%s",
		w.Name(),
		w.Pool(),
		w.Index(),
		w.Life(),
		dir,
		os.Getenv("LAB_A"),
		os.Getenv("LAB_B"),
	), err
})

// A worker knows its name, pool, number and life; its environment and directory are those of its
// config.
func TestIdentityOfWorkers(t *testing.T) {
	t.Setenv("LAB_A", "from main")
	t.Setenv("LAB_B", "from main")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	l := startLab(
		t,
		nil,
		pool{"prog", &multiprolab.WorkerConfig{Count: 2, Process: multiprolab.ProcessConfig{Dir: dir, Env: []string{"LAB_A=first", "LAB_A=last"}}}},
	)
	ask := func() string {
		got, err := multiprolab.Call[string](bounded(t), l, "prog/1", "program-call", order{"who", ""})
		require.NoError(t, err)
		return got
	}
	for life := 1; life <= 3; life++ {
		require.Equal(t, fmt.Sprintf("prog/1 prog 1 %d|%s|last|from main", life, dir), ask())
		if life == 3 {
			break
		}
		ready := waitEvent(
			t,
			l,
			func(e *multiprolab.WorkerReady) bool { return e.Worker == "prog/1" && e.Life == life },
		)
		require.NoError(t, killProcess(ready.PID))
		waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "prog/1" && e.Life == life+1 })
	}
	got, err := multiprolab.Call[string](bounded(t), l, "prog/0", "program-call", order{"who", ""})
	require.NoError(t, err)
	require.Contains(t, got, "prog/0 prog 0 1|")
}

func killProcess(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer p.Release()
	return p.Kill()
}

// A directory that is not there is an error that names it.
func TestDirThatIsNotThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not there")
	l := newLab(t, nil, pool{"lab", &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Dir: dir}}})
	err := l.Start(t.Context())
	var start *multiprolab.StartError
	require.ErrorAs(t, err, &start)
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "lab/0")
}
