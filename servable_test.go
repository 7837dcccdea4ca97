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

// These tests are about tasks that nobody takes any more, or nobody yet. The workers are goroutines
// in bubbles, whose clocks say what comes before what.

// never is a config of workers that are not replaced.
func never(count int) *multiprolab.WorkerConfig {
	return &multiprolab.WorkerConfig{Count: count, Restart: multiprolab.RestartNever}
}

// passing registers a worker that takes tasks of some types, and whose instances end after a time
// each, by their index; zero is never.
func passing(l *lab, name string, cfg *multiprolab.WorkerConfig, after []time.Duration, types ...string) {
	l.RegisterWorker(name, func(_ context.Context, w *multiprolab.Worker) error {
		for _, typ := range types {
			multiprolab.HandleTask(w, typ, func(context.Context, struct{}) (string, error) { return w.Name(), nil })
		}
		if d := after[w.Index()]; d > 0 {
			w.After(d, func(context.Context) error { return errors.New("its time is over") })
		}
		return nil
	}, cfg)
}

// A task that waits for room in the queue has its outcome when the last worker that takes it has
// gone.
func TestTaskWaitsForRoomWhenItsWorkersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true, QueueLimit: 1})
		passing(l, "mortal", never(1), []time.Duration{time.Minute}, "mortal")
		passing(l, "other", nil, []time.Duration{0}, "other")
		require.NoError(t, l.Start(t.Context()))
		l.Tasks().Pause(multiprolab.DefaultQueue)
		first, err := multiprolab.Submit[string](t.Context(), l, "other", nil, nil) // it fills the queue
		require.NoError(t, err)
		outcome := make(chan error, 1)
		go func() { // ends with the task
			_, err := multiprolab.Do[string](t.Context(), l, "mortal", nil)
			outcome <- err
		}()
		var none *multiprolab.NoWorkerError
		require.ErrorAs(t, <-outcome, &none)
		l.Tasks().Resume(multiprolab.DefaultQueue)
		_, err = first.Wait(t.Context())
		require.NoError(t, err)
		require.Empty(t, l.Tasks().Residue())
		require.NoError(t, l.Close())
	})
}

// What one instance of a pool takes says nothing about the others: not about those that are ready
// later, nor about those that come in its place.
func TestInstancesTakeTypesOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		l.RegisterWorker("by-index", func(_ context.Context, w *multiprolab.Worker) error {
			time.Sleep(time.Duration(w.Index()) * time.Second)
			typ := fmt.Sprintf("type%d-%d", w.Index(), w.Life())
			multiprolab.HandleTask(w, typ, func(context.Context, struct{}) (string, error) { return w.Name(), nil })
			if w.Index() == 0 && w.Life() == 1 {
				w.After(time.Hour, func(context.Context) error { return errors.New("it is replaced") })
			}
			return nil
		}, &multiprolab.WorkerConfig{Count: 2, RestartDelay: time.Minute})
		starts := make(chan error, 1)
		go func() { starts <- l.Start(t.Context()) }() // ends with the start
		synctest.Wait()
		// The instance that takes this is not ready yet.
		early, err := multiprolab.Submit[string](t.Context(), l, "type1-1", nil, nil)
		require.NoError(t, err)
		for _, typ := range []string{"type0-1", "type1-1"} {
			name, err := multiprolab.Do[string](t.Context(), l, typ, nil)
			require.NoError(t, err)
			require.Equal(t, typ[:5], "type"+name[len(name)-1:])
		}
		_, err = early.Wait(t.Context())
		require.NoError(t, err)
		require.NoError(t, <-starts)
		var unknown *multiprolab.UnknownTypeError
		_, err = multiprolab.Submit[string](t.Context(), l, "type0-2", nil, nil)
		require.ErrorAs(t, err, &unknown)
		require.Equal(t, []string{"type0-1", "type1-1"}, unknown.Known)

		time.Sleep(2 * time.Hour) // by now the first has been replaced by one that takes another type
		name, err := multiprolab.Do[string](t.Context(), l, "type0-2", nil)
		require.NoError(t, err)
		require.Equal(t, "by-index/0", name)
		_, err = multiprolab.Submit[string](t.Context(), l, "type0-1", nil, nil)
		require.ErrorAs(t, err, &unknown)
		require.NoError(t, l.Close())
	})
}

// A task that comes to wait for itself, since the last other worker that takes it has gone, gets
// ErrCallCycle.
func TestCircleThatClosesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		l.RegisterWorker("nest", func(_ context.Context, w *multiprolab.Worker) error {
			multiprolab.HandleTask(w, "leaf", func(context.Context, struct{}) (string, error) { return w.Name(), nil })
			multiprolab.HandleCall(w, "nest", func(ctx context.Context, _ struct{}) (string, error) {
				got, err := multiprolab.Do[string](ctx, w, "leaf", nil)
				if errors.Is(err, multiprolab.ErrCallCycle) {
					return "a circle", nil
				}
				return got, err
			})
			if w.Index() == 1 {
				w.After(time.Minute, func(context.Context) error { return errors.New("its time is over") })
			}
			return nil
		}, never(2))
		require.NoError(t, l.Start(t.Context()))
		got, err := multiprolab.Call[string](t.Context(), l, "nest/0", "nest", nil)
		require.NoError(t, err)
		require.Equal(t, "nest/1", got)
		l.Tasks().Pause(multiprolab.DefaultQueue) // so that the task waits
		got, err = multiprolab.Call[string](t.Context(), l, "nest/0", "nest", nil)
		require.NoError(t, err)
		require.Equal(t, "a circle", got)
		require.Empty(t, l.Tasks().Residue())
		require.NoError(t, l.Close())
	})
}
