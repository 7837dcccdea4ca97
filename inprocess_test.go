package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The worker that fails a second after each start, with the number of its life.
var _ = worker("frail", func(ctx context.Context, w *multiprolab.Worker) error {
	w.After(time.Second, func(context.Context) error { return fmt.Errorf("life %d was short", w.Life()) })
	return nil
})

// startsOf gathers the times at which a worker was started, counted from the first.
func startsOf() (*multiprolab.Config, func() []time.Duration) {
	var times []time.Time
	cfg := &multiprolab.Config{InProcess: true, OnEvent: func(e multiprolab.Event) {
		if _, ok := e.(*multiprolab.WorkerStarted); ok {
			times = append(times, time.Now())
		}
	}}
	return cfg, func() []time.Duration {
		var since []time.Duration
		for _, t := range times {
			since = append(since, t.Sub(times[0]))
		}
		return since
	}
}

// The first restart comes at once; the pauses before the others double up to the longest. One
// failure beyond the limit ends the program.
func TestRestartBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, starts := startsOf()
		l := newLab(
			t,
			cfg,
			pool{
				"frail",
				&multiprolab.WorkerConfig{
					RestartLimit:    multiprolab.RestartLimit{Restarts: 6},
					RestartDelay:    100 * time.Millisecond,
					RestartMaxDelay: 500 * time.Millisecond,
					RestartJitter:   -1,
				},
			},
		)
		require.NoError(t, l.Start(t.Context()))
		err := l.Wait(t.Context())
		var limit *multiprolab.RestartLimitError
		require.ErrorAs(t, err, &limit)
		require.Equal(t, 6, limit.Restarts)
		require.Equal(t, "frail/0", limit.Worker)
		require.Equal(t, time.Minute, limit.Window)
		require.ErrorContains(t, err, "life 7 was short")
		const s, ms = time.Second, time.Millisecond
		require.Equal(
			t,
			[]time.Duration{0, 1 * s, 2*s + 100*ms, 3*s + 300*ms, 4*s + 700*ms, 6*s + 200*ms, 7*s + 700*ms},
			starts(),
		)
		failed := eventsOf[*multiprolab.WorkerFailed](l)
		var pauses []time.Duration
		for i, e := range failed {
			require.Equal(t, i+1, e.Life)
			require.Equal(t, i < 6, e.Restart)
			pauses = append(pauses, e.After)
		}
		require.Equal(t, []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 500 * ms, 500 * ms, 0}, pauses)
	})
}

// Failures that are longer ago than the window do not count.
func TestRestartWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, starts := startsOf()
		l := newLab(
			t,
			cfg,
			pool{"frail", &multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 1, Window: 900 * time.Millisecond}}},
		)
		require.NoError(t, l.Start(t.Context()))
		time.Sleep(10500 * time.Millisecond)
		require.NoError(t, l.Close())
		require.Len(t, starts(), 11) // one each second
	})
}

func TestRestartNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLab(
			t,
			&multiprolab.Config{InProcess: true},
			pool{"frail", &multiprolab.WorkerConfig{Restart: multiprolab.RestartNever}},
			workers("lab", 1),
		)
		time.Sleep(time.Minute)
		require.ErrorContains(t, multiprolab.Send(t.Context(), l, "frail", "x", nil), "life 1 was short")
		require.NoError(t, multiprolab.Send(t.Context(), l, "lab", "add", 1))
		failed := eventsOf[*multiprolab.WorkerFailed](l)
		require.Len(t, failed, 1)
		require.False(t, failed[0].Restart)
	})
}

var _ = worker("slow-starter", func(ctx context.Context, w *multiprolab.Worker) error {
	select {
	case <-time.After(time.Hour):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
})

// A setup function that does not return in time is an error after exactly this time; one that
// returns an error at once.
func TestSetupThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(
			t,
			&multiprolab.Config{InProcess: true, SetupTimeout: 7 * time.Second},
			workers("lab", 1),
			workers("slow-starter", 1),
		)
		begun := time.Now()
		err := l.Start(t.Context())
		var start *multiprolab.StartError
		require.ErrorAs(t, err, &start)
		require.Equal(t, "slow-starter/0", start.Worker)
		require.ErrorContains(t, err, "Config.SetupTimeout")
		require.Equal(t, 7*time.Second, time.Since(begun))
	})
}

// The time of a task counts from its start on a worker, and ends its context exactly then.
func TestTaskTimeoutIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLab(t, &multiprolab.Config{InProcess: true}, workers("mapper", 1))
		begun := time.Now()
		first, err := multiprolab.Submit[time.Duration](t.Context(), l, "nap", 5*time.Second, nil)
		require.NoError(t, err)
		_, err = multiprolab.DoWith[time.Duration](
			t.Context(),
			l,
			"nap",
			time.Hour,
			&multiprolab.TaskOptions{Timeout: 3 * time.Second},
		)
		var timeout *multiprolab.TimeoutError
		require.ErrorAs(t, err, &timeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, timeout.Timeout)
		require.False(t, timeout.Killed)
		require.Equal(t, 8*time.Second, time.Since(begun))
		_, err = first.Wait(t.Context())
		require.NoError(t, err)
		nap, err := multiprolab.Do[time.Duration](t.Context(), l, "nap", time.Second) // by the same worker
		require.NoError(t, err)
		require.Equal(t, time.Second, nap)
		require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
	})
}

// X4: messages, calls and tasks wait for no tick: between idle processes they take no time at all.
func TestX4_NoTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true}, workers("prog", 2), workers("mapper", 1))
		got := make(chan time.Time, 1)
		multiprolab.Handle(l, "note", func(context.Context, string) error { got <- time.Now(); return nil })
		l.After(time.Hour, func(context.Context) error { return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		for range 20 {
			time.Sleep(12345 * time.Millisecond)
			begun := time.Now()
			n, err := multiprolab.Do[int](t.Context(), l, "square", 3)
			require.NoError(t, err)
			require.Equal(t, 9, n)
			require.NoError(t, multiprolab.Send(t.Context(), l, "prog", "program-message", order{"note to main", "x"}))
			require.Equal(t, begun, <-got)
			_, err = multiprolab.Call[[]string](t.Context(), l, "prog/1", "notes", nil)
			require.NoError(t, err)
			require.Equal(t, begun, time.Now())
		}
	})
}

// DrainTimeout bounds the wait for queued tasks; ShutdownTimeout and KillTimeout the wait for a
// worker.
func TestShutdownTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(
			t,
			&multiprolab.Config{
				InProcess:    true,
				Shutdown:     multiprolab.DrainQueue,
				DrainTimeout: 2500 * time.Millisecond,
			},
			workers("mapper", 1),
		)
		require.NoError(t, l.Start(t.Context()))
		var futures []*multiprolab.Future[time.Duration]
		for range 5 {
			f, err := multiprolab.Submit[time.Duration](t.Context(), l, "nap", time.Second, nil)
			require.NoError(t, err)
			futures = append(futures, f)
		}
		begun := time.Now()
		require.NoError(t, l.Close())
		require.Equal(t, 3*time.Second, time.Since(begun)) // the third was running
		for i, f := range futures {
			_, err := f.Wait(t.Context())
			if i < 3 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, multiprolab.ErrStopped)
			}
		}
	})
}

// Start and Close again and again leave no goroutine: goleak and the bubble see to that.
func TestManyLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			l := newLab(t, &multiprolab.Config{InProcess: true}, workers("lab", 3))
			require.NoError(t, l.Start(t.Context()))
			require.NoError(t, multiprolab.Broadcast(t.Context(), l, "", "add", 1))
			require.NoError(t, l.Close())
			require.ErrorIs(t, multiprolab.Send(t.Context(), l, "lab", "add", 1), multiprolab.ErrStopped)
			_, err := multiprolab.Call[int](t.Context(), l, "lab", "state", nil)
			require.ErrorIs(t, err, multiprolab.ErrStopped)
			_, err = multiprolab.Do[int](t.Context(), l, "double", 1)
			require.ErrorIs(t, err, multiprolab.ErrStopped)
			require.False(t, errors.Is(err, context.Canceled))
		}
	})
}

// countedRecords is a handler that counts the records that pass through it.
type countedRecords struct {
	slog.Handler
	n *atomic.Int32
}

func (p countedRecords) Handle(ctx context.Context, r slog.Record) error {
	p.n.Add(1)
	return p.Handler.Handle(ctx, r)
}

var _ = worker("default-logger", func(ctx context.Context, w *multiprolab.Worker) error {
	slog.SetDefault(slog.New(countedRecords{w.Logger().Handler(), &passed}))
	multiprolab.HandleTask(w, "log-by-default", func(ctx context.Context, n int) (int, error) {
		slog.DebugContext(ctx, "is not wanted")
		slog.InfoContext(ctx, "goes to main's handler, which is the worker's own, and is printed")
		return n, nil
	})
	return nil
})

// passed counts the records of the worker "default-logger".
var passed atomic.Int32

// A worker in main's process whose logger becomes slog.Default, where main's log goes by default,
// does not send its records in a circle.
func TestInProcessLoggerAsDefault(t *testing.T) {
	before, flags, out := slog.Default(), log.Flags(), log.Writer()
	defer func() {
		slog.SetDefault(before)
		log.SetFlags(flags)
		log.SetOutput(out)
	}()
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	app.RegisterWorker("default-logger", setups["default-logger"], nil)
	require.NoError(t, app.Start(t.Context()))
	_, err := multiprolab.Do[int](bounded(t), app, "log-by-default", 1)
	require.NoError(t, err)
	require.NoError(t, app.Close())
	require.EqualValues(t, 2, passed.Load())
}
