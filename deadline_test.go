package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// timeLeft is what a function sees of the deadline of its context.
type timeLeft struct {
	Set     bool
	Left    time.Duration
	Derived bool // a context that is derived from it tells the same
}

func lookAtDeadline(ctx context.Context) timeLeft {
	due, ok := ctx.Deadline()
	child, cancel := context.WithCancel(context.WithValue(ctx, timeLeft{}, 1))
	defer cancel()
	childDue, childOK := child.Deadline()
	return timeLeft{ok, time.Until(due), ok == childOK && due.Equal(childDue)}
}

// endOf is how a context has ended.
type endOf struct{ Err, Derived, Cause string }

// awaitEnd waits for the end of a context.
func awaitEnd(ctx context.Context) endOf {
	child, cancel := context.WithCancel(ctx)
	defer cancel()
	<-child.Done()
	return endOf{ctx.Err().Error(), child.Err().Error(), context.Cause(ctx).Error()}
}

// The worker that looks at the deadlines of its contexts.
var _ = worker("watchman", func(ctx context.Context, w *multiprolab.Worker) error {
	look := func(ctx context.Context, _ int) (timeLeft, error) { return lookAtDeadline(ctx), nil }
	multiprolab.HandleTask(w, "look", look)
	multiprolab.HandleCall(w, "look", look)
	multiprolab.Handle(w, "look-message", func(ctx context.Context, _ int) error {
		return multiprolab.Send(context.Background(), w, "main", "saw", lookAtDeadline(ctx))
	})
	// An outer function passes its context on.
	multiprolab.HandleTask(w, "look-on", func(ctx context.Context, to string) (timeLeft, error) {
		if to == "" { // the other worker
			to = map[string]string{"watchman": "lookout", "lookout": "watchman"}[w.Pool()]
		}
		return multiprolab.Call[timeLeft](ctx, w, to, "look", 0)
	})
	multiprolab.HandleCall(w, "look-on", func(ctx context.Context, task string) (timeLeft, error) {
		return multiprolab.Do[timeLeft](ctx, w, task, 0)
	})
	multiprolab.HandleCall(w, "submit", func(ctx context.Context, _ int) (timeLeft, error) {
		f, err := multiprolab.Submit[timeLeft](ctx, w, "look-pulled", 0, nil)
		if err != nil {
			return timeLeft{}, err
		}
		return f.Wait(context.Background())
	})
	// Each of these waits for the end of its context and tells main how that was, by a message, for
	// nobody may wait for its result any more.
	tell := func(ctx context.Context) error {
		end := awaitEnd(ctx)
		if err := multiprolab.Send(context.Background(), w, "main", "ended", end); err != nil {
			return err
		}
		return ctx.Err()
	}
	beginAndTell := func(ctx context.Context, _ int) (int, error) {
		if err := multiprolab.Send(context.Background(), w, "main", "began", 0); err != nil {
			return 0, err
		}
		return 0, tell(ctx)
	}
	multiprolab.HandleTask(w, "begin-and-end", beginAndTell)
	multiprolab.HandleCall(w, "begin-and-end", beginAndTell)
	multiprolab.HandleTask(w, "end", func(ctx context.Context, _ int) (int, error) { return 0, tell(ctx) })
	multiprolab.HandleCall(w, "end", func(ctx context.Context, _ int) (int, error) { return 0, tell(ctx) })
	// One that returns a value, which is too late.
	multiprolab.HandleTask(w, "end-well", func(ctx context.Context, _ int) (string, error) {
		<-ctx.Done()
		return "well", nil
	})
	multiprolab.HandleTask(
		w,
		"sleep",
		func(ctx context.Context, d time.Duration) (int, error) { time.Sleep(d); return 0, nil },
	)
	multiprolab.HandleCall(
		w,
		"sleep",
		func(ctx context.Context, d time.Duration) (int, error) { time.Sleep(d); return 0, nil },
	)
	w.PullTasks("look-pulled")
	go func() { // ends with the worker
		for {
			task, err := w.Tasks().Get(context.Background())
			if err != nil {
				return
			}
			_ = task.Done(lookAtDeadline(task.Context()))
		}
	}()
	return nil
})

// The context of a function tells its deadline, whichever comes first: its own, or that of who
// waits for the outcome.
func TestDeadlineIsVisible(t *testing.T) {
	const short, long = time.Minute, time.Hour
	under := func(t *testing.T, d time.Duration) context.Context {
		ctx := t.Context()
		if d > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, d)
			t.Cleanup(cancel)
		}
		return ctx
	}
	do := func(task string, ctx, timeout time.Duration) func(*testing.T, *lab) (timeLeft, error) {
		return func(t *testing.T, l *lab) (timeLeft, error) {
			return multiprolab.DoWith[timeLeft](under(t, ctx), l, task, 0, &multiprolab.TaskOptions{Timeout: timeout})
		}
	}
	call := func(to, typ string, body any, ctx time.Duration) func(*testing.T, *lab) (timeLeft, error) {
		return func(t *testing.T, l *lab) (timeLeft, error) {
			return multiprolab.Call[timeLeft](under(t, ctx), l, to, typ, body)
		}
	}
	mapped := func(timeout time.Duration, ctx time.Duration) func(*testing.T, *lab) (timeLeft, error) {
		return func(t *testing.T, l *lab) (seen timeLeft, err error) {
			cfg := &multiprolab.MapConfig{Task: multiprolab.TaskOptions{Timeout: timeout}}
			for seen, err = range multiprolab.Map[timeLeft](under(t, ctx), l, "look", slices.Values(make([]int, 300)), cfg) {
				if err != nil {
					return seen, err
				}
			}
			return seen, err
		}
	}
	for _, c := range []struct {
		name string
		ask  func(*testing.T, *lab) (timeLeft, error)
		want time.Duration // 0: none
	}{
		{"a task's timeout", do("look", 0, short), short},
		{"the deadline of Do", do("look", short, 0), short},
		{"the timeout before the deadline", do("look", long, short), short},
		{"the deadline before the timeout", do("look", short, long), short},
		{"no deadline of a task", do("look", 0, 0), 0},
		{"a task that is pulled, its timeout", do("look-pulled", 0, short), short},
		{"a task that is pulled, the deadline of Do", do("look-pulled", short, long), short},
		{"a task that is pulled, none", do("look-pulled", 0, 0), 0},
		{"a call", call("watchman", "look", 0, short), short},
		{"a call without", call("watchman", "look", 0, 0), 0},
		{"a call to main", call("main", "look", 0, short), short},
		{"a call of a task", func(t *testing.T, l *lab) (timeLeft, error) {
			return multiprolab.DoWith[timeLeft](t.Context(), l, "look-on", "main", &multiprolab.TaskOptions{Timeout: short})
		}, short},
		{"a call of a task to a worker", func(t *testing.T, l *lab) (timeLeft, error) {
			return multiprolab.DoWith[timeLeft](under(t, short), l, "look-on", "", nil)
		}, short},
		{"a task of a call", call("lookout", "look-on", "look", short), short},
		{"a task of a call, pulled", call("lookout", "look-on", "look-pulled", short), short},
		{"the items of a Map", mapped(0, short), short},
		{"the items of a Map, their timeout", mapped(short, long), short},
		{"the items of a Map without", mapped(0, 0), 0},
		{"Submit, whose context limits the wait for room alone", func(t *testing.T, l *lab) (timeLeft, error) {
			f, err := multiprolab.Submit[timeLeft](under(t, short), l, "look", 0, nil)
			require.NoError(t, err)
			return f.Wait(t.Context())
		}, 0},
		{"Submit of a worker", call("watchman", "submit", 0, short), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Run("processes", func(t *testing.T) {
				l := newLab(t, nil, workers("watchman", 1), workers("lookout", 1))
				multiprolab.HandleCall(
					l,
					"look",
					func(ctx context.Context, _ int) (timeLeft, error) { return lookAtDeadline(ctx), nil },
				)
				require.NoError(t, l.Start(context.Background()))
				defer l.Close()
				seen, err := c.ask(t, l)
				require.NoError(t, err)
				require.True(t, seen.Derived, "a derived context tells something else")
				require.Equal(t, c.want > 0, seen.Set, "%v", seen.Left)
				if seen.Set {
					require.LessOrEqual(t, seen.Left, c.want)
					require.Greater(t, seen.Left, c.want-patience)
				}
			})
			t.Run("goroutines", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // where no time passes
					l := newLab(t, &multiprolab.Config{InProcess: true}, workers("watchman", 1), workers("lookout", 1))
					multiprolab.HandleCall(
						l,
						"look",
						func(ctx context.Context, _ int) (timeLeft, error) { return lookAtDeadline(ctx), nil },
					)
					require.NoError(t, l.Start(context.Background()))
					defer l.Close()
					seen, err := c.ask(t, l)
					require.NoError(t, err)
					require.True(t, seen.Derived, "a derived context tells something else")
					require.Equal(t, c.want > 0, seen.Set, "%v", seen.Left)
					if seen.Set {
						require.Equal(t, c.want, seen.Left)
					}
				})
			})
		})
	}
}

// The worker beside the watchman.
var _ = worker("lookout", setups["watchman"])

// HandlerTimeout is a deadline, too, if no other comes before: of handlers and actions.
func TestDeadlineOfHandlerTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(
			t,
			&multiprolab.Config{InProcess: true},
			pool{"watchman", &multiprolab.WorkerConfig{HandlerTimeout: time.Minute}},
		)
		saw := make(chan timeLeft, 1)
		multiprolab.Handle(l, "saw", func(_ context.Context, seen timeLeft) error { saw <- seen; return nil })
		l.RegisterWorker("actor", func(_ context.Context, w *multiprolab.Worker) error {
			w.After(0, func(ctx context.Context) error {
				return multiprolab.Send(context.Background(), w, "main", "saw", lookAtDeadline(ctx))
			})
			return nil
		}, &multiprolab.WorkerConfig{HandlerTimeout: 2 * time.Minute})
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		require.Equal(t, timeLeft{true, 2 * time.Minute, true}, <-saw, "an action")
		require.NoError(t, multiprolab.Send(t.Context(), l, "watchman", "look-message", 0))
		require.Equal(t, timeLeft{true, time.Minute, true}, <-saw, "a message")
		seen, err := multiprolab.Call[timeLeft](t.Context(), l, "watchman", "look", 0)
		require.NoError(t, err)
		require.Equal(t, timeLeft{true, time.Minute, true}, seen, "a call")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		seen, err = multiprolab.Call[timeLeft](ctx, l, "watchman", "look", 0)
		require.NoError(t, err)
		require.Equal(t, timeLeft{true, time.Second, true}, seen, "a call under a shorter deadline")
		seen, err = multiprolab.Do[timeLeft](t.Context(), l, "look", 0)
		require.NoError(t, err)
		require.False(t, seen.Set, "it is not for tasks")
	})
}

// What waits before it is handled has less time then: in the queue, in an inbox, for room in an
// inbox, and between two attempts. The timeout of a task begins with each start.
func TestDeadlineOfWhatWaits(t *testing.T) {
	run := func(name string, cfg *multiprolab.Config, want time.Duration, ask func(t *testing.T, ctx context.Context, l *lab) (timeLeft, error)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := *cfg
				c.InProcess = true
				l := newLab(t, &c, workers("watchman", 1), workers("lookout", 1))
				require.NoError(t, l.Start(context.Background()))
				defer l.Close()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				_, err := multiprolab.Submit[int](t.Context(), l, "sleep", 10*time.Minute, nil) // each has one to do
				require.NoError(t, err)
				_, err = multiprolab.Submit[int](t.Context(), l, "sleep", 10*time.Minute, nil)
				require.NoError(t, err)
				synctest.Wait()
				seen, err := ask(t, ctx, l)
				require.NoError(t, err)
				require.Equal(t, timeLeft{true, want, true}, seen)
			})
		})
	}
	plain := &multiprolab.Config{}
	run("in the queue", plain, 50*time.Minute, func(_ *testing.T, ctx context.Context, l *lab) (timeLeft, error) {
		return multiprolab.Do[timeLeft](ctx, l, "look", 0)
	})
	run(
		"a task with a timeout",
		plain,
		40*time.Minute,
		func(_ *testing.T, ctx context.Context, l *lab) (timeLeft, error) {
			return multiprolab.DoWith[timeLeft](ctx, l, "look", 0, &multiprolab.TaskOptions{Timeout: 40 * time.Minute})
		},
	)
	run("in an inbox", plain, 50*time.Minute, func(_ *testing.T, ctx context.Context, l *lab) (timeLeft, error) {
		return multiprolab.Call[timeLeft](ctx, l, "watchman", "look", 0)
	})
	run(
		"for room in an inbox",
		&multiprolab.Config{Window: smallWindow},
		50*time.Minute,
		func(t *testing.T, ctx context.Context, l *lab) (timeLeft, error) {
			for range 2 { // they are dead letters, and fill the window
				require.NoError(t, multiprolab.Send(t.Context(), l, "watchman", "nobodys", make([]byte, smallWindow)))
			}
			return multiprolab.Call[timeLeft](ctx, l, "watchman", "look", 0)
		},
	)
}

// At its deadline the context of a function ends as one with a deadline does, and so do those that
// are derived from it. The caller's error is that of the caller's context, or, of a timeout, a
// *TimeoutError.
func TestDeadlinePasses(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		exceeded := context.DeadlineExceeded.Error()
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("watchman", 1))
		ended := make(chan endOf, 1)
		multiprolab.Handle(l, "ended", func(_ context.Context, e endOf) error { ended <- e; return nil })
		require.NoError(t, l.Start(context.Background()))
		defer l.Close()
		cause := errors.New("the client's time is over")
		const d = 30 * time.Millisecond
		under := func() context.Context {
			ctx, cancel := context.WithTimeoutCause(context.Background(), d, cause)
			t.Cleanup(cancel)
			return ctx
		}
		for name, wait := range map[string]func(ctx context.Context) error{
			"Call": func(ctx context.Context) error {
				_, err := multiprolab.Call[int](ctx, l, "watchman", "end", 0)
				return err
			},
			"Do": func(ctx context.Context) error {
				_, err := multiprolab.DoWith[int](ctx, l, "end", 0, &multiprolab.TaskOptions{Grace: forever})
				return err
			},
			"Map": func(ctx context.Context) (last error) {
				for _, last = range multiprolab.Map[int](ctx, l, "end", slices.Values([]int{1}), &multiprolab.MapConfig{Task: multiprolab.TaskOptions{Grace: forever}}) {
				}
				return last
			},
			"Map, FailFast": func(ctx context.Context) (last error) {
				for _, last = range multiprolab.Map[int](ctx, l, "end", slices.Values([]int{1}), &multiprolab.MapConfig{FailFast: true, Task: multiprolab.TaskOptions{Grace: forever}}) {
				}
				return last
			},
		} {
			ctx := under()
			err := wait(ctx)
			require.ErrorIs(t, err, cause, name)
			require.Equal(t, endOf{exceeded, exceeded, exceeded}, await(t, ended, "the end of the context"), name)
		}
		for range 10 {
			_, err := multiprolab.DoWith[int](
				bounded(t),
				l,
				"end",
				0,
				&multiprolab.TaskOptions{Timeout: time.Millisecond, Grace: forever},
			)
			var timeout *multiprolab.TimeoutError
			require.ErrorAs(t, err, &timeout)
			require.False(t, timeout.Killed)
			require.Equal(t, endOf{exceeded, exceeded, exceeded}, await(t, ended, "the end of the context"))
			_, err = multiprolab.DoWith[string](
				bounded(t),
				l,
				"end-well",
				0,
				&multiprolab.TaskOptions{Timeout: time.Millisecond, Grace: forever},
			)
			require.ErrorAs(t, err, &timeout, "whoever has seen it first")
		}
	})
}

// A cancellation before the deadline is none that has passed.
func TestCancelledBeforeTheDeadline(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("watchman", 1))
		ended, began := make(chan endOf, 1), make(chan bool, 1)
		multiprolab.Handle(l, "began", func(context.Context, int) error { began <- true; return nil })
		multiprolab.Handle(l, "ended", func(_ context.Context, e endOf) error { ended <- e; return nil })
		require.NoError(t, l.Start(context.Background()))
		defer l.Close()
		canceled := context.Canceled.Error()
		for cause, wait := range map[string]func(ctx context.Context) error{
			canceled: func(ctx context.Context) error {
				_, err := multiprolab.Call[int](ctx, l, "watchman", "begin-and-end", 0)
				return err
			},
			multiprolab.ErrCancelled.Error(): func(ctx context.Context) error {
				_, err := multiprolab.DoWith[int](ctx, l, "begin-and-end", 0, &multiprolab.TaskOptions{Timeout: forever, Grace: forever})
				return err
			},
		} {
			ctx, cancel := context.WithTimeout(context.Background(), forever)
			got := make(chan error, 1)
			go func() { got <- wait(ctx) }() // ends with cancel
			await(t, began, "it to run")
			cancel()
			require.ErrorIs(t, await(t, got, "the end of the wait"), context.Canceled)
			require.Equal(t, endOf{canceled, canceled, cause}, await(t, ended, "the end of the context"))
		}
	})
}

// Progress of a task that has ended is an error, whichever way it is reported and however the task
// was ended.
func TestProgressAfterTheEnd(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("tardy", 1))
		for _, typ := range []string{"late", "late-error", "late-pulled", "late-failed"} {
			var reports []string
			o := &multiprolab.TaskOptions{OnProgress: func(_ context.Context, m *multiprolab.Message) {
				var s string
				require.NoError(t, m.Decode(&s))
				reports = append(reports, s)
			}}
			_, err := multiprolab.DoWith[int](bounded(t), l, typ, 0, o)
			require.Equal(t, typ == "late-error" || typ == "late-failed", err != nil, "%v", err)
			require.Equal(t, []string{"in time"}, reports)
			errs, err := multiprolab.Call[[]string](bounded(t), l, "tardy", "late-errors", 0)
			require.NoError(t, err)
			require.Len(t, errs, 2)
			for _, text := range errs {
				require.Contains(t, text, fmt.Sprintf("multiprolab: task %q (id ", typ))
				require.Contains(t, text, "has ended")
			}
		}
	})
}

// A worker that reports progress when its tasks have ended, and then tells the errors.
var _ = worker("tardy", func(_ context.Context, w *multiprolab.Worker) error {
	var mu sync.Mutex
	var last context.Context
	multiprolab.HandleCall(w, "late-errors", func(context.Context, int) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		return []string{
			fmt.Sprint(multiprolab.Progress(last, "late")),
			fmt.Sprint(multiprolab.TaskFrom(last).Progress(context.Background(), "late")),
		}, nil
	})
	report := func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		last = ctx
		return multiprolab.Progress(ctx, "in time")
	}
	multiprolab.HandleTask(w, "late", func(ctx context.Context, _ int) (int, error) { return 1, report(ctx) })
	multiprolab.HandleTask(w, "late-error", func(ctx context.Context, _ int) (int, error) {
		return 0, errors.Join(report(ctx), errors.New("it fails"))
	})
	w.PullTasks("late-pulled", "late-failed")
	go func() { // ends with the worker
		for {
			task, err := w.Tasks().Get(context.Background())
			if err != nil {
				return
			}
			if err = report(task.Context()); err == nil && task.Type == "late-failed" {
				err = errors.New("it fails")
			}
			if err != nil {
				_ = task.Fail(err)
			} else {
				_ = task.Done(1)
			}
		}
	}()
	return nil
})
