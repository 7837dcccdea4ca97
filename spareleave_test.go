package multiprolab_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The worker "leaves-first" leaves in its first task, and waits in it until its program lets it go.
var _ = worker("leaves-first", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "leave", func(ctx context.Context, _ int) (int, error) {
		w.Leave()
		return 0, multiprolab.Send(ctx, w, "main", "left", 0)
	})
	multiprolab.HandleTask(w, "work", func(context.Context, int) (int, error) { return 1, nil })
	return nil
})

// What is left for the only worker, and comes after it, fails as doc.go says: no worker is left
// that takes it. It does not say that nobody handles its type.
func TestTasksOfWorkerThatLeftHaveNoWorker(t *testing.T) {
	for _, spare := range []int{0, 1} {
		l := newLab(t, nil, pool{"leaves-first", &multiprolab.WorkerConfig{Spare: spare, Prefetch: -1}})
		multiprolab.Handle(l, "left", func(context.Context, int) error { return nil })
		startReady(t, l)
		if spare > 0 {
			waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "leaves-first/spare.0" })
		}
		first, err := multiprolab.Submit[int](bounded(t), l, "leave", 0, nil)
		require.NoError(t, err)
		// it may have been begun before the worker left, and may come after that
		_, early := multiprolab.Do[int](bounded(t), l, "work", 0)
		_, err = first.Wait(bounded(t))
		require.NoError(t, err)
		var none *multiprolab.NoWorkerError
		if early != nil {
			require.ErrorAs(t, early, &none, "%d spares", spare)
		}
		waitEvent(t, l, func(e *multiprolab.WorkerStopped) bool { return e.Worker == "leaves-first/0" })
		_, err = multiprolab.Do[int](bounded(t), l, "work", 0)
		require.ErrorAs(t, err, &none, "%d spares", spare)
	}
}
