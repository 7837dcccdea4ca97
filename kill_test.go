package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// forever is a time that no test lives to see.
const forever = time.Hour

// TestB01_DeadlineStopsLoop: a deadline really stops `for {}`.
func TestB01_DeadlineStopsLoop(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("guest", 2))
	for range 2 {
		o := &multiprolab.TaskOptions{Timeout: 50 * time.Millisecond, Grace: 50 * time.Millisecond}
		_, err := multiprolab.DoWith[int](bounded(t), l, "guest-spin", nil, o)
		var timeout *multiprolab.TimeoutError
		require.ErrorAs(t, err, &timeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, "guest-spin", timeout.Type)
		require.Equal(t, o.Timeout, timeout.Timeout)
		require.True(t, timeout.Killed)
		require.ErrorContains(
			t,
			err,
			fmt.Sprintf(
				"ran past its timeout of 50ms on worker %s (pid %d), which was killed",
				timeout.Worker,
				timeout.PID,
			),
		)
		require.False(t, alive(timeout.PID), "process %d is left", timeout.PID)

		failed := waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.PID == timeout.PID })
		require.Equal(t, timeout.Worker, failed.Worker)
		require.ErrorContains(t, failed.Err, "did not return within the grace of 50ms")
		// The pool is back to its size: the replacement and the other worker hold a task each.
		require.NotContains(t, g.holdAll(t, l, 2), timeout.PID)
	}
}

// TestB01_Retry: an attempt that ran out of time is final, whatever attempts are left: it is an
// outcome, not a death.
func TestB01_NoRetry(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("guest", 1))
	f := l.submit(
		t,
		"visit",
		g.visit("once"),
		&multiprolab.TaskOptions{Timeout: time.Millisecond, Grace: time.Millisecond, Attempts: 5,
			Retry: multiprolab.RetryPolicy{On: multiprolab.RetryDeaths | multiprolab.RetryErrors}},
	)
	var timeout *multiprolab.TimeoutError
	_, err := outcome(t, f)
	require.ErrorAs(t, err, &timeout)
	require.Equal(t, 2, l.who(t).Life)
}

// TestB03_DeadlineFromStart: the time of a task runs from its start on a worker, not while it is
// queued. The clock is that of the bubble.
func TestB03_DeadlineFromStart(t *testing.T) {
	for _, prefetch := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, &multiprolab.Config{InProcess: true})
			l.RegisterWorker("sleeper", func(_ context.Context, w *multiprolab.Worker) error {
				multiprolab.HandleTask(w, "sleep", func(ctx context.Context, d time.Duration) (string, error) {
					select {
					case <-time.After(d):
						return "slept", nil
					case <-ctx.Done():
						return "", context.Cause(ctx)
					}
				})
				return nil
			}, &multiprolab.WorkerConfig{Prefetch: prefetch})
			require.NoError(t, l.Start(t.Context()))
			defer l.Close()
			begin := time.Now()
			first, err := multiprolab.Submit[string](t.Context(), l, "sleep", 10*time.Minute, nil)
			require.NoError(t, err)
			o := &multiprolab.TaskOptions{Timeout: time.Minute}
			short, err := multiprolab.Submit[string](t.Context(), l, "sleep", 50*time.Second, o)
			require.NoError(t, err)
			long, err := multiprolab.Submit[string](t.Context(), l, "sleep", 70*time.Second, o)
			require.NoError(t, err)
			_, err = first.Wait(t.Context())
			require.NoError(t, err)
			_, err = short.Wait(t.Context())
			require.NoError(t, err, "it waited for longer than its timeout, and ran for less")
			_, err = long.Wait(t.Context())
			var timeout *multiprolab.TimeoutError
			require.ErrorAs(t, err, &timeout)
			require.False(t, timeout.Killed)
			require.Equal(t, 10*time.Minute+50*time.Second+time.Minute, time.Since(begin))
		})
	}
}

// TestB05_CancelRunning: the caller gets ErrCancelled. A handler that heeds its context keeps its
// worker (B12), one that does not is killed.
func TestB05_CancelRunning(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("guest", 1))
	f := l.submit(t, "visit-soft", g.visit("soft"), &multiprolab.TaskOptions{Grace: forever})
	v := g.expect(t, "soft")
	f.Cancel()
	_, err := outcome(t, f)
	require.ErrorIs(t, err, multiprolab.ErrCancelled)
	require.Equal(t, whoami{v.pid, 1, 1}, l.who(t), "the worker was not kept")

	f = l.submit(t, "visit", g.visit("hard"), &multiprolab.TaskOptions{Grace: 20 * time.Millisecond})
	v = g.expect(t, "hard")
	f.Cancel()
	f.Cancel() // twice is once
	behind := l.submit(t, "visit", g.visit("behind"), nil)
	_, err = outcome(t, f)
	require.ErrorIs(t, err, multiprolab.ErrCancelled)
	require.False(t, alive(v.pid), "process %d is left", v.pid)
	next := g.expect(t, "behind")
	require.NotEqual(t, v.pid, next.pid)
	next.tell("done")
	text, err := outcome(t, behind)
	require.NoError(t, err)
	require.Equal(t, "done", text)
	f.Cancel() // long over
	require.Equal(t, multiprolab.TaskStats{Received: 4, Succeeded: 2, Cancelled: 2}, l.Tasks().Stats())
}

// TestB05_DoIsCancelled: the end of Do's context cancels its task, and the error says why the
// context ended.
func TestB05_DoIsCancelled(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("guest", 1))
	cause := errors.New("the client has hung up")
	for i, typ := range []string{"visit-soft", "visit"} {
		// one that heeds its context has all the time that a busy machine takes
		grace := []time.Duration{forever, 20 * time.Millisecond}[i]
		ctx, cancel := context.WithCancelCause(bounded(t))
		got := make(chan error, 1)
		go func() { // ends with the cancellation
			_, err := multiprolab.DoWith[string](ctx, l, typ, g.visit(typ), &multiprolab.TaskOptions{Grace: grace})
			got <- err
		}()
		v := g.expect(t, typ)
		cancel(cause)
		require.ErrorIs(t, await(t, got, "Do to return"), cause)
		await(t, v.lost, "the handler to end")
		who := l.who(t)
		require.Equal(t, i == 0, who.PID == v.pid)
	}
}

// TestB05_CancelCall: a call that nobody waits for any more has its context ended, and hurts
// nobody.
func TestB05_CancelCall(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("guest", 1))
	ctx, cancel := context.WithCancel(bounded(t))
	got := make(chan error, 1)
	go func() { // ends with the cancellation
		_, err := multiprolab.Call[string](ctx, l, "guest", "visit-call", g.visit("call"))
		got <- err
	}()
	v := g.expect(t, "call")
	cancel()
	require.ErrorIs(t, await(t, got, "Call to return"), context.Canceled)
	v.tell("too late")
	require.Equal(t, whoami{v.pid, 1, 1}, l.who(t))
}

// TestB06_CancelQueued: a task that is cancelled before it began never runs and costs no worker;
// those behind it run. So with one that is in the queue as with one that a worker has prefetched.
func TestB06_CancelQueued(t *testing.T) {
	for _, prefetch := range []int{0, 10} {
		t.Run(fmt.Sprint("prefetch ", prefetch), func(t *testing.T) {
			p := quickly("guest", 1)
			p.cfg.Prefetch = prefetch
			g, l := newGate(t), startLab(t, nil, p)
			warm := uint64(0)
			if prefetch > 0 {
				l.warmUp(t)
				warm = warmTasks
			}
			// should it run after all, it would be the death of the worker
			o := &multiprolab.TaskOptions{Grace: time.Nanosecond}
			running := l.submit(t, "visit", g.visit("running"), o)
			v := g.expect(t, "running")
			var queued []*multiprolab.Future[string]
			for i := range 6 {
				queued = append(queued, l.submit(t, "visit", g.visit(fmt.Sprint("queued ", i)), o))
			}
			for i := 0; i < 6; i += 2 {
				queued[i].Cancel()
			}
			for i := 0; i < 6; i += 2 {
				_, err := outcome(t, queued[i]) // while the worker is busy
				require.ErrorIs(t, err, multiprolab.ErrCancelled)
			}
			v.tell("done")
			_, err := outcome(t, running)
			require.NoError(t, err)
			for i := 1; i < 6; i += 2 {
				v := g.expect(t, fmt.Sprint("queued ", i))
				v.tell("done")
				_, err := outcome(t, queued[i])
				require.NoError(t, err)
			}
			require.Equal(t, whoami{v.pid, 1, 1}, l.who(t))
			g.quiet(t)
			require.Equal(
				t,
				multiprolab.TaskStats{Received: 8 + warm, Succeeded: 5 + warm, Cancelled: 3},
				l.Tasks().Stats(),
			)
		})
	}
}

// TestB06_CancelRace: a cancellation that meets its task anywhere between the queue and the handler
// is never lost: with an endless grace, a task whose cancellation went astray would run for ever.
func TestB06_CancelRace(t *testing.T) {
	p := quickly("guest", 2)
	p.cfg.Prefetch = 1
	g, l := newGate(t), startLab(t, nil, p)
	before := g.holdAll(t, l, 2)
	for range 200 {
		var tasks []*multiprolab.Future[string]
		for range 5 {
			tasks = append(tasks, l.submit(t, "wait", nil, &multiprolab.TaskOptions{Grace: forever}))
		}
		for _, f := range tasks {
			f.Cancel()
		}
		for _, f := range tasks {
			_, err := outcome(t, f)
			require.ErrorIs(t, err, multiprolab.ErrCancelled)
		}
	}
	require.Equal(t, before, g.holdAll(t, l, 2))
}

// TestB07_NothingForTheCondemned: a worker whose task is cancelled and does not end gets no further
// task, though it has room for some.
func TestB07_NothingForTheCondemned(t *testing.T) {
	for _, how := range []string{"cancelled", "timed out"} {
		t.Run(how, func(t *testing.T) {
			p := quickly("guest", 2)
			p.cfg.Prefetch = 3
			g, l := newGate(
				t,
			), startLab(
				t,
				&multiprolab.Config{ShutdownTimeout: time.Nanosecond, KillTimeout: time.Nanosecond},
				p,
			)
			l.warmUp(t)
			o := &multiprolab.TaskOptions{Grace: forever}
			if how == "timed out" {
				o.Timeout = time.Nanosecond
			}
			stuck := l.submit(t, "cause", g.visit("stuck"), o)
			if how == "cancelled" {
				g.expect(t, "stuck")
				stuck.Cancel()
				g.expect(t, "cancelled true, deadline false")
			} else if v := g.next(t); v.label == "stuck" { // else it was too late even for that
				g.expect(t, "cancelled false, deadline true")
			}
			for i := range 3 {
				var tasks []*multiprolab.Future[string]
				for range 4 {
					tasks = append(tasks, l.submit(t, "visit", g.visit(fmt.Sprint("round ", i)), nil))
				}
				pids := map[int]bool{}
				// in any order: main may give some to the one that is stuck, before its time is up
				// there
				for range tasks {
					v := g.expect(t, fmt.Sprint("round ", i))
					pids[v.pid] = true
					v.tell("done")
				}
				require.Len(t, pids, 1, "all on the other worker")
				for _, f := range tasks {
					_, err := outcome(t, f)
					require.NoError(t, err)
				}
			}
			select {
			case <-stuck.Done():
				require.FailNow(t, "the condemned task ended")
			default:
			}
			require.NoError(t, ignore[*multiprolab.ShutdownError](l.Stop(bounded(t), multiprolab.KillAll)))
			_, err := outcome(t, stuck)
			if how == "cancelled" {
				require.ErrorIs(t, err, multiprolab.ErrCancelled)
			} else {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
		})
	}
}

// TestB07_NothingForTheCondemnedThatPulls is the same for a worker that takes tasks by itself.
func TestB07_NothingForTheCondemnedThatPulls(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("kill-puller", 2))
	stuck := l.submit(t, "pulled", g.visit("stuck"), &multiprolab.TaskOptions{Grace: forever})
	v := g.expect(t, "stuck")
	stuck.Cancel()
	b, c := l.submit(t, "pulled", g.visit("b"), nil), l.submit(t, "pulled", g.visit("c"), nil)
	first, second := g.next(t), g.next(t)
	require.NotEqual(t, v.pid, first.pid)
	require.Equal(t, first.pid, second.pid)
	d := l.submit(t, "pulled", g.visit("d"), nil)
	first.tell("done")
	third := g.expect(t, "d")
	require.Equal(t, first.pid, third.pid)
	v.tell("done") // within the grace: the worker is back
	_, err := outcome(t, stuck)
	require.ErrorIs(t, err, multiprolab.ErrCancelled)
	e := l.submit(t, "pulled", g.visit("e"), nil)
	fourth := g.expect(t, "e")
	for _, v := range []*visitor{second, third, fourth} {
		v.tell("done")
	}
	for _, f := range []*multiprolab.Future[string]{b, c, d, e} {
		_, err := outcome(t, f)
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
}

// The puller works on two tasks at a time.
var _ = worker("kill-puller", func(_ context.Context, w *multiprolab.Worker) error {
	w.PullTasks("pulled")
	w.Loop(func(ctx context.Context) error {
		ended := make(chan error)
		for range 2 {
			go func() { // ends with the exit
				for {
					task, err := w.Tasks().Get(ctx)
					if err != nil {
						ended <- err
						return
					}
					var v visit
					if err := task.Decode(&v); err != nil {
						_ = task.Fail(err)
						continue
					}
					orders, err := v.wait()
					if err != nil {
						_ = task.Fail(err)
						continue
					}
					_ = task.Done(orders)
				}
			}()
		}
		return errors.Join(<-ended, <-ended)
	})
	return nil
})

// TestB08_ContextIsOver: with a context that has ended nothing is sent, and the error says why it
// ended.
func TestB08_ContextIsOver(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, workers("guest", 1))
	cause := errors.New("nobody wants it any more")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	expired, cancelExpired := context.WithDeadline(context.Background(), time.Now())
	defer cancelExpired()
	for name, fn := range map[string]func(context.Context) error{
		"Submit": func(ctx context.Context) error {
			_, err := multiprolab.Submit[string](ctx, l, "visit", g.visit("never"), nil)
			return err
		},
		"TrySubmit": func(ctx context.Context) error {
			_, err := l.Tasks().TrySubmit(ctx, "visit", g.visit("never"), nil)
			return err
		},
		"Do": func(ctx context.Context) error {
			_, err := multiprolab.Do[string](ctx, l, "visit", g.visit("never"))
			return err
		},
		"Call": func(ctx context.Context) error {
			_, err := multiprolab.Call[string](ctx, l, "guest", "visit-call", g.visit("never"))
			return err
		},
		"Send": func(ctx context.Context) error {
			return multiprolab.Send(ctx, l, "guest", "visit-message", g.visit("never"))
		},
		"Broadcast": func(ctx context.Context) error {
			return multiprolab.Broadcast(ctx, l, "guest", "visit-message", g.visit("never"))
		},
	} {
		require.ErrorIs(t, fn(ctx), cause, name)
		require.ErrorIs(t, fn(expired), context.DeadlineExceeded, name)
	}
	require.Zero(t, l.Tasks().Stats())
	require.Equal(t, 1, l.who(t).Life) // everything that was sent has been handled by now
	g.quiet(t)
}

// TestB09_LateOutcome: what a handler returns after its task was cancelled or timed out changes
// nothing.
func TestB09_LateOutcome(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("guest", 1))
	first := l.who(t)
	for i, orders := range []string{"too late", "fail too late", "too late", "fail too late"} {
		o := &multiprolab.TaskOptions{Grace: forever}
		if i >= 2 {
			o.Timeout = 20 * time.Millisecond
		}
		f := l.submit(t, "cause", g.visit("late"), o)
		v := g.next(t)
		if v.label == "late" {
			if i < 2 {
				f.Cancel()
			}
			v = g.next(t)
		}
		require.Equal(t, fmt.Sprintf("cancelled %v, deadline %v", i < 2, i >= 2), v.label)
		v.tell(orders)
		text, err := outcome(t, f)
		require.Empty(t, text)
		if i < 2 {
			require.ErrorIs(t, err, multiprolab.ErrCancelled)
		} else {
			var timeout *multiprolab.TimeoutError
			require.ErrorAs(t, err, &timeout)
			require.False(t, timeout.Killed)
			require.Equal(t, first.PID, timeout.PID)
		}
		f.Cancel()
		again, err2 := f.Wait(bounded(t))
		require.Empty(t, again)
		require.Equal(t, err, err2)
		require.Equal(t, first, l.who(t), "B12: a handler that returns within the grace keeps its worker")
	}
	require.Equal(t, multiprolab.TaskStats{Received: 9, Succeeded: 5, Cancelled: 2, Failed: 2}, l.Tasks().Stats())
}

// TestB09_OutcomeBeforeCancel: an outcome that was there first stands.
func TestB09_OutcomeBeforeCancel(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("guest", 1))
	f := l.submit(t, "visit", g.visit("fast"), nil)
	g.expect(t, "fast").tell("result")
	await(t, f.Done(), "the result")
	f.Cancel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	text, err := f.Wait(ctx)
	require.NoError(t, err, "an outcome that is there counts more than the end of the context")
	require.Equal(t, "result", text)
}

// ignore drops an error of the type E.
func ignore[E error](err error) error {
	if _, ok := errors.AsType[E](err); ok {
		return nil
	}
	return err
}
