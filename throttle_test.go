package multiprolab_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/backend"
)

// The worker "throttled" says "hit" to main as it begins with a task. Some tasks kill it, twice.
var _ = worker("throttled", func(ctx context.Context, w *multiprolab.Worker) error {
	hit := func(ctx context.Context, how string) (string, error) {
		if err := multiprolab.Send(ctx, w, "main", "hit", how); err != nil {
			return "", err
		}
		if multiprolab.TaskFrom(ctx).Attempt < 3 && how != "" {
			die(how)
		}
		return how, nil
	}
	multiprolab.HandleTask(w, "hit", hit)
	multiprolab.HandleTask(w, "free", func(context.Context, string) (string, error) { return "", nil })
	multiprolab.HandleTask(w, "nest", func(ctx context.Context, depth int) (int, error) {
		if depth == 0 {
			return 0, nil
		}
		n, err := multiprolab.Do[int](ctx, w, "nest", depth-1)
		return n + 1, err
	})
	multiprolab.HandleCall(w, "throttle", func(context.Context, struct{}) (string, error) {
		return fmt.Sprint(w.Tasks().Throttle(&multiprolab.Throttle{Concurrency: 1})), nil
	})
	return nil
})

// At no time more tasks run than a throttle allows, whatever their workers die of, and each has its
// one outcome; what it does not fit goes past.
func TestThrottlesHoldThroughDeaths(t *testing.T) {
	for name, c := range map[string]struct {
		of   multiprolab.Throttle
		keys []string
		most uint64
	}{
		"queue":       {multiprolab.Throttle{Queue: multiprolab.DefaultQueue, Concurrency: 2}, []string{""}, 2},
		"type":        {multiprolab.Throttle{Type: "hit", Concurrency: 2}, []string{""}, 2},
		"key":         {multiprolab.Throttle{Type: "hit", PerKey: true, Concurrency: 2}, []string{"k"}, 2},
		"two keys":    {multiprolab.Throttle{PerKey: true, Concurrency: 1}, []string{"k", "l"}, 2},
		"and a rate":  {multiprolab.Throttle{Type: "hit", Concurrency: 3, Rate: 1000, Burst: 3}, []string{"", "k"}, 3},
		"in a store":  {multiprolab.Throttle{Type: "hit", Concurrency: 2}, []string{"", "k"}, 2},
		"key, stored": {multiprolab.Throttle{Type: "hit", PerKey: true, Concurrency: 2}, []string{"k"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &multiprolab.Config{}
			if strings.Contains(name, "store") {
				cfg.Backend = backend.NewMemory()
			}
			l := newLab(t, cfg, workers("throttled", 5))
			require.NoError(t, l.Tasks().Throttle(&c.of))
			var most atomic.Uint64
			multiprolab.Handle(l, "hit", func(context.Context, string) error {
				most.Store(max(most.Load(), l.Tasks().Stats().Running))
				return nil
			})
			startReady(t, l)
			var all []*multiprolab.Future[string]
			for i := range 20 {
				o := &multiprolab.TaskOptions{Key: c.keys[i%len(c.keys)], Attempts: 3, Retry: soon}
				how := []string{"", "", "exit 1", "", "SIGKILL"}[i%5]
				f, err := multiprolab.Submit[string](bounded(t), l, "hit", how, o)
				require.NoError(t, err)
				all = append(all, f)
			}
			for _, f := range all {
				_, err := f.Wait(bounded(t))
				require.NoError(t, err)
			}
			require.LessOrEqual(t, most.Load(), c.most)
			s := l.Tasks().Stats()
			require.Equal(t, multiprolab.TaskStats{Received: 20, Succeeded: 20}, s)
		})
	}
}

// What a throttle holds up is Queued, holds up nothing else, can be cancelled, and goes as soon as
// the limit is raised or removed.
func TestThrottledTasksWait(t *testing.T) {
	l, n := startDefaults(t, nil, &multiprolab.WorkerConfig{Count: 4}, nil)
	ctx := bounded(t)
	set := func(concurrency int) {
		require.NoError(t, l.Tasks().Throttle(&multiprolab.Throttle{Type: "gate", Concurrency: concurrency}))
	}
	set(1)
	var all []*multiprolab.Future[string]
	for _, name := range []string{"a", "b", "c", "d"} {
		f, err := multiprolab.Submit[string](ctx, l, "gate", name, nil)
		require.NoError(t, err)
		all = append(all, f)
	}
	require.Equal(t, []string{"a"}, n.waitRan(t, 1))
	_, err := multiprolab.Do[string](ctx, l, "note", "free")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "free"}, n.waitRan(t, 2))
	require.EqualValues(t, 3, l.Tasks().Stats().Queued)
	heldBack := func() uint64 {
		q := l.Stats().Queues[0]
		require.GreaterOrEqual(t, q.Ready, q.Throttled)
		return q.Throttled
	}
	require.EqualValues(t, 3, heldBack())
	all[1].Cancel()
	_, err = all[1].Wait(ctx)
	require.ErrorIs(t, err, multiprolab.ErrCancelled)
	set(2)
	require.Equal(t, []string{"a", "free", "c"}, n.waitRan(t, 3))
	require.EqualValues(t, 1, l.Tasks().Stats().Queued)
	require.EqualValues(t, 1, heldBack())
	set(0)
	require.Zero(t, heldBack())
	require.Equal(t, []string{"a", "free", "c", "d"}, n.waitRan(t, 4))
	for _, name := range []string{"a", "c", "d"} {
		close(n.gate(name))
	}
	for _, i := range []int{0, 2, 3} {
		_, err = all[i].Wait(ctx)
		require.NoError(t, err)
	}
}

// A rate is exact, to the microsecond of the bubble: after the burst one each time that a token
// comes, by key or for all, also for the items of a Map; an attempt counts, and no timer ticks in
// vain.
func TestRateOfThrottleIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := multiprolab.New(&multiprolab.Config{InProcess: true})
		app.RegisterWorker("worker", func(ctx context.Context, w *multiprolab.Worker) error {
			multiprolab.HandleTask(w, "now", func(ctx context.Context, fail bool) (time.Time, error) {
				if fail && multiprolab.TaskFrom(ctx).Attempt == 1 {
					return time.Time{}, multiprolab.ErrCancelled
				}
				return time.Now(), nil
			})
			return nil
		}, &multiprolab.WorkerConfig{Count: 3})
		require.NoError(t, app.Start(t.Context()))
		defer app.Close()
		tasks := app.Tasks()
		throttle := &multiprolab.Throttle{Type: "now", Rate: 10, Burst: 2}
		require.NoError(t, tasks.Throttle(throttle))
		begun := time.Now()
		var at []time.Duration
		tenths := func() (all []int) {
			for _, d := range at {
				require.InDelta(t, 0, (d - d.Round(100*time.Millisecond)).Microseconds(), 1)
				all = append(all, int(d.Round(100*time.Millisecond)/(100*time.Millisecond)))
			}
			return all
		}
		for now, err := range multiprolab.Map[time.Time](t.Context(), app, "now", slices.Values(make([]bool, 6)), nil) {
			require.NoError(t, err)
			at = append(at, now.Sub(begun))
		}
		require.Equal(t, []int{0, 0, 1, 2, 3, 4}, tenths())

		begun, at = time.Now(), nil // there is no token
		o := &multiprolab.TaskOptions{Attempts: 2, Retry: multiprolab.RetryPolicy{First: 1}}
		now, err := multiprolab.DoWith[time.Time](t.Context(), app, "now", true, o)
		require.NoError(t, err)
		at = append(at, now.Sub(begun))
		require.Equal(t, []int{2}, tenths())

		require.NoError(t, tasks.Throttle(&multiprolab.Throttle{Type: "now"}))
		require.NoError(t, tasks.Throttle(&multiprolab.Throttle{PerKey: true, Rate: 10}))
		begun, at = time.Now(), nil
		var all []*multiprolab.Future[time.Time]
		for _, key := range []string{"k", "k", "l", "k", "l", "", ""} {
			f, err := multiprolab.Submit[time.Time](t.Context(), app, "now", false, &multiprolab.TaskOptions{Key: key})
			require.NoError(t, err)
			all = append(all, f)
		}
		for _, f := range all {
			now, err := f.Wait(t.Context())
			require.NoError(t, err)
			at = append(at, now.Sub(begun))
		}
		require.Equal(t, []int{0, 1, 0, 2, 1, 0, 0}, tenths())
	})
}

// A task that waits for one that a throttle holds up because of it is refused, and does not wait for
// ever.
func TestThrottledTaskThatWaitsForItsOwnKind(t *testing.T) {
	l := newLab(t, nil, workers("throttled", 3))
	require.NoError(t, l.Tasks().Throttle(&multiprolab.Throttle{Type: "nest", Concurrency: 2}))
	startReady(t, l)
	n, err := multiprolab.Do[int](bounded(t), l, "nest", 1)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = multiprolab.Do[int](bounded(t), l, "nest", 2)
	require.ErrorContains(t, err, "would wait for itself")
}

// What makes no sense is refused, with a word on how to mend it; so is a throttle that a worker
// wants to set.
func TestThrottlesThatMakeNoSense(t *testing.T) {
	l := startLab(t, nil, workers("throttled", 1))
	for want, th := range map[string]*multiprolab.Throttle{
		"what is to be limited": nil,
		"Throttle.Concurrency":  {Concurrency: -1},
		"number of tasks":       {Rate: -1},
		"set Rate as well":      {Burst: 3, Concurrency: 1},
		"Throttle.Queue":        {Queue: "no queue", Rate: 1},
		"Throttle.Type":         {Type: "no type", Rate: 1},
	} {
		var e *multiprolab.ConfigError
		err := l.Tasks().Throttle(th)
		require.ErrorAs(t, err, &e)
		require.ErrorContains(t, err, want)
	}
	text, err := multiprolab.Call[string](bounded(t), l, "throttled", "throttle", nil)
	require.NoError(t, err)
	require.Contains(t, text, "only in the main process")
}

// At most one request of each customer runs at a time, and no more than three of all.
func ExampleTaskQueue_Throttle() {
	setup := func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "fetch", func(ctx context.Context, url string) (string, error) { return "page of " + url, nil })
		return nil
	}
	run(setup, func(ctx context.Context, app *multiprolab.Main) error {
		for _, t := range []*multiprolab.Throttle{
			{Type: "fetch", Concurrency: 3},
			{Type: "fetch", PerKey: true, Concurrency: 1, Rate: 100, Burst: 10},
		} {
			if err := app.Tasks().Throttle(t); err != nil {
				return err
			}
		}
		page, err := multiprolab.DoWith[string](ctx, app, "fetch", "a.example", &multiprolab.TaskOptions{Key: "customer 42"})
		fmt.Println(page, err)
		return nil
	})
	// Output: page of a.example <nil>
}
