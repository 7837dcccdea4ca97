package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The worker that fails once too often when it is told to, and one that tells in its exit value
// which errors it gets when the program ends.
var (
	_ = worker("flimsy", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.Handle(w, "fail", func(context.Context, int) error {
			w.After(0, func(context.Context) error { return errors.New("it has had enough") })
			return nil
		})
		return nil
	})
	_ = worker("heir", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "inherit", func(ctx context.Context, _ int) (int, error) { return 0, nil })
		multiprolab.HandleCall(w, "inherit", func(ctx context.Context, _ int) (int, error) { return 0, nil })
		w.PullTasks("nothing")
		w.OnExit(func(ctx context.Context) error {
			var wrong []string
			for name, try := range map[string]func() error{
				"GetTask": func() error { _, err := w.Tasks().Get(ctx); return err },
				"Do":      func() error { _, err := multiprolab.Do[int](ctx, w, "inherit", 0); return err },
				"Submit": func() error {
					f, err := multiprolab.Submit[int](ctx, w, "inherit", 0, nil)
					if err == nil {
						_, err = f.Wait(ctx)
					}
					return err
				},
			} {
				if err := saysWhy(try()); err != nil {
					wrong = append(wrong, fmt.Sprintf("%s: %v", name, err))
				}
			}
			return w.SetExitValue(strings.Join(wrong, "; "))
		})
		return nil
	})
)

// saysWhy returns an error unless err says that the program has ended because flimsy/0 failed too
// often.
func saysWhy(err error) error {
	limit, ok := errors.AsType[*multiprolab.RestartLimitError](err)
	switch {
	case !errors.Is(err, multiprolab.ErrStopped):
		return fmt.Errorf("it does not match ErrStopped: %w", err)
	case !ok:
		return fmt.Errorf("there is no *RestartLimitError in it: %w", err)
	case limit.Worker != "flimsy/0" || !strings.Contains(err.Error(), "it has had enough"):
		return fmt.Errorf("it names another cause: %w", err)
	}
	return nil
}

// A program that ends of an error tells it by an event and a record, and by every error that
// follows, in main and in the workers.
func TestEndTellsItsCause(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(
			t,
			&multiprolab.Config{InProcess: inProcess},
			pool{"flimsy", &multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 1}, RestartDelay: 1, RestartMaxDelay: 1}},
			workers("heir", 2),
		)
		require.NoError(t, l.Start(context.Background()))
		require.NoError(t, l.Cause())
		pending, err := multiprolab.Submit[int](t.Context(), l, "inherit", 0, &multiprolab.TaskOptions{Delay: forever})
		require.NoError(t, err)
		for life := 1; life <= 2; life++ {
			waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "flimsy/0" && e.Life == life })
			require.NoError(t, multiprolab.Send(bounded(t), l, "flimsy", "fail", 0))
		}
		ending := waitEvent[*multiprolab.ProgramEnding](t, l, nil)
		require.True(t, ending.Failed)
		limit, ok := errors.AsType[*multiprolab.RestartLimitError](ending.Cause)
		require.True(t, ok, "%v", ending.Cause)
		require.ErrorIs(t, l.Cause(), limit)

		check := func(when string) {
			t.Helper()
			for name, try := range map[string]func() error{
				"Do":        func() error { _, err := multiprolab.Do[int](bounded(t), l, "inherit", 0); return err },
				"Submit":    func() error { _, err := multiprolab.Submit[int](bounded(t), l, "inherit", 0, nil); return err },
				"TrySubmit": func() error { _, err := l.Tasks().TrySubmit(bounded(t), "inherit", 0, nil); return err },
				"Map": func() (last error) {
					for _, last = range multiprolab.Map[int](bounded(t), l, "inherit", slices.Values([]int{1}), nil) {
					}
					return last
				},
				"a task that waited":       func() error { _, err := pending.Wait(bounded(t)); return err },
				"a call to flimsy":         func() error { _, err := multiprolab.Call[int](bounded(t), l, "flimsy", "inherit", 0); return err },
				"a message to flimsy":      func() error { return multiprolab.Send(bounded(t), l, "flimsy", "inherit", 0) },
				"Resize":                   func() error { return l.Resize("heir", 3) },
				"Restart":                  func() error { return l.Restart(bounded(t), "heir") },
				"a call to one that ended": func() error { _, err := multiprolab.Call[int](bounded(t), l, "heir", "inherit", 0); return err },
				"a message to it":          func() error { return multiprolab.Send(bounded(t), l, "heir", "inherit", 0) },
				"a broadcast":              func() error { return multiprolab.Broadcast(bounded(t), l, "heir", "inherit", 0) },
			} {
				if when != "later" && strings.Contains(name, "ended") || name == "a message to it" ||
					name == "a broadcast" {
					continue // it may still be taken
				}
				err := try()
				if strings.Contains(name, "flimsy") { // it is gone itself, and the program with it
					err = errors.Join(err, multiprolab.ErrStopped)
				}
				require.NoError(t, saysWhy(err), "%s, %s", name, when)
			}
		}
		check("at once")
		require.ErrorIs(t, l.Wait(bounded(t)), limit)
		check("later")
		require.ErrorIs(t, l.Cause(), limit)
		require.Len(t, eventsOf[*multiprolab.ProgramEnding](l), 1)
		var records []string
		for line := range strings.Lines(l.log.String()) {
			if strings.Contains(line, `msg="multiprolab: the program ends"`) {
				records = append(records, line)
			}
		}
		require.Len(t, records, 1)
		require.Contains(t, records[0], "level=ERROR")
		require.Contains(
			t,
			records[0],
			"worker flimsy/0 failed again after 1 restarts within 1m0s; the last cause: flimsy/0: it has had enough",
		)
		for i := range 2 {
			name := fmt.Sprint("heir/", i)
			stopped := waitEvent(t, l, func(e *multiprolab.WorkerStopped) bool { return e.Worker == name })
			var wrong string
			require.NoError(t, stopped.Decode(&wrong))
			require.Empty(t, wrong, name)
		}
	})
}

// An action of main that fails, and a worker that does not start, are such errors, too.
func TestEndTellsItsCause_OtherErrors(t *testing.T) {
	l := newLab(t, &multiprolab.Config{InProcess: true}, workers("lab", 1))
	failure := errors.New("the action fails")
	l.After(0, func(context.Context) error { return failure })
	require.Equal(t, failure, l.Run(t.Context()))
	require.Equal(t, failure, l.Cause())
	ending := waitEvent[*multiprolab.ProgramEnding](t, l, nil)
	require.Equal(t, &multiprolab.ProgramEnding{Cause: failure, Failed: true, At: ending.At}, ending)
	_, err := multiprolab.Do[int](t.Context(), l, "double", 1)
	require.ErrorIs(t, err, failure)
	require.ErrorIs(t, err, multiprolab.ErrStopped)

	l = newLab(t, &multiprolab.Config{InProcess: true}, workers("first-misfit", 1))
	started := l.Start(t.Context())
	require.Error(t, started)
	require.Equal(t, started, l.Cause())
	require.True(t, waitEvent[*multiprolab.ProgramEnding](t, l, nil).Failed)
	_, err = multiprolab.Do[int](t.Context(), l, "double", 1)
	start, ok := errors.AsType[*multiprolab.StartError](err)
	require.True(t, ok, "%v", err)
	require.ErrorIs(t, started, start)

	l = newLab(t, &multiprolab.Config{InProcess: true, Window: -1})
	started = l.Start(t.Context())
	require.Equal(t, started, l.Cause())
	_, err = multiprolab.Do[int](t.Context(), l, "double", 1)
	require.ErrorIs(t, err, started)
}

// An end that somebody has asked for is no error: its record is for who looks for it, and the cause
// says who asked.
func TestEndThatWasAskedFor(t *testing.T) {
	for _, way := range ends {
		t.Run(way.name, func(t *testing.T) {
			l := newLab(t, &multiprolab.Config{InProcess: true}, workers("shutdown-quitter", 1), workers("lab", 1))
			ctx, cancel := context.WithCancelCause(context.Background())
			require.NoError(t, l.Start(ctx))
			way.end(l, func() { cancel(errBored) })
			require.NoError(t, l.Wait(bounded(t)))
			ending := waitEvent[*multiprolab.ProgramEnding](t, l, nil)
			require.False(t, ending.Failed)
			require.ErrorIs(t, ending.Cause, multiprolab.ErrExit)
			require.Equal(t, l.Cause(), ending.Cause)
			_, err := multiprolab.Do[int](bounded(t), l, "double", 1)
			require.ErrorIs(t, err, multiprolab.ErrStopped)
			if way.name == "the context" {
				for _, err := range []error{err, l.Cause()} {
					require.ErrorIs(t, err, errBored)
					require.ErrorIs(t, err, context.Canceled)
				}
			} else {
				require.Equal(t, multiprolab.ErrExit, l.Cause())
				require.Equal(t, multiprolab.ErrStopped, err)
			}
			require.NotContains(t, l.log.String(), "level=ERROR")
			require.Regexp(t, `level=DEBUG msg="multiprolab: the program ends" cause=`, l.log.String())
		})
	}
}

// The first cause stands: an error that comes out of the end is Run's to return, and has not caused
// it.
func TestEndFirstCauseStands(t *testing.T) {
	l := newLab(t, &multiprolab.Config{InProcess: true}, workers("lab", 1))
	failure := errors.New("it fails since the program ends")
	l.After(0, func(ctx context.Context) error {
		l.Exit()
		<-ctx.Done()
		return failure
	})
	require.Equal(t, failure, l.Run(t.Context()))
	require.Equal(t, multiprolab.ErrExit, l.Cause())
	require.False(t, waitEvent[*multiprolab.ProgramEnding](t, l, nil).Failed)
}

// A worker that is taken out of the program because a fellow of its group failed too often says so
// as soon as nothing is taken for it any more, and not only once it is gone.
func TestEndOfAGroupTellsItsCause(t *testing.T) {
	g := newGate(t)
	guest := quickly("guest", 1)
	guest.cfg.Process.Env = []string{gateVar + "=" + g.addr()}
	l := newLab(t, nil, guest, pool{"flimsy", &multiprolab.WorkerConfig{Restart: multiprolab.RestartNever}})
	l.RegisterGroup(multiprolab.AllForOne, "guest", "flimsy")
	require.NoError(t, l.Start(context.Background()))
	defer l.Close()
	held := l.submit(t, "visit", g.visit("held"), nil)
	v := g.expect(t, "held")
	require.NoError(t, multiprolab.Send(bounded(t), l, "flimsy", "fail", 0))
	exit := g.expect(t, "exit") // the guest is told to exit, and has a task to finish
	for range 2 {
		_, err := multiprolab.Call[int](bounded(t), l, "guest", "visit-call", 0)
		remote, ok := errors.AsType[*multiprolab.RemoteError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, "flimsy/0", remote.Worker)
		require.ErrorIs(t, err, multiprolab.ErrStopped)
		if exit != nil {
			exit.tell("")
			v.tell("done")
			text, err := outcome(t, held)
			require.NoError(t, err)
			require.Equal(t, "done", text)
			waitEvent(t, l, func(e *multiprolab.WorkerStopped) bool { return e.Worker == "guest/0" })
			exit = nil
		}
	}
}

// A program that says which signal has ended it, and ends as a shell expects.
var _ = scenario("signal-cause", func() {
	app := multiprolab.New(nil)
	app.RegisterWorker("lab", setups["lab"], nil)
	app.After(0, func(context.Context) error { fmt.Println("it runs"); return nil })
	if err := app.Run(context.Background()); err != nil {
		fmt.Println("Run:", err)
		os.Exit(1)
	}
	_, err := multiprolab.Do[int](context.Background(), app, "double", 1)
	fmt.Println("Do:", err, errors.Is(err, multiprolab.ErrStopped))
	if sig, ok := errors.AsType[*multiprolab.SignalError](app.Cause()); ok && errors.Is(err, sig) {
		fmt.Println("Cause:", sig, sig.Signal, errors.Is(sig, multiprolab.ErrExit))
		os.Exit(sig.ExitCode())
	}
})

// Which signal has ended Run is known afterwards.
func TestEndOfASignal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals")
	}
	for _, c := range []struct {
		name, text string
		code       int
	}{{"SIGINT", "interrupt", 130}, {"SIGTERM", "terminated", 143}} {
		p := startMain(t, "signal-cause")
		eventually(t, "it to run", func() bool { return strings.Contains(p.out.String(), "it runs") })
		require.NoError(t, signalProcess(p.Process.Pid, c.name))
		_ = p.wait(t)
		require.Equal(t, c.code, p.ProcessState.ExitCode(), "%s", p.out)
		require.Contains(
			t,
			p.out.String(),
			fmt.Sprintf("Do: multiprolab: stopped: the program was ended by %s true\n", c.name),
		)
		require.Contains(
			t,
			p.out.String(),
			fmt.Sprintf("Cause: multiprolab: the program was ended by %s %s true\n", c.name, c.text),
		)
		require.NotContains(t, p.out.String(), "ERROR")
	}
}

// The cause of an end crosses a wire, and stays what it is.
func TestSignalErrorCrosses(t *testing.T) {
	sig := &multiprolab.SignalError{Signal: os.Interrupt}
	got := multiprolab.AcrossAWire(fmt.Errorf("it ends: %w", sig))
	same, ok := errors.AsType[*multiprolab.SignalError](got)
	require.True(t, ok, "%v", got)
	require.Equal(t, sig, same)
	require.ErrorIs(t, got, multiprolab.ErrExit)
	require.Equal(t, 130, same.ExitCode())
	require.Equal(t, 1, (&multiprolab.SignalError{Signal: strangeSignal{}}).ExitCode())
	require.Equal(
		t,
		"multiprolab: the program was ended by a strange signal",
		(&multiprolab.SignalError{Signal: strangeSignal{}}).Error(),
	)
}

type strangeSignal struct{}

func (strangeSignal) String() string { return "a strange signal" }
func (strangeSignal) Signal()        {}
