package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// impatient are the times of a shutdown that has to kill.
func impatient() *multiprolab.Config {
	return &multiprolab.Config{ShutdownTimeout: 50 * time.Millisecond, KillTimeout: 50 * time.Millisecond}
}

// noEvents checks that nothing was reported that a clean life does not bring.
func (l *lab) noEvents(t testing.TB) {
	t.Helper()
	for _, e := range l.all() {
		switch e := e.(type) {
		case *multiprolab.WorkerStarted, *multiprolab.WorkerReady, *multiprolab.WorkerStopped:
		case *multiprolab.ProgramEnding:
			if e.Failed {
				t.Errorf("the program has ended of %v", e.Cause)
			}
		default:
			t.Errorf("an unexpected event %T: %+v", e, e)
		}
	}
}

// ends are the ways in which a program asks for its end, but for signals.
var ends = []struct {
	name string
	end  func(l *lab, cancel context.CancelFunc)
}{
	{"Exit", func(l *lab, _ context.CancelFunc) { l.Exit() }},
	{"the context", func(_ *lab, cancel context.CancelFunc) { cancel() }},
	{"Exit of a worker", func(l *lab, _ context.CancelFunc) {
		_ = multiprolab.Send(context.Background(), l, "shutdown-quitter", "quit", nil)
	}},
	{"Close", func(l *lab, _ context.CancelFunc) { go l.Close() }}, // the test waits for the end as well
}

var _ = worker("shutdown-quitter", func(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(w, "quit", func(context.Context, struct{}) error { w.Exit(); return nil })
	return nil
})

// busyLab is an app with one guest, which holds a task until v is told to go on, and 50 more tasks
// in the queue.
func busyLab(
	t *testing.T,
	mode multiprolab.ShutdownMode,
	prefetch int,
) (l *lab, cancel context.CancelFunc, g *gate, v *visitor, held *multiprolab.Future[string], queued []*multiprolab.Future[string]) {
	p := quickly("guest", 1)
	g = newGate(t)
	p.cfg.Prefetch, p.cfg.Process.Env = prefetch, []string{gateVar + "=" + g.addr()}
	l = newLab(t, &multiprolab.Config{Shutdown: mode}, p, workers("shutdown-quitter", 1))
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	require.NoError(t, l.Start(ctx))
	t.Cleanup(func() { _ = l.Stop(context.Background(), multiprolab.KillAll) })
	if prefetch > 0 {
		l.warmUp(t)
	}
	held = l.submit(t, "visit", g.visit("held"), nil)
	v = g.expect(t, "held")
	for i := range 50 {
		queued = append(queued, l.submit(t, "visit", g.visit(fmt.Sprint(i)), nil))
	}
	return l, cancel, g, v, held, queued
}

// refused waits until nothing more is taken.
func (l *lab) refused(t *testing.T) {
	t.Helper()
	eventually(t, "tasks to be refused", func() bool {
		_, err := multiprolab.Submit[int](context.Background(), l, "who", nil, nil)
		if err != nil {
			require.ErrorIs(t, err, multiprolab.ErrStopped)
		}
		return err != nil
	})
}

// TestC01_Drain: DrainQueue finishes what was accepted, and takes nothing new; nobody has to wait
// for that.
func TestC01_Drain(t *testing.T) {
	for _, way := range ends {
		for _, prefetch := range []int{0, 5} {
			t.Run(fmt.Sprint(way.name, ", prefetch ", prefetch), func(t *testing.T) {
				l, cancel, g, v, held, queued := busyLab(t, multiprolab.DrainQueue, prefetch)
				way.end(l, cancel)
				l.refused(t)
				v.tell("finished")
				text, err := outcome(t, held)
				require.NoError(t, err)
				require.Equal(t, "finished", text)
				for i, f := range queued {
					g.expect(t, fmt.Sprint(i)).tell(fmt.Sprint("drained ", i))
					text, err := outcome(t, f)
					require.NoError(t, err)
					require.Equal(t, fmt.Sprint("drained ", i), text)
				}
				require.NoError(t, l.Wait(bounded(t)))
				l.checkGone(t)
				l.noEvents(t)
			})
		}
	}
}

// TestX3_FinishRunning: once the end has been asked for, the running task is finished, and no
// worker picks up a further one.
func TestX3_FinishRunning(t *testing.T) {
	for _, way := range ends {
		for _, prefetch := range []int{0, 5} {
			t.Run(fmt.Sprint(way.name, ", prefetch ", prefetch), func(t *testing.T) {
				l, cancel, g, v, held, queued := busyLab(t, multiprolab.FinishRunning, prefetch)
				way.end(l, cancel)
				l.refused(t)
				_, err := outcome(t, queued[49])
				require.ErrorIs(t, err, multiprolab.ErrStopped)
				g.expect(t, "exit") // the worker has been told
				v.tell("finished")
				text, err := outcome(t, held)
				require.NoError(t, err)
				require.Equal(t, "finished", text)
				require.NoError(t, l.Wait(bounded(t)))
				for _, f := range queued {
					_, err := outcome(t, f)
					require.ErrorIs(t, err, multiprolab.ErrStopped)
				}
				g.quiet(t)
				l.checkGone(t)
				l.noEvents(t)
			})
		}
	}
}

// TestD04_KillAll: the running task fails with its worker, those in the queue are aborted, nobody
// finishes anything.
func TestD04_KillAll(t *testing.T) {
	l, _, g, v, held, queued := busyLab(t, multiprolab.KillAll, 2)
	err := l.Close()
	var killed *multiprolab.ShutdownError
	require.ErrorAs(t, err, &killed)
	require.Len(t, killed.Killed, 2)
	for _, k := range killed.Killed {
		require.Contains(t, []string{"guest/0", "shutdown-quitter/0"}, k.Worker)
		require.Equal(t, "the program was told to end at once", k.Reason)
		require.ErrorContains(t, err, fmt.Sprintf("%s (pid %d): the program was told to end at once", k.Worker, k.PID))
	}
	_, err = outcome(t, held)
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Equal(t, v.pid, died.PID)
	require.Equal(t, "the program was told to end at once", died.Reason)
	for _, f := range queued {
		_, err := outcome(t, f)
		require.ErrorIs(t, err, multiprolab.ErrStopped)
	}
	require.Equal(
		t,
		multiprolab.TaskStats{Received: 51 + warmTasks, Succeeded: warmTasks, Failed: 1, Cancelled: 50},
		l.Tasks().Stats(),
	)
	await(t, v.lost, "the visitor to be gone")
	g.quiet(t)
	l.checkGone(t)
	require.Len(t, starts(l, "guest/0"), 1, "a replacement has escaped")
}

// TestD04_ManyQueued: no stop but the draining one takes longer for 10,000 queued long tasks.
func TestD04_ManyQueued(t *testing.T) {
	for _, mode := range []multiprolab.ShutdownMode{multiprolab.FinishRunning, multiprolab.KillAll} {
		t.Run(mode.String(), func(t *testing.T) {
			p := quickly("guest", 2)
			p.cfg.Prefetch = 1
			g, l := newGate(t), startLab(t, impatient(), p)
			var tasks []*multiprolab.Future[string]
			ctx := bounded(t)
			for range 10_000 {
				f, err := multiprolab.Submit[string](ctx, l, "visit", g.visit("long"), nil)
				require.NoError(t, err)
				tasks = append(tasks, f)
			}
			running := []*visitor{g.expect(t, "long"), g.expect(t, "long")}
			err := l.Stop(bounded(t), mode)
			var killed *multiprolab.ShutdownError
			require.ErrorAs(t, err, &killed)
			require.Len(t, killed.Killed, 2)
			died := 0
			for _, f := range tasks {
				_, err := f.Wait(ctx)
				if ignore[*multiprolab.WorkerDiedError](err) == nil {
					died++
					continue
				}
				require.ErrorIs(t, err, multiprolab.ErrStopped)
			}
			require.Equal(t, 2, died)
			for _, v := range running {
				await(t, v.lost, "the running tasks to be gone")
			}
			g.quiet(t)
			require.Equal(t, multiprolab.TaskStats{Received: 10_000, Failed: 2, Cancelled: 9_998}, l.Tasks().Stats())
		})
	}
}

// TestD04_DrainTimeout: a drain that takes too long goes over to FinishRunning, and then to the
// kill. The clock is that of the bubble.
func TestD04_DrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(
			t,
			&multiprolab.Config{
				InProcess:       true,
				Shutdown:        multiprolab.DrainQueue,
				DrainTimeout:    time.Minute,
				ShutdownTimeout: 10 * time.Second,
			},
		)
		l.RegisterWorker("sleeper", func(_ context.Context, w *multiprolab.Worker) error {
			multiprolab.HandleTask(w, "sleep", func(ctx context.Context, d time.Duration) (string, error) {
				time.Sleep(d)
				return "slept", nil
			})
			return nil
		}, nil)
		require.NoError(t, l.Start(t.Context()))
		var tasks []*multiprolab.Future[string]
		for range 10 {
			f, err := multiprolab.Submit[string](t.Context(), l, "sleep", 25*time.Second, nil)
			require.NoError(t, err)
			tasks = append(tasks, f)
		}
		begin := time.Now()
		err := l.Close() // after 60 s two have ended; the third one takes longer than the 10 s that it has then
		require.NoError(t, ignore[*multiprolab.ShutdownError](err))
		for i, f := range tasks {
			_, err := f.Wait(t.Context())
			switch {
			case i < 2:
				require.NoError(t, err)
			case i == 2:
				require.NoError(t, ignore[*multiprolab.WorkerDiedError](err), "task %d", i)
			default:
				require.ErrorIs(t, err, multiprolab.ErrStopped)
			}
		}
		require.Less(t, time.Since(begin), 80*time.Second)
	})
}

// TestD04_HarsherStop: a stop that waits is cut short by a harsher one, and by none that is milder.
func TestD04_HarsherStop(t *testing.T) {
	l, _, g, v, held, queued := busyLab(t, multiprolab.DrainQueue, 0)
	l.Exit()
	l.refused(t)
	v.tell("finished")
	_, err := outcome(t, held)
	require.NoError(t, err)
	v = g.expect(t, "0")
	// The drain goes on; from here on nothing more is started.
	expired, cancel := context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	require.ErrorIs(t, l.Stop(expired, multiprolab.FinishRunning), context.DeadlineExceeded)
	l.Exit() // milder, and too late
	g.expect(t, "exit")
	err = l.Stop(expired, multiprolab.KillAll)
	var killed *multiprolab.ShutdownError
	if !errors.As(err, &killed) { // otherwise the end has come before Stop has looked at its context
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	_, err = outcome(t, queued[0])
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Equal(t, v.pid, died.PID)
	require.ErrorAs(t, l.Wait(bounded(t)), &killed)
	require.True(
		t,
		slices.ContainsFunc(killed.Killed, func(k multiprolab.KilledWorker) bool { return k.Worker == "guest/0" }),
	)
	for _, f := range queued[1:] {
		_, err := outcome(t, f)
		require.ErrorIs(t, err, multiprolab.ErrStopped)
	}
	g.quiet(t)
}

// TestC02_ResultsInThePipe: what a worker wrote before it is killed at the end is delivered.
func TestC02_ResultsInThePipe(t *testing.T) {
	p := quickly("guest", 1)
	p.cfg.Prefetch = 40
	for range 5 {
		g, l := newGate(t), startLab(t, nil, p)
		var results []*multiprolab.Future[[]byte]
		for range 30 {
			f, err := multiprolab.Submit[[]byte](bounded(t), l, "fill", 10_000, nil)
			require.NoError(t, err)
			results = append(results, f)
		}
		last := l.submit(t, "visit", g.visit("last"), nil)
		g.expect(t, "last") // when this one runs, the others' results have been written
		require.NoError(t, ignore[*multiprolab.ShutdownError](l.Stop(bounded(t), multiprolab.KillAll)))
		for _, f := range results {
			b, err := outcome(t, f)
			require.NoError(t, err)
			require.Len(t, b, 10_000)
		}
		_, err := outcome(t, last)
		require.NoError(t, ignore[*multiprolab.WorkerDiedError](err))
	}
}

// TestD03_NothingLeft: after each kind of end there is no process, no zombie, no descriptor.
// (Goroutines are looked at after all tests.)
func TestD03_NothingLeft(t *testing.T) {
	files, processes := countFiles(t), children()
	for _, mode := range []multiprolab.ShutdownMode{multiprolab.FinishRunning, multiprolab.DrainQueue, multiprolab.KillAll} {
		t.Run(mode.String(), func(t *testing.T) {
			l := newLab(t, &multiprolab.Config{Shutdown: mode}, quickly("guest", 2), quickly("lab", 1))
			require.NoError(t, l.Start(context.Background()))
			for range 4 {
				_, err := multiprolab.Do[int](bounded(t), l, "guest-die", "exit 1")
				require.Error(t, err)
			}
			require.NoError(t, ignore[*multiprolab.ShutdownError](l.Close()))
			l.checkGone(t)
			require.Equal(t, processes, children())
			require.Equal(t, files, countFiles(t))
		})
	}
}

// TestD05_StopTwice: to ask for the end often, from everywhere, before and after it, is safe.
func TestD05_StopTwice(t *testing.T) {
	l := startLab(t, nil, workers("lab", 2))
	var stops sync.WaitGroup
	for i := range 8 {
		stops.Go(func() {
			l.Exit()
			var err error
			if i%2 == 0 {
				err = l.Close()
			} else {
				err = l.Stop(bounded(t), multiprolab.FinishRunning)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	stops.Wait()
	l.Exit()
	require.NoError(t, l.Close())
	require.NoError(t, l.Wait(context.Background()))
	require.NoError(t, l.Stop(context.Background(), multiprolab.KillAll), "nobody is left to be killed")
	require.Error(t, l.Start(context.Background()), "a Main has one life")
}

// TestD05_AfterStop: everything that comes too late is refused.
func TestD05_AfterStop(t *testing.T) {
	l := startLab(t, nil, workers("guest", 1))
	require.NoError(t, l.Close())
	_, err := multiprolab.Submit[int](bounded(t), l, "who", nil, nil)
	require.ErrorIs(t, err, multiprolab.ErrStopped)
	_, err = l.Tasks().TrySubmit(bounded(t), "who", nil, nil)
	require.ErrorIs(t, err, multiprolab.ErrStopped)
	_, err = multiprolab.Do[int](bounded(t), l, "who", nil)
	require.ErrorIs(t, err, multiprolab.ErrStopped)
	_, err = multiprolab.Call[string](bounded(t), l, "guest", "visit-call", nil)
	require.ErrorIs(t, err, multiprolab.ErrStopped)
	require.ErrorIs(t, multiprolab.Send(bounded(t), l, "guest", "visit-message", nil), multiprolab.ErrStopped)
	require.ErrorIs(t, multiprolab.Send(bounded(t), l, "main", "any", nil), multiprolab.ErrStopped)
	require.ErrorIs(t, multiprolab.Broadcast(bounded(t), l, "", "any", nil), multiprolab.ErrStopped)
	require.NoError(t, l.Tasks().Join(bounded(t)))
}

// TestD05_CancelBeforeStop: the outcome of a task that is cancelled just before the end is there,
// and is one of the two that it can be.
func TestD05_CancelBeforeStop(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, workers("guest", 1))
	running := l.submit(t, "visit-soft", g.visit("running"), nil)
	queued := l.submit(t, "visit-soft", g.visit("never"), nil)
	g.expect(t, "running")
	running.Cancel()
	queued.Cancel()
	require.NoError(t, l.Close())
	_, err := outcome(t, running)
	require.ErrorIs(t, err, multiprolab.ErrCancelled)
	_, err = outcome(t, queued)
	require.ErrorIs(t, err, multiprolab.ErrCancelled)
	running.Cancel()
	g.quiet(t)
}

// TestD05_WaitWithDeadline: Wait gives up at the end of its context, and the app can still be
// stopped.
func TestD05_WaitWithDeadline(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, workers("guest", 1))
	held := l.submit(t, "visit", g.visit("held"), nil)
	v := g.expect(t, "held")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, l.Wait(ctx), context.DeadlineExceeded)
	require.ErrorIs(t, l.Stop(ctx, multiprolab.FinishRunning), context.DeadlineExceeded)
	v.tell("finished")
	text, err := outcome(t, held)
	require.NoError(t, err)
	require.Equal(t, "finished", text)
	require.NoError(t, l.Close())
}

// TestD06_WritesToTheDying: whatever main writes to workers that die meanwhile, it never dies of
// it, and nobody waits for ever.
func TestD06_WritesToTheDying(t *testing.T) {
	l := startLab(t, &multiprolab.Config{Window: 1 << 20}, quickly("guest", 2), quickly("lab", 2))
	ctx, cancel := context.WithCancel(bounded(t))
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() { // ends with ctx
			body := make([]byte, 200_000*i)
			for ctx.Err() == nil {
				_ = multiprolab.Send(ctx, l, "lab", "add", i)
				_ = multiprolab.Send(ctx, l, "guest", "guest-bytes", body)
				_, _ = multiprolab.Call[int](ctx, l, "guest", "guest-call-bytes", body)
				_, _ = multiprolab.Submit[[]byte](ctx, l, "bytes", body, nil)
			}
		})
	}
	for i := range 10 {
		_, err := multiprolab.Do[int](bounded(t), l, "die", "exit 1")
		require.Error(t, err)
		_, err = multiprolab.Do[int](bounded(t), l, "guest-die", []string{"exit 1", "panic"}[i%2])
		require.Error(t, err)
	}
	cancel()
	writers.Wait()
	n, err := multiprolab.Call[int](bounded(t), l, "guest", "guest-call-bytes", []byte("all is well"))
	require.NoError(t, err)
	require.Equal(t, 11, n)
}

// TestShutdown_NamesTheKilled: only who did not end in time is killed, and named. The clock is that
// of the bubble.
func TestShutdown_NamesTheKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		l.RegisterWorker("sleeper", func(_ context.Context, w *multiprolab.Worker) error {
			multiprolab.HandleTask(w, "sleep", func(_ context.Context, d time.Duration) (string, error) {
				time.Sleep(d)
				return w.Name(), nil
			})
			return nil
		}, &multiprolab.WorkerConfig{Count: 3})
		require.NoError(t, l.Start(t.Context()))
		fast, err := multiprolab.Submit[string](t.Context(), l, "sleep", 9*time.Second, nil)
		require.NoError(t, err)
		slow, err := multiprolab.Submit[string](t.Context(), l, "sleep", 13*time.Second, nil)
		require.NoError(t, err)
		synctest.Wait()
		var killed *multiprolab.ShutdownError
		require.ErrorAs(t, l.Close(), &killed)
		require.Len(t, killed.Killed, 1)
		require.Contains(t, killed.Killed[0].Reason, "it did not end within 10s after the exit message")
		name, err := fast.Wait(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, name, killed.Killed[0].Worker)
		_, err = slow.Wait(t.Context())
		require.NoError(t, ignore[*multiprolab.WorkerDiedError](err))
	})
}

// TestShutdown_Ladder: who does not end after the exit message gets SIGTERM, and SIGKILL after
// that; Close says whom that ended.
func TestShutdown_Ladder(t *testing.T) {
	g, l := newGate(t), startLab(t, impatient(), workers("guest", 1))
	held := l.submit(t, "visit", g.visit("stubborn"), nil)
	v := g.expect(t, "stubborn")
	err := l.Close()
	var killed *multiprolab.ShutdownError
	require.ErrorAs(t, err, &killed)
	require.Len(t, killed.Killed, 1)
	require.Equal(t, v.pid, killed.Killed[0].PID)
	require.Contains(t, killed.Killed[0].Reason, "it did not end within 50ms after the exit message")
	require.ErrorContains(t, err, killed.Killed[0].Worker)
	_, err = outcome(t, held)
	require.NoError(t, ignore[*multiprolab.WorkerDiedError](err))
	l.checkGone(t)
	require.Equal(t, 1, len(starts(l, killed.Killed[0].Worker)))
}

// TestShutdown_ActionError: an error of main's action ends the program: the workers finish what
// they do, and Run returns the error; with the names of those that had to be killed, if any.
func TestShutdown_ActionError(t *testing.T) {
	for _, stubborn := range []bool{false, true} {
		t.Run(fmt.Sprint("stubborn ", stubborn), func(t *testing.T) {
			cfg, orders := &multiprolab.Config{}, "finished"
			if stubborn {
				cfg = impatient()
			}
			g, l := newGate(t), newLab(t, cfg, workers("guest", 2))
			broken := errors.New("the action is broken")
			var held, queued *multiprolab.Future[string]
			l.Action(forever, func(ctx context.Context) error {
				held = l.submit(t, "visit", g.visit("held"), nil)
				l.submit(t, "visit", g.visit("held"), nil)
				queued = l.submit(t, "visit", g.visit("never"), nil)
				first, second := g.expect(t, "held"), g.expect(t, "held")
				if !stubborn {
					context.AfterFunc(ctx, func() { first.tell(orders); second.tell(orders) })
				}
				return fmt.Errorf("today: %w", broken)
			})
			err := l.Run(context.Background())
			require.ErrorIs(t, err, broken)
			var killed *multiprolab.ShutdownError
			require.Equal(t, stubborn, errors.As(err, &killed), "%v", err)
			_, err = outcome(t, held)
			if stubborn {
				require.NoError(t, ignore[*multiprolab.WorkerDiedError](err))
				require.Len(t, killed.Killed, 2)
			} else {
				require.NoError(t, err)
			}
			_, err = outcome(t, queued)
			require.ErrorIs(t, err, multiprolab.ErrStopped)
			require.ErrorIs(t, err, broken, "it says why the program stopped")
			require.ErrorIs(t, l.Wait(context.Background()), broken)
			l.checkGone(t)
			g.quiet(t)
		})
	}
}

// TestShutdown_ActionErrorDrains: Config.Shutdown says what becomes of queued tasks after the error
// of an action, too. The clock is that of the bubble.
func TestShutdown_ActionErrorDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true, Shutdown: multiprolab.DrainQueue})
		l.RegisterWorker("sleeper", func(_ context.Context, w *multiprolab.Worker) error {
			multiprolab.HandleTask(w, "sleep", func(_ context.Context, d time.Duration) (string, error) {
				time.Sleep(d)
				return w.Name(), nil
			})
			return nil
		}, nil)
		broken := errors.New("the action is broken")
		var all []*multiprolab.Future[string]
		l.After(0, func(ctx context.Context) error {
			for range 5 {
				f, err := multiprolab.Submit[string](ctx, l, "sleep", 9*time.Second, nil)
				require.NoError(t, err)
				all = append(all, f)
			}
			return broken
		})
		require.ErrorIs(t, l.Run(t.Context()), broken)
		require.ErrorIs(t, l.Cause(), broken)
		for _, f := range all {
			_, err := f.Wait(t.Context())
			require.NoError(t, err)
		}
	})
}

// TestShutdown_ActionErrorKills: with KillAll nothing is finished after the error of an action.
func TestShutdown_ActionErrorKills(t *testing.T) {
	g, l := newGate(t), newLab(t, &multiprolab.Config{Shutdown: multiprolab.KillAll}, workers("guest", 1))
	broken := errors.New("the action is broken")
	var held *multiprolab.Future[string]
	l.After(0, func(context.Context) error {
		held = l.submit(t, "visit", g.visit("held"), nil)
		g.expect(t, "held")
		return broken
	})
	err := l.Run(context.Background())
	require.ErrorIs(t, err, broken)
	var killed *multiprolab.ShutdownError
	require.ErrorAs(t, err, &killed)
	require.Contains(t, killed.Killed[0].Reason, "at once")
	_, err = outcome(t, held)
	require.NoError(t, ignore[*multiprolab.WorkerDiedError](err))
	l.checkGone(t)
}

// TestShutdown_EndsActions: the contexts of actions end with ErrExit as their cause, and what they
// return then is no error.
func TestShutdown_EndsActions(t *testing.T) {
	l := newLab(t, nil, workers("guest", 1))
	causes := make(chan error, 1)
	l.Action(forever, func(ctx context.Context) error {
		l.Exit()
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return fmt.Errorf("as asked: %w", context.Cause(ctx))
	})
	require.NoError(t, l.Run(context.Background()))
	require.ErrorIs(t, <-causes, multiprolab.ErrExit)
	l.checkGone(t)
	l.noEvents(t)
}

// TestShutdown_BeforeRun: the end that was asked for before the start is not forgotten: nothing is
// started.
func TestShutdown_BeforeRun(t *testing.T) {
	for _, mode := range []multiprolab.ShutdownMode{multiprolab.FinishRunning, multiprolab.DrainQueue, multiprolab.KillAll} {
		l := newLab(t, &multiprolab.Config{Shutdown: mode}, workers("guest", 1))
		l.Exit()
		require.NoError(t, l.Run(context.Background()))
		require.Empty(t, l.all())
	}
}

// TestShutdown_WhileStarting: the end comes while workers are not ready; those that heed their
// context end by themselves.
func TestShutdown_WhileStarting(t *testing.T) {
	for _, mode := range []multiprolab.ShutdownMode{multiprolab.FinishRunning, multiprolab.KillAll} {
		t.Run(mode.String(), func(t *testing.T) {
			g := newGate(t)
			l := newLab(
				t,
				&multiprolab.Config{Shutdown: mode},
				pool{"late", &multiprolab.WorkerConfig{Count: 3, Process: multiprolab.ProcessConfig{Env: []string{gateVar + "=" + g.addr()}}}},
			)
			ended := make(chan error, 1)
			go func() { ended <- l.Run(context.Background()) }() // ends with the app
			visitors := []*visitor{g.expect(t, "setup"), g.expect(t, "setup"), g.expect(t, "setup")}
			l.Exit()
			err := await(t, ended, "Run to return")
			if mode == multiprolab.FinishRunning {
				require.NoError(t, err)
			} else {
				var killed *multiprolab.ShutdownError
				require.ErrorAs(t, err, &killed)
				require.Len(t, killed.Killed, 3)
			}
			for _, v := range visitors {
				await(t, v.lost, "the worker to be gone")
				require.False(t, alive(v.pid))
			}
		})
	}
}

// The late one is not ready before the end.
var _ = worker("late", func(ctx context.Context, w *multiprolab.Worker) error {
	_, err := visit{os.Getenv(gateVar), "setup"}.waitSoft(ctx)
	return err
})

// TestResizeBesideExit: instances that are added while the program ends are started or buried, so
// that a Send to one of them never waits.
func TestResizeBesideExit(t *testing.T) {
	for round := range 1000 {
		l := newLab(t, &multiprolab.Config{InProcess: true}, workers("lab", 1))
		require.NoError(t, l.Start(t.Context()))
		var all sync.WaitGroup
		all.Go(func() { _ = l.Resize("lab", 8) }) // or ErrStopped
		all.Go(l.Exit)
		all.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		for i := range 8 {
			err := multiprolab.Send(ctx, l, fmt.Sprint("lab/", i), "add", 1)
			require.NotErrorIs(
				t,
				err,
				context.DeadlineExceeded,
				"round %d: Send to lab/%d waits in a program that has ended",
				round,
				i,
			)
		}
		cancel()
		require.NoError(t, l.Close())
	}
}
