package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The clocks of these tests are those of bubbles: the times are exact.

// shortLived registers a worker of which the life n ends after after(n), with an error; it lives on
// where that is zero.
func shortLived(l *lab, name string, cfg *multiprolab.WorkerConfig, after func(life int) time.Duration) {
	l.RegisterWorker(name, func(_ context.Context, w *multiprolab.Worker) error {
		if d := after(w.Life()); d > 0 {
			w.After(d, func(context.Context) error { return fmt.Errorf("life %d was short", w.Life()) })
		}
		return nil
	}, cfg)
}

func always(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

// pauses returns the pauses that were announced with the failures of a worker.
func pauses(l *lab) (found []time.Duration) {
	for _, e := range eventsOf[*multiprolab.WorkerFailed](l) {
		found = append(found, e.After)
	}
	return found
}

// The pauses between restarts: none before the first, RestartDelay before the second, then
// RestartFactor times as much up to RestartMaxDelay; and they are kept: each life begins when the
// last one has ended and its pause is over.
func TestRestartPauses(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name string
		cfg  multiprolab.WorkerConfig
		want []time.Duration // of the restarts
	}{
		{"defaults", multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 9}}, []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms}},
		{"RestartDelay", multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 4}, RestartDelay: 7 * ms}, []time.Duration{0, 7 * ms, 14 * ms, 28 * ms}},
		{"RestartFactor", multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 5}, RestartDelay: 10 * ms, RestartFactor: 3}, []time.Duration{0, 10 * ms, 30 * ms, 90 * ms, 270 * ms}},
		{"RestartFactor of one", multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 4}, RestartDelay: 10 * ms, RestartFactor: 1}, []time.Duration{0, 10 * ms, 10 * ms, 10 * ms}},
		{"RestartMaxDelay", multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 5}, RestartDelay: 10 * ms, RestartMaxDelay: 25 * ms}, []time.Duration{0, 10 * ms, 20 * ms, 25 * ms, 25 * ms}},
		{"RestartMaxDelay below RestartDelay", multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 3}, RestartDelay: time.Second, RestartMaxDelay: 5 * ms}, []time.Duration{0, 5 * ms, 5 * ms}},
		{"many in a row", multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 1200}, RestartFactor: 1e300, RestartMaxDelay: ms}, append([]time.Duration{0}, slices.Repeat([]time.Duration{ms}, 1199)...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.cfg.RestartJitter, c.cfg.RestartLimit.Window = -1, 24*time.Hour
				cfg, starts := startsOf()
				l := newLab(t, cfg)
				shortLived(l, "short", &c.cfg, always(time.Second))
				require.NoError(t, l.Start(t.Context()))
				require.Error(t, l.Wait(t.Context()))
				require.Equal(t, append(slices.Clone(c.want), 0), pauses(l)) // none follows the last
				var want []time.Duration
				at := time.Duration(0)
				for _, pause := range append([]time.Duration{-time.Second}, c.want...) {
					at += time.Second + pause
					want = append(want, at)
				}
				require.Equal(t, want, starts())
			})
		})
	}
}

// The random part of a pause is taken off it, never put on it.
func TestRestartJitter(t *testing.T) {
	for _, c := range []struct{ config, part float64 }{{0, 0.2}, {0.5, 0.5}, {1, 1}, {-3, 0}} {
		synctest.Test(t, func(t *testing.T) {
			const d, n = 10 * time.Second, 200
			l := newLab(t, &multiprolab.Config{InProcess: true})
			shortLived(
				l,
				"short",
				&multiprolab.WorkerConfig{
					RestartLimit: multiprolab.RestartLimit{Restarts: n,
						Window: 24 * time.Hour},
					RestartDelay:    d,
					RestartMaxDelay: d,
					RestartJitter:   c.config,
				},
				always(time.Second),
			)
			require.NoError(t, l.Start(t.Context()))
			require.Error(t, l.Wait(t.Context()))
			got := pauses(l)[1:n]
			low, high := slices.Min(got), slices.Max(got)
			least := time.Duration(float64(d) * (1 - c.part))
			require.GreaterOrEqual(t, low, least, "jitter %v", c.config)
			require.LessOrEqual(t, high, d, "jitter %v", c.config)
			if c.part == 0 {
				require.Equal(t, d, low)
				return
			}
			// Of 199 pauses the shortest and the longest are each in the outer quarter, but for
			// once in 10^24 runs.
			require.Less(t, low, least+(d-least)/4)
			require.Greater(t, high, d-(d-least)/4)
		})
	}
}

// After a life of more than RestartReset the pauses begin anew; after a shorter one they go on.
func TestRestartReset(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		reset time.Duration // of the config
		fifth time.Duration // how long the fifth life lasts
		want  []time.Duration
	}{
		{"a long life", 10 * time.Second, 11 * time.Second, []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 0, 100 * ms, 200 * ms}},
		{"not long enough", 10 * time.Second, 9 * time.Second, []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms}},
		{"the default is RestartWindow", 0, time.Hour + time.Second, []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 0, 100 * ms, 200 * ms}},
		{"and no less", 0, time.Hour - time.Second, []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, &multiprolab.Config{InProcess: true})
				cfg := &multiprolab.WorkerConfig{
					RestartLimit: multiprolab.RestartLimit{Restarts: 100,
						Window: time.Hour},
					RestartReset:  c.reset,
					RestartJitter: -1,
				}
				shortLived(l, "short", cfg, func(life int) time.Duration {
					switch life {
					case 5:
						return c.fifth
					case 8:
						return 0
					}
					return time.Second
				})
				require.NoError(t, l.Start(t.Context()))
				time.Sleep(2 * time.Hour)
				require.NoError(t, l.Close())
				require.Equal(t, c.want, pauses(l))
			})
		})
	}
}

// Time in which a worker sets itself up is not time in which it proves itself.
func TestRestartResetCountsFromReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		l.RegisterWorker("short", func(_ context.Context, w *multiprolab.Worker) error {
			time.Sleep(30 * time.Second)
			w.After(time.Second, func(context.Context) error { return errors.New("short") })
			return nil
		}, &multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 3, Window: time.Hour}, RestartReset: 20 * time.Second, RestartJitter: -1})
		require.NoError(t, l.Start(t.Context()))
		require.Error(t, l.Wait(t.Context()))
		require.Equal(t, []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 0}, pauses(l))
	})
}

// Only the failures within RestartWindow count, and are told in the error.
func TestRestartWindowForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		cfg := &multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 2, Window: time.Minute}, RestartJitter: -1}
		shortLived(l, "short", cfg, func(life int) time.Duration {
			if life == 3 {
				return time.Minute + time.Second // the first two are forgotten
			}
			return time.Second
		})
		require.NoError(t, l.Start(t.Context()))
		err := l.Wait(t.Context())
		limit, ok := err.(*multiprolab.RestartLimitError)
		require.True(t, ok, "%T: %v", err, err)
		require.Equal(t, 2, limit.Restarts)
		require.False(t, limit.Permanent)
		require.Equal(t, time.Minute, limit.Window)
		require.Equal(t, []string{"life 3 was short", "life 4 was short", "life 5 was short"}, causesOf(t, limit))
	})
}

// causesOf returns the texts of the causes of a *RestartLimitError.
func causesOf(t *testing.T, e *multiprolab.RestartLimitError) (texts []string) {
	t.Helper()
	for _, cause := range e.Causes {
		remote, ok := cause.(*multiprolab.RemoteError)
		require.True(t, ok, "%T: %v", cause, cause)
		texts = append(texts, remote.Text)
	}
	return texts
}

// The error tells the causes, the oldest first and of many the last ten; errors.As finds the last
// one first.
func TestRestartCauses(t *testing.T) {
	for _, n := range []int{1, 9, 10, 25} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, &multiprolab.Config{InProcess: true})
			shortLived(
				l,
				"short",
				&multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: n, Window: time.Hour}},
				always(time.Second),
			)
			require.NoError(t, l.Start(t.Context()))
			err := l.Wait(t.Context())
			limit, ok := err.(*multiprolab.RestartLimitError)
			require.True(t, ok, "%T: %v", err, err)
			require.Equal(t, n, limit.Restarts)
			var want []string
			for life := max(1, n+1-9); life <= n+1; life++ {
				want = append(want, fmt.Sprintf("life %d was short", life))
			}
			require.Equal(t, want, causesOf(t, limit))
			last := want[len(want)-1]
			require.Equal(t, last, limit.Err.(*multiprolab.RemoteError).Text)
			var remote *multiprolab.RemoteError
			require.ErrorAs(t, err, &remote)
			require.Equal(t, last, remote.Text)
			require.ErrorContains(t, err, last)
		})
	}
}

// A negative RestartLimit is no limit, with pauses and windows as ever: the worker is replaced for
// ever.
func TestRestartForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		shortLived(
			l,
			"short",
			&multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: -1, Window: time.Hour}},
			always(time.Second),
		)
		require.NoError(t, l.Start(t.Context()))
		time.Sleep(30 * time.Minute)
		require.NoError(t, l.Cause())
		require.NoError(t, l.Close())
		require.Greater(t, len(starts(l, "short/0")), 250)
	})
}

// RestartLimit is that of each worker: what two of them fail does not add up, be they of one pool
// or of two.
func TestRestartLimitIsPerWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		thrice := func(life int) time.Duration {
			if life > 3 {
				return 0
			}
			return time.Second
		}
		cfg := &multiprolab.WorkerConfig{Count: 2, RestartLimit: multiprolab.RestartLimit{Restarts: 3, Window: time.Hour}}
		shortLived(l, "one", cfg, thrice)
		shortLived(l, "two", cfg, thrice)
		require.NoError(t, l.Start(t.Context()))
		time.Sleep(time.Minute)
		require.NoError(t, l.Close())
		for _, name := range []string{"one/0", "one/1", "two/0", "two/1"} {
			require.Len(t, starts(l, name), 4, name)
		}
	})
}

// RestartAlways also replaces what has ended without an error, with the same pauses, and counts it.
func TestRestartAlwaysCounts(t *testing.T) {
	for _, onLimit := range []multiprolab.LimitAction{multiprolab.EndProgram, multiprolab.StopWorker} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, &multiprolab.Config{InProcess: true}, workers("lab", 1))
			l.RegisterWorker("leaver", func(_ context.Context, w *multiprolab.Worker) error {
				w.Loop(func(context.Context) error { time.Sleep(time.Second); return nil })
				return nil
			}, &multiprolab.WorkerConfig{Restart: multiprolab.RestartAlways, RestartLimit: multiprolab.RestartLimit{Restarts: 2, Then: onLimit}, RestartJitter: -1})
			require.NoError(t, l.Start(t.Context()))
			var err error
			if onLimit == multiprolab.EndProgram {
				err = l.Wait(t.Context())
			} else {
				time.Sleep(time.Minute)
				err = multiprolab.Send(t.Context(), l, "leaver", "x", nil)
				require.NoError(t, multiprolab.Send(t.Context(), l, "lab", "add", 1), "the program does not go on")
				require.NoError(t, l.Close())
			}
			limit, ok := errors.AsType[*multiprolab.RestartLimitError](err)
			require.True(t, ok, "%T: %v", err, err)
			require.Equal(t, 2, limit.Restarts)
			require.Len(t, limit.Causes, 3)
			for _, cause := range append(limit.Causes, limit.Err) {
				require.ErrorContains(t, cause, "worker leaver/0 ended by itself, without an error")
			}
			require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
			type stop struct {
				life  int
				again bool
				after time.Duration
			}
			var stops []stop
			for _, e := range eventsOf[*multiprolab.WorkerStopped](l) {
				if e.Worker == "leaver/0" {
					stops = append(stops, stop{e.Life, e.Restart, e.After})
				}
			}
			require.Equal(t, []stop{{1, true, 0}, {2, true, 100 * time.Millisecond}, {3, false, 0}}, stops)
		})
	}
}

// What a config asks to be replaced on purpose is no failure: MaxAge alone never reaches the limit,
// and there is no pause.
func TestRestartOnPurposeDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, starts := startsOf()
		l := newLab(
			t,
			cfg,
			pool{"lab", &multiprolab.WorkerConfig{MaxAge: time.Second, RestartLimit: multiprolab.RestartLimit{Restarts: 1, Window: time.Hour}}},
		)
		require.NoError(t, l.Start(t.Context()))
		time.Sleep(9500 * time.Millisecond)
		require.NoError(t, l.Close())
		require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
		require.Len(t, starts(), 10)
	})
}

// The death of a worker in the middle of a task is the outcome of the task. It does not count, and
// the restart comes at once.
func TestRestartDuringTaskDoesNotCount(t *testing.T) {
	l := startLab(
		t,
		nil,
		pool{
			"lab",
			&multiprolab.WorkerConfig{
				RestartLimit: multiprolab.RestartLimit{Restarts: 1,
					Window: time.Hour},
				RestartDelay:    time.Hour,
				RestartMaxDelay: time.Hour,
			},
		},
	)
	for life := 1; life <= 5; life++ {
		_, err := multiprolab.Do[int](bounded(t), l, "die", "exit 1")
		died, ok := errors.AsType[*multiprolab.WorkerDiedError](err)
		require.True(t, ok, "%T: %v", err, err)
		require.Equal(t, life, died.Life)
	}
	// These count: one death at rest is within the limit, the second is beyond.
	require.NoError(t, multiprolab.Send(bounded(t), l, "lab", "msg-die", "exit 1"))
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 7 })
	_, err := multiprolab.Do[int](bounded(t), l, "die", "exit 1") // and a task between them changes nothing
	require.Error(t, err)
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 8 })
	require.NoError(t, multiprolab.Send(bounded(t), l, "lab", "msg-die", "exit 1"))
	err = l.Wait(bounded(t))
	limit, ok := errors.AsType[*multiprolab.RestartLimitError](err)
	require.True(t, ok, "%T: %v", err, err)
	require.Equal(t, 1, limit.Restarts)
	require.Len(t, limit.Causes, 2)
}

// The same for one that ends with an error while it holds a task from TaskQueue.Get.
func TestRestartWithPulledTaskDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		l.RegisterWorker("puller", func(_ context.Context, w *multiprolab.Worker) error {
			w.PullTasks("pull")
			w.Action(time.Hour, func(ctx context.Context) error {
				if _, err := w.Tasks().Get(ctx); err != nil {
					return err
				}
				return errors.New("it has thrown the task away")
			})
			return nil
		}, &multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 1, Window: time.Hour}, RestartDelay: time.Minute, RestartMaxDelay: time.Minute})
		require.NoError(t, l.Start(t.Context()))
		begun := time.Now()
		for range 5 {
			_, err := multiprolab.Do[int](t.Context(), l, "pull", nil)
			require.ErrorContains(t, err, "it ended without an outcome for the task")
		}
		require.Equal(t, begun, time.Now(), "there was a pause")
		synctest.Wait()
		require.NoError(t, l.Close())
		require.Equal(t, slices.Repeat([]time.Duration{0}, 5), pauses(l))
	})
}

// The end of the program cuts a pause short.
func TestRestartPauseEndsWithTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		shortLived(
			l,
			"short",
			&multiprolab.WorkerConfig{RestartDelay: time.Hour, RestartMaxDelay: time.Hour, RestartJitter: -1},
			always(time.Second),
		)
		require.NoError(t, l.Start(t.Context()))
		time.Sleep(10 * time.Second)
		require.Equal(t, []time.Duration{0, time.Hour}, pauses(l))
		begun := time.Now()
		require.NoError(t, l.Close())
		require.Equal(t, begun, time.Now())
		require.Len(t, starts(l, "short/0"), 2)
	})
}

// A Main whose worker waits for its pause keeps its messages: the next life gets them.
func TestRestartPauseKeepsMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		l.RegisterWorker("short", func(_ context.Context, w *multiprolab.Worker) error {
			multiprolab.HandleCall(w, "life", func(context.Context, struct{}) (int, error) { return w.Life(), nil })
			if w.Life() < 3 {
				w.After(time.Second, func(context.Context) error { return errors.New("short") })
			}
			return nil
		}, &multiprolab.WorkerConfig{RestartDelay: time.Hour, RestartMaxDelay: time.Hour, RestartJitter: -1})
		require.NoError(t, l.Start(t.Context()))
		time.Sleep(10 * time.Second) // it is in its pause of an hour
		begun := time.Now()
		life, err := multiprolab.Call[int](t.Context(), l, "short", "life", nil)
		require.NoError(t, err)
		require.Equal(t, 3, life)
		require.Equal(t, time.Hour-8*time.Second, time.Since(begun))
		require.NoError(t, l.Close())
	})
}
