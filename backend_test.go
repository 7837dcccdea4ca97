package multiprolab_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/backend"
)

// stays is a backend.Memory that outlives the Main that uses it, as a durable one would.
type stays struct{ *backend.Memory }

func (stays) Close(context.Context) error { return nil }

// backends are the two ways of the broker to a queue: its own, and any Backend.
var backends = map[string]func() backend.Backend{
	"own":   func() backend.Backend { return nil },
	"other": func() backend.Backend { return backend.NewMemory() },
}

func TestBackendsAgree(t *testing.T) {
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			l := startLab(t, &multiprolab.Config{Backend: open()}, workers("lab", 2))
			ctx := bounded(t)
			var want, got []int
			items := make([]int, 500)
			for i := range items {
				items[i] = i
				want = append(want, 2*i)
			}
			for n, err := range multiprolab.Map[int](ctx, l, "double", slices.Values(items), nil) {
				require.NoError(t, err)
				got = append(got, n)
			}
			require.Equal(t, want, got)

			_, err := multiprolab.DoWith[int](
				ctx,
				l,
				"fail",
				"no use",
				&multiprolab.TaskOptions{Attempts: 3, Retry: multiprolab.RetryPolicy{First: time.Millisecond}},
			)
			var all *multiprolab.AttemptsError
			require.ErrorAs(t, err, &all)
			require.Len(t, all.Attempts, 3)
			require.Len(t, l.Tasks().Dead(), 1)

			_, err = multiprolab.DoWith[int](
				ctx,
				l,
				"die",
				"exit 3",
				&multiprolab.TaskOptions{Attempts: 2, Retry: multiprolab.RetryPolicy{First: time.Millisecond}},
			)
			var died *multiprolab.WorkerDiedError
			require.ErrorAs(t, err, &died)
			require.Equal(t, 3, died.ExitCode)

			late, err := multiprolab.Submit[int](ctx, l, "double", 4, &multiprolab.TaskOptions{Delay: time.Hour})
			require.NoError(t, err)
			late.Cancel()
			_, err = late.Wait(ctx)
			require.ErrorIs(t, err, multiprolab.ErrCancelled)

			require.NoError(t, l.Tasks().Join(ctx))
			s := l.Tasks().Stats()
			require.Equal(t, multiprolab.TaskStats{Received: 503, Succeeded: 500, Failed: 2, Cancelled: 1}, s)
		})
	}
}

// Tasks that were not done when a program ended are done by the next one, where the Backend
// outlives it.
func TestBackendOutlivesMain(t *testing.T) {
	kept := stays{backend.NewMemory()}
	first := startLab(t, &multiprolab.Config{Backend: kept}, workers("lab", 1))
	ctx := bounded(t)
	first.Tasks().Pause(multiprolab.DefaultQueue)
	var futures []*multiprolab.Future[int]
	for i := range 5 {
		f, err := multiprolab.Submit[int](ctx, first, "double", i, nil)
		require.NoError(t, err)
		futures = append(futures, f)
	}
	require.NoError(t, first.Close())
	for _, f := range futures {
		_, err := f.Wait(ctx)
		require.ErrorIs(t, err, multiprolab.ErrStopped)
	}

	second := startLab(t, &multiprolab.Config{Backend: kept}, workers("lab", 1))
	eventually(
		t,
		"the second run to do the tasks of the first",
		func() bool { return second.Tasks().Stats().Succeeded == 5 },
	)
	require.NoError(t, second.Close())
}

// broken is a Backend that stores nothing.
type broken struct{ *backend.Memory }

var errDisk = errors.New("the disk is full")

func (broken) Enqueue(context.Context, ...backend.Task) ([]backend.Receipt, error) {
	return nil, errDisk
}

func TestBackendThatFails(t *testing.T) {
	l := startLab(t, &multiprolab.Config{Backend: broken{backend.NewMemory()}}, workers("lab", 1))
	_, err := multiprolab.Do[int](bounded(t), l, "double", 1)
	require.ErrorIs(t, err, errDisk)
}
