package multiprolab_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// Replacements that hang in their setup function reach the restart limit, though each takes as long
// as the window; a task that waits for them gets its outcome. The clock is that of the bubble.
func TestA09_SlowFailuresReachTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true, SetupTimeout: time.Minute})
		l.RegisterWorker("slow", func(ctx context.Context, w *multiprolab.Worker) error {
			if w.Life() > 1 {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			multiprolab.HandleTask(w, "once", func(context.Context, int) (int, error) { return 1, nil })
			w.After(time.Second, func(context.Context) error { return errors.New("the first life ends") })
			return nil
		}, &multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 3, Window: time.Minute}})
		require.NoError(t, l.Start(t.Context()))
		waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.Life == 1 })
		_, err := multiprolab.Do[int](t.Context(), l, "once", 1)
		var limit *multiprolab.RestartLimitError
		require.ErrorAs(t, err, &limit)
		require.ErrorAs(t, l.Wait(t.Context()), &limit)
	})
}
