package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/backend"
)

// A queue that is paused up to a time goes on by itself, and not before; a later word ends the pause
// earlier. Deaths of workers meanwhile change nothing of it.
func TestPauseUntil(t *testing.T) {
	for name, cfg := range map[string]*multiprolab.Config{"memory": {}, "backend": {Backend: backend.NewMemory()}} {
		t.Run(name, func(t *testing.T) {
			l, n := startDefaults(t, cfg, nil, nil)
			ctx := bounded(t)
			submit := func(name string) *multiprolab.Future[string] {
				f, err := multiprolab.Submit[string](ctx, l, "note", name, nil)
				require.NoError(t, err)
				return f
			}
			_, err := multiprolab.DoWith[int](ctx, l, "third-time", "SIGKILL", nil)
			require.Error(t, err)
			until := time.Now().Add(200 * time.Millisecond)
			l.Tasks().PauseUntil("", until)
			got, err := submit("one").Wait(ctx)
			require.NoError(t, err)
			require.Equal(t, "one", got)
			require.False(t, time.Now().Before(until))

			for i, end := range []func(){
				func() { l.Tasks().Resume(multiprolab.DefaultQueue) },
				func() { l.Tasks().PauseUntil(multiprolab.DefaultQueue, time.Now()) },
				func() { l.Tasks().PauseUntil(multiprolab.DefaultQueue, time.Time{}) },
				func() { l.Tasks().PauseUntil(multiprolab.DefaultQueue, time.Now().Add(time.Millisecond)) },
			} {
				l.Tasks().PauseUntil(multiprolab.DefaultQueue, time.Unix(math.MaxInt32<<20, 0))
				f := submit(fmt.Sprint(i))
				require.EqualValues(t, 1, l.Tasks().Stats().Queued)
				end()
				_, err := f.Wait(ctx)
				require.NoError(t, err)
			}
			require.Equal(t, []string{"one", "0", "1", "2", "3"}, n.waitRan(t, 5))
		})
	}
}

// The pause ends at its time, to the nanosecond of the bubble, and no timer ticks before that.
func TestPauseUntilIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := multiprolab.New(&multiprolab.Config{InProcess: true})
		app.RegisterWorker("worker", func(ctx context.Context, w *multiprolab.Worker) error {
			multiprolab.HandleTask(w, "now", func(ctx context.Context, _ struct{}) (time.Time, error) { return time.Now(), nil })
			return nil
		}, nil)
		require.NoError(t, app.Start(t.Context()))
		begun := time.Now()
		app.Tasks().PauseUntil(multiprolab.DefaultQueue, begun.Add(24*time.Hour))
		at, err := multiprolab.Do[time.Time](t.Context(), app, "now", nil)
		require.NoError(t, err)
		require.Equal(t, 24*time.Hour, at.Sub(begun))

		app.Tasks().PauseUntil(multiprolab.DefaultQueue, time.Now().Add(time.Hour)) // what waits ends with the program
		f, err := multiprolab.Submit[time.Time](t.Context(), app, "now", nil, nil)
		require.NoError(t, err)
		require.NoError(t, app.Close())
		_, err = f.Wait(t.Context())
		require.ErrorIs(t, err, multiprolab.ErrStopped)
	})
}

func ExampleTaskQueue_PauseUntil() {
	setup := func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "fetch", func(ctx context.Context, url string) (string, error) {
			if multiprolab.TaskFrom(ctx).Attempt == 1 {
				return "", errors.New("too many requests")
			}
			return "the page", nil
		})
		return nil
	}
	run(setup, func(ctx context.Context, app *multiprolab.Main) error {
		_, err := multiprolab.Do[string](ctx, app, "fetch", "https://example.com")
		fmt.Println(err)
		until := time.Now().Add(10 * time.Millisecond)
		app.Tasks().PauseUntil(multiprolab.DefaultQueue, until) // the server wants to be left alone
		_, err = multiprolab.Do[string](ctx, app, "fetch", "https://example.com")
		fmt.Println(err, time.Now().After(until))
		return nil
	})
	// Output:
	// multiprolab: worker/0: "fetch": too many requests
	// multiprolab: worker/0: "fetch": too many requests true
}
