package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// clock notes at which time, counted from its start, something happened.
type clock struct {
	notes
	begun time.Time
}

func (c *clock) tick(what string) { c.add(fmt.Sprint(what, "@", time.Since(c.begun))) }

// The worker whose actions say to main when they run. Its setup takes its time.
var _ = worker("clockwork", func(ctx context.Context, w *multiprolab.Worker) error {
	tick := func(what string) func(context.Context) error {
		return func(ctx context.Context) error { return multiprolab.Send(ctx, w, "main", "tick", what) }
	}
	w.Action(2*time.Second, tick("action"))
	var again func(context.Context) error
	again = func(ctx context.Context) error {
		w.After(3*time.Second, again)
		return tick("again")(ctx)
	}
	w.After(3*time.Second, again)
	w.After(2500*time.Millisecond, tick("after"))
	multiprolab.HandleTask(
		w,
		"busy",
		func(ctx context.Context, d time.Duration) (int, error) { time.Sleep(d); return 0, nil },
	)
	time.Sleep(10 * time.Second)
	return nil
})

// Timers of main and of a worker run at their times, which count from the moment at which the loop
// begins.
func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true}, workers("clockwork", 1))
		var mine, theirs clock
		tick := func(what string) func(context.Context) error {
			return func(context.Context) error { mine.tick(what); return nil }
		}
		l.Action(4*time.Second, tick("action"))
		var again func(context.Context) error
		again = func(ctx context.Context) error {
			l.After(3*time.Second, again)
			return tick("again")(ctx)
		}
		l.After(3*time.Second, again)
		l.After(time.Second, tick("after"))
		l.After(0, tick("at once"))
		multiprolab.Handle(l, "tick", func(_ context.Context, what string) error { theirs.tick(what); return nil })
		mine.begun = time.Now().Add(10 * time.Second) // when every worker is ready
		theirs.begun = mine.begun
		require.NoError(t, l.Start(t.Context()))
		require.Equal(t, mine.begun, time.Now())
		time.Sleep(9500 * time.Millisecond)
		require.NoError(t, l.Close())
		require.Equal(
			t,
			[]string{
				"action@0s",
				"at once@0s",
				"after@1s",
				"again@3s",
				"action@4s",
				"again@6s",
				"action@8s",
				"again@9s",
			},
			mine.all(),
		)
		require.Equal(
			t,
			[]string{
				"action@0s",
				"action@2s",
				"after@2.5s",
				"again@3s",
				"action@4s",
				"action@6s",
				"again@6s",
				"action@8s",
				"again@9s",
			},
			theirs.all(),
		)
	})
}

// What an action misses while something else runs is left out; it does not come in a burst
// afterwards.
func TestTimersLeaveOutWhatTheyMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true}, workers("clockwork", 1))
		var mine, theirs clock
		first := true
		l.Action(time.Second, func(context.Context) error {
			mine.tick("action")
			if first {
				time.Sleep(3500 * time.Millisecond) // until 3.5 s
			}
			first = false
			return nil
		})
		multiprolab.Handle(l, "tick", func(_ context.Context, what string) error {
			if what == "action" {
				theirs.tick(what)
			}
			return nil
		})
		mine.begun = time.Now().Add(10 * time.Second)
		theirs.begun = mine.begun
		require.NoError(t, l.Start(t.Context()))
		_, err := multiprolab.Do[int](t.Context(), l, "busy", 7*time.Second)
		require.NoError(t, err)
		time.Sleep(3 * time.Second)
		require.NoError(t, l.Close())
		got := mine.all()
		require.Equal(t, []string{"action@0s", "action@3.5s"}, got[:2])
		require.Len(t, got, 8, "%v", got) // and one each second until ten
		// The worker's action was due at 0, 2, 4, 6, and ran when the task had ended.
		require.Len(t, theirs.all(), 3, "%v", theirs.all())
	})
}

// Action(0) runs on every turn, with the messages and tasks in between.
var _ = worker("spinner", func(ctx context.Context, w *multiprolab.Worker) error {
	turns := 0
	w.Action(0, func(context.Context) error { turns++; return nil })
	multiprolab.HandleCall(w, "turns", func(context.Context, struct{}) (int, error) { return turns, nil })
	multiprolab.HandleTask(w, "spinner-turns", func(context.Context, struct{}) (int, error) { return turns, nil })
	return nil
})

func TestActionOnEveryTurn(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("spinner", 1))
		turns, handled := 0, make(chan int, 100)
		l.Action(0, func(ctx context.Context) error {
			if turns++; turns <= 20 {
				return multiprolab.Send(ctx, l, "main", "turn", turns)
			}
			time.Sleep(time.Millisecond) // the user's own way not to take a whole core
			return nil
		})
		multiprolab.Handle(l, "turn", func(_ context.Context, n int) error {
			if n != turns { // handled between the turn of its sending and the next
				return fmt.Errorf("the message of turn %d was handled after turn %d", n, turns)
			}
			handled <- n
			return nil
		})
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		for i := range 20 {
			require.Equal(t, i+1, await(t, handled, "the message of a turn"))
		}
		last := 0
		for range 20 {
			n, err := multiprolab.Call[int](bounded(t), l, "spinner", "turns", nil)
			require.NoError(t, err)
			require.Greater(t, n, last)
			m, err := multiprolab.Do[int](bounded(t), l, "spinner-turns", nil)
			require.NoError(t, err)
			require.GreaterOrEqual(t, m, n) // a task has its place at the end of a turn
			last = m
		}
		require.NoError(t, l.Close())
		require.Empty(t, eventsOf[*multiprolab.HandlerFailed](l))
	})
}

// Receive and TryReceive handle messages inside an action, and are refused everywhere else.
func TestReceiveInAnAction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true}, workers("prog", 1))
		r := l.Receiver()
		var c clock
		l.Receiver().Handle("note", func(ctx context.Context, m *multiprolab.Message) error {
			var s string
			if err := m.Decode(&s); err != nil {
				return err
			}
			c.tick(s)
			_, err := r.TryReceive(ctx)
			c.tick(fmt.Sprint("in a handler: ", err != nil))
			return nil
		})
		ended := make(chan error, 1)
		l.After(0, func(ctx context.Context) error {
			ok, err := r.TryReceive(ctx)
			c.tick(fmt.Sprint("nothing there: ", ok, " ", err))
			c.tick("waits")
			derived, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			err = r.Receive(derived) // nothing comes
			c.tick(fmt.Sprint("timeout: ", errors.Is(err, context.DeadlineExceeded)))
			c.tick(fmt.Sprint("received: ", r.Receive(ctx)))
			err = r.Receive(ctx) // until exit
			c.tick("exit")
			ended <- err
			return err
		})
		c.begun = time.Now()
		require.NoError(t, l.Start(t.Context()))
		time.Sleep(3 * time.Second)
		require.NoError(t, multiprolab.Send(t.Context(), l, "prog", "program-message", order{"note to main", "hello"}))
		_, err := r.TryReceive(t.Context())
		require.ErrorContains(t, err, "only in an action")
		require.ErrorContains(t, r.Receive(t.Context()), "only in an action")
		_, err = runProgram(t, l, "receive", "")
		require.ErrorContains(t, err, "only in an action")
		time.Sleep(time.Second)
		require.NoError(t, l.Close())
		require.ErrorIs(t, <-ended, multiprolab.ErrExit)
		require.Equal(
			t,
			"nothing there: false <nil>@0s,waits@0s,timeout: true@1s,hello@3s,in a handler: true@3s,received: <nil>@3s,exit@4s",
			strings.Join(c.all(), ","),
		)
	})
}

var _ = program("receive", func(ctx context.Context, w *multiprolab.Worker, _ string) (string, error) {
	return "", w.Receiver().Receive(ctx)
})

// The contexts of actions end at exit with ErrExit, and what they return then is no failure; any
// other error ends the program.
func TestErrorsOfActions(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func(ctx context.Context) error
		want string
	}{
		{"its context", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, ""},
		{"the cause", func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("over: %w", context.Cause(ctx)) }, ""},
		{"another error", func(ctx context.Context) error { <-ctx.Done(); return errors.New("while it ended") }, "while it ended"},
		{"at once", func(ctx context.Context) error { return errors.New("no good") }, "no good"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, &multiprolab.Config{InProcess: true}, workers("lab", 1))
				l.Action(time.Second, c.act)
				later := 0
				l.After(time.Second, func(context.Context) error { later++; return nil })
				require.NoError(t, l.Start(t.Context()))
				synctest.Wait()
				if c.name != "at once" {
					l.Exit()
				}
				err := l.Wait(t.Context())
				if c.want == "" {
					require.NoError(t, err)
				} else {
					require.EqualError(t, err, c.want)
				}
				require.Zero(t, later)
			})
		})
	}
}

// The worker that hosts an event loop.
var _ = worker("host", func(ctx context.Context, w *multiprolab.Worker) error {
	w.Loop(func(ctx context.Context) error {
		if err := multiprolab.Send(ctx, w, "main", "note", "loop begins "+threadOf()); err != nil {
			return err
		}
		<-ctx.Done()
		_ = multiprolab.Send(
			context.WithoutCancel(ctx),
			w,
			"main",
			"note",
			fmt.Sprint("loop ends: ", context.Cause(ctx)),
		)
		return ctx.Err()
	})
	w.OnExit(func(ctx context.Context) error {
		return multiprolab.Send(ctx, w, "main", "note", "first registered, last called")
	})
	w.OnExit(func(ctx context.Context) error {
		return multiprolab.Send(ctx, w, "main", "note", "last registered, first called")
	})
	w.After(0, func(ctx context.Context) error { return multiprolab.Send(ctx, w, "main", "note", "action") })
	multiprolab.HandleTask(w, "host", func(context.Context, int) (string, error) { return threadOf(), nil })
	multiprolab.HandleCall(w, "host-call", func(context.Context, int) (string, error) { return threadOf(), nil })
	return nil
})

// w.Loop has the main thread; tasks, calls and actions are handled beside it; it returns on exit,
// and OnExit goes backwards after it.
func TestLoopOfAWorker(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("host", 1))
		var texts notes
		multiprolab.Handle(l, "note", func(_ context.Context, s string) error { texts.add(s); return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		for range 10 {
			thread, err := multiprolab.Do[string](bounded(t), l, "host", 1)
			require.NoError(t, err)
			if knowsThreads && !inProcess {
				require.Equal(t, "another thread", thread)
			}
			thread, err = multiprolab.Call[string](bounded(t), l, "host", "host-call", 1)
			require.NoError(t, err)
			if knowsThreads && !inProcess {
				require.Equal(t, "another thread", thread)
			}
		}
		eventually(t, "the loop and the action", func() bool { return texts.len() == 2 })
		require.NoError(t, l.Close())
		got := texts.all()
		slices.Sort(got[:2])
		require.Equal(t, "action", got[0])
		if knowsThreads && !inProcess {
			require.Equal(t, "loop begins main thread", got[1])
		}
		require.Equal(
			t,
			[]string{
				"loop ends: " + multiprolab.ErrExit.Error(),
				"last registered, first called",
				"first registered, last called",
			},
			got[2:],
		)
		require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
	})
}

// The worker whose loop ends by itself.
var _ = worker("leaver", func(ctx context.Context, w *multiprolab.Worker) error {
	var failure error
	leave := make(chan struct{})
	multiprolab.Handle(w, "leave", func(_ context.Context, text string) error {
		if text != "" {
			failure = errors.New(text)
		}
		close(leave)
		return nil
	})
	multiprolab.HandleTask(w, "life", func(context.Context, struct{}) (int, error) { return w.Life(), nil })
	w.Loop(func(ctx context.Context) error {
		select {
		case <-leave:
			return failure
		case <-ctx.Done():
			return nil
		}
	})
	return nil
})

// A loop that ends by itself ends its worker: with its error, or as one that has left and is not
// replaced.
func TestLoopThatEnds(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("leaver", 1))
		require.NoError(t, multiprolab.Send(bounded(t), l, "leaver", "leave", "the window was closed with a bang"))
		failed := waitEvent[*multiprolab.WorkerFailed](t, l, nil)
		require.ErrorContains(t, failed.Err, "with a bang")
		require.True(t, failed.Restart)
		life, err := multiprolab.Do[int](bounded(t), l, "life", nil)
		require.NoError(t, err)
		require.Equal(t, 2, life)
		require.NoError(t, multiprolab.Send(bounded(t), l, "leaver", "leave", ""))
		stopped := waitEvent[*multiprolab.WorkerStopped](t, l, nil)
		require.Equal(t, 2, stopped.Life)
		eventually(t, "the place to be empty", func() bool {
			_, err := multiprolab.Do[int](bounded(t), l, "life", nil)
			var none *multiprolab.NoWorkerError
			return errors.As(err, &none)
		})
		err = multiprolab.Send(bounded(t), l, "leaver", "leave", "")
		require.ErrorIs(t, err, multiprolab.ErrStopped)
		require.ErrorContains(t, err, "leaver/0")
	})
}

var _ = worker("ender", func(ctx context.Context, w *multiprolab.Worker) error {
	w.OnExit(func(context.Context) error { return errors.New("the lights are still on") })
	return nil
})

// An error of OnExit reaches main.
func TestErrorOfOnExit(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("ender", 1))
		require.NoError(t, l.Start(t.Context()))
		_ = l.Close()
		failed := waitEvent[*multiprolab.WorkerFailed](t, l, nil)
		require.ErrorContains(t, failed.Err, "the lights are still on")
	})
}
