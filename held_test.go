package multiprolab_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// These tests hold what other libraries were seen to lose.

// TestTasksBesideRestartAndResize: 1,500 tasks with keys, priorities, delays and deaths have one
// outcome each, while Restart and Resize go on without a pause.
func TestTasksBesideRestartAndResize(t *testing.T) {
	const tasks = 1500
	l := startLab(t, nil, quickly("guest", 3))
	ctx, cancel := context.WithCancel(bounded(t))
	var movers sync.WaitGroup
	var moves atomic.Int64
	for _, move := range []func() error{
		func() error { return l.Restart(ctx, "guest") },
		func() error { return l.Resize("guest", 1+rand.IntN(5)) },
	} {
		movers.Go(func() {
			for range 50 { // not for ever: on a machine that is busy, workers that are ever new get nothing done
				if ctx.Err() != nil {
					return
				}
				if err := move(); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
				moves.Add(1)
			}
		})
	}
	outcomes := make(chan error, tasks)
	for i := range tasks {
		o := &multiprolab.TaskOptions{Priority: []multiprolab.Priority{multiprolab.PriorityLow, 0, multiprolab.PriorityHigh}[i%3], Attempts: 2}
		if i%5 == 0 {
			o.Key = fmt.Sprint("key", i%4)
		}
		if i%7 == 0 {
			o.Delay = time.Duration(i%20) * time.Millisecond
		}
		typ, body := "fill", any(i%1000)
		if i%50 == 0 {
			typ, body, o.Attempts = "guest-die", "exit 3", 1
		}
		s, err := l.Tasks().Submit(ctx, typ, body, o)
		require.NoError(t, err)
		go func() { // ends with the outcome
			var v any
			if typ == "fill" {
				v = new([]byte)
			}
			err := s.Result(bounded(t), v)
			if b, ok := v.(*[]byte); ok && err == nil && len(*b) != i%1000 {
				err = fmt.Errorf("task %d has the result of another", i)
			}
			outcomes <- err
		}()
	}
	died := 0
	for range tasks {
		if err := await(t, outcomes, "an outcome"); err != nil {
			var how *multiprolab.WorkerDiedError
			require.ErrorAs(t, err, &how)
			died++
		}
	}
	cancel()
	movers.Wait()
	require.GreaterOrEqual(t, died, tasks/50)
	require.LessOrEqual(
		t,
		died,
		tasks/50+tasks/100,
		"deaths that were not asked for are few: of tasks whose worker died twice",
	)
	require.Greater(t, moves.Load(), int64(5))
	s := l.Tasks().Stats()
	require.Equal(t, multiprolab.TaskStats{Received: tasks, Succeeded: uint64(tasks - died), Failed: uint64(died)}, s)
}

// TestStartOfManyIsCutShort: whenever the context of Start ends, it returns that, or nil if all
// were ready before, and nothing is left of 60 workers.
func TestStartOfManyIsCutShort(t *testing.T) {
	for _, after := range []time.Duration{0, 1, 5, 20, 50, 100} {
		l := newLab(t, nil, workers("guest", 60))
		ctx, cancel := context.WithTimeout(t.Context(), after*time.Millisecond)
		err := l.Start(ctx)
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		cancel()
		err = l.Close()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded, "how the program has ended")
		}
		l.checkGone(t)
	}
}

// The worker that sends messages, and ends as it is told.
var _ = worker("parting", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(w, "part", func(ctx context.Context, how string) error {
		for i := range 200 {
			if err := multiprolab.Send(ctx, w, "main", "last-words", i); err != nil {
				return err
			}
		}
		die(how)
		return nil
	})
	return nil
})

// TestLastWords: 200 messages of a worker that then ends, however, all arrive, in order.
func TestLastWords(t *testing.T) {
	for _, how := range []string{"exit 0", "exit 3", "panic", "nil", "SIGKILL", "SIGTERM", "stack overflow"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil, quickly("parting", 1))
			got := make(chan int, 1000)
			multiprolab.Handle(l, "last-words", func(_ context.Context, n int) error { got <- n; return nil })
			require.NoError(t, l.Start(t.Context()))
			defer l.Close()
			require.NoError(t, multiprolab.Send(bounded(t), l, "parting", "part", how))
			for i := range 200 {
				require.Equal(t, i, await(t, got, "a message"))
			}
		})
	}
}

// TestLongestDurations: the longest time.Duration in any field is either refused, by the name of
// the field, or means for ever: nothing ends at once, and nothing hangs.
func TestLongestDurations(t *testing.T) {
	try := func(t *testing.T, field string, cfg *multiprolab.Config, wc multiprolab.WorkerConfig, o *multiprolab.TaskOptions) {
		l := newLab(t, cfg, pool{"guest", &wc})
		if err := l.Start(t.Context()); err != nil {
			var refused *multiprolab.ConfigError
			require.ErrorAs(t, err, &refused)
			require.Contains(t, refused.Field, field)
			return
		}
		s, err := l.Tasks().Submit(bounded(t), "fill", 10, o)
		require.NoError(t, err)
		switch {
		case o.Delay > 0:
			s.Cancel()
			require.ErrorIs(t, s.Result(bounded(t), nil), multiprolab.ErrCancelled)
		default:
			require.NoError(t, s.Result(bounded(t), nil))
		}
		if o.Attempts > 1 { // the pause before the second attempt is endless
			s, err := l.Tasks().Submit(bounded(t), "guest-die", "exit 3", o)
			require.NoError(t, err)
			waitEvent[*multiprolab.WorkerFailed](t, l, nil)
			s.Cancel()
			require.Error(t, s.Result(bounded(t), nil))
		}
		require.NoError(t, l.Close())
		require.Empty(t, eventsOf[*multiprolab.DeadLetter](l))
	}
	each := func(v any, run func(field string, set func(v reflect.Value))) {
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			if f := typ.Field(i); f.Type == reflect.TypeFor[time.Duration]() {
				run(f.Name, func(v reflect.Value) { v.Field(i).SetInt(math.MaxInt64) })
			}
		}
	}
	n := 0
	count := func(field string, run func(t *testing.T)) {
		n++
		t.Run(field, func(t *testing.T) { t.Parallel(); run(t) })
	}
	each(multiprolab.Config{}, func(field string, set func(reflect.Value)) {
		count("Config."+field, func(t *testing.T) {
			cfg := &multiprolab.Config{}
			set(reflect.ValueOf(cfg).Elem())
			try(t, field, cfg, multiprolab.WorkerConfig{}, &multiprolab.TaskOptions{})
		})
	})
	each(multiprolab.WorkerConfig{}, func(field string, set func(reflect.Value)) {
		count("WorkerConfig."+field, func(t *testing.T) {
			wc := multiprolab.WorkerConfig{}
			set(reflect.ValueOf(&wc).Elem())
			try(t, field, nil, wc, &multiprolab.TaskOptions{})
		})
	})
	each(multiprolab.TaskOptions{}, func(field string, set func(reflect.Value)) {
		count("TaskOptions."+field, func(t *testing.T) {
			o := &multiprolab.TaskOptions{}
			set(reflect.ValueOf(o).Elem())
			try(t, field, nil, multiprolab.WorkerConfig{}, o)
		})
	})
	each(multiprolab.RetryPolicy{}, func(field string, set func(reflect.Value)) {
		count("RetryPolicy."+field, func(t *testing.T) {
			o := &multiprolab.TaskOptions{Attempts: 2}
			set(reflect.ValueOf(&o.Retry).Elem())
			o.Retry.Max = math.MaxInt64 // which First is bounded by
			if o.Retry.First == 0 {
				o.Retry.First = time.Hour
			}
			try(t, field, nil, multiprolab.WorkerConfig{RestartDelay: time.Millisecond}, o)
		})
	})
	require.Greater(t, n, 15)
}
