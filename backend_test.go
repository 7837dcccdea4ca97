package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

// The worker "trier" asks for tasks, and does not wait for them.
var _ = worker("trier", func(_ context.Context, w *multiprolab.Worker) error {
	w.PullTasks("tried")
	multiprolab.HandleCall(w, "try", func(ctx context.Context, _ struct{}) (string, error) {
		task, err := w.Tasks().TryGet(ctx)
		if errors.Is(err, multiprolab.ErrNoTask) {
			return "none", nil
		}
		if err != nil {
			return "", err
		}
		var what string
		if err := task.Decode(&what); err != nil {
			return "", err
		}
		return what, task.Done(nil)
	})
	return nil
})

// hasty is a Backend of which another main takes a task that was there.
type hasty struct {
	*backend.Memory
	gone atomic.Int64 // how many tasks are there by its word, and not
}

func (b *hasty) Depth(ctx context.Context, queue string) (backend.Depth, error) {
	d, err := b.Memory.Depth(ctx, queue)
	if b.gone.Load() > 0 {
		b.gone.Add(-1)
		d.Ready++
	}
	return d, err
}

// What a Backend has is found without waiting, at the first time; what it has not is not waited
// for, and is not taken later when nobody asks any more.
func TestTryGetWithBackend(t *testing.T) {
	kept := &hasty{Memory: backend.NewMemory()}
	l := startLab(t, &multiprolab.Config{Backend: kept}, workers("trier", 1))
	ctx := bounded(t)
	try := func() string {
		got, err := multiprolab.Call[string](ctx, l, "trier", "try", nil)
		require.NoError(t, err)
		return got
	}
	high, normal, low := multiprolab.PriorityHigh, multiprolab.PriorityNormal, multiprolab.PriorityLow
	for round := range 3 {
		require.Equal(t, "none", try())
		kept.gone.Store(int64(round))
		require.Equal(t, "none", try())
		kept.gone.Store(0)
		for _, p := range []multiprolab.Priority{low, high, normal} {
			_, err := l.Tasks().Submit(ctx, "tried", fmt.Sprint(p), &multiprolab.TaskOptions{Priority: p})
			require.NoError(t, err)
		}
		depth, err := kept.Memory.Depth(ctx, multiprolab.DefaultQueue+"/tried/0")
		require.NoError(t, err)
		require.Equal(t, backend.Depth{Ready: 1}, depth, "nobody has asked for it")
		l.Tasks().Pause("")
		require.Equal(t, "none", try())
		l.Tasks().Resume("")
		for _, p := range []multiprolab.Priority{high, normal, low} {
			require.Equal(t, fmt.Sprint(p), try())
		}
	}
	require.NoError(t, l.Tasks().Join(ctx))
}

// A Get that is over, since it was cancelled or has its task, leases nothing more: what it could
// have had is for others who share the Backend, and is as if it had not been fetched.
func TestGetThatIsOverLeasesNothing(t *testing.T) {
	for name, has := range map[string]string{"it was cancelled": "", "it has its task": "a"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := backend.NewMemory()
				l := newLab(t, &multiprolab.Config{InProcess: true, Backend: b})
				l.RegisterWorker("getter", func(_ context.Context, w *multiprolab.Worker) error {
					w.PullTasks("a", "b")
					multiprolab.HandleCall(w, "get", func(ctx context.Context, _ struct{}) (string, error) {
						task, err := w.Tasks().Get(ctx, "a", "b")
						if err != nil {
							return "", err
						}
						return task.Type, task.Done(nil)
					})
					return nil
				}, nil)
				require.NoError(t, l.Start(t.Context()))
				ctx, cancel := context.WithCancel(t.Context())
				got := make(chan string)
				go func() { // ends with the Get
					typ, _ := multiprolab.Call[string](ctx, l, "getter", "get", nil)
					got <- typ
				}()
				synctest.Wait()
				if has == "" {
					cancel()
				} else {
					_, err := l.Tasks().Submit(ctx, has, nil, nil)
					require.NoError(t, err)
				}
				require.Equal(t, has, <-got)
				cancel()
				synctest.Wait()
				low, normal, high := multiprolab.PriorityLow, multiprolab.PriorityNormal, multiprolab.PriorityHigh
				for _, typ := range []string{"a", "b"} {
					for i, p := range []multiprolab.Priority{low, normal, high} {
						_, err := l.Tasks().Submit(t.Context(), typ, nil, &multiprolab.TaskOptions{Priority: p})
						require.NoError(t, err)
						synctest.Wait()
						lane := fmt.Sprintf("%s/%s/%d", multiprolab.DefaultQueue, typ, i-1)
						depth, err := b.Depth(t.Context(), lane)
						require.NoError(t, err)
						require.Equal(t, backend.Depth{Ready: 1}, depth, lane)
						leases, err := b.Fetch(t.Context(), lane, 1)
						require.NoError(t, err)
						require.Equal(t, 1, leases[0].Attempt(), lane)
						require.NoError(t, leases[0].Ack(t.Context()))
					}
				}
				require.Equal(t, 6, l.Tasks().CancelPending(""))
			})
		})
	}
}
