package multiprolab_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// TestB13_KillAll: it ends workers that are busy, that have just died and are being replaced, and
// that have not become ready; no replacement escapes, and what is submitted afterwards is refused.
func TestB13_KillAll(t *testing.T) {
	l := newLab(t, nil, workers("lab", 3))
	started := make(chan error, 1)
	go func() { started <- l.Start(context.Background()) }() // ends with Start
	ctx := bounded(t)
	first := waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return true }) // others may still be starting
	var busy []*multiprolab.Future[int]
	for range 2 {
		f, err := multiprolab.Submit[int](ctx, l, "spin", nil, nil)
		require.NoError(t, err)
		busy = append(busy, f)
	}
	require.NoError(t, signalProcess(first.PID, "SIGKILL"))
	stopped := l.Stop(ctx, multiprolab.KillAll)
	var killed *multiprolab.ShutdownError
	if stopped != nil { // nobody had to be killed only if all were between two lives
		require.ErrorAs(t, stopped, &killed)
	}
	<-started
	for _, f := range busy {
		_, err := f.Wait(ctx)
		require.Error(t, err)
	}
	_, err := multiprolab.Submit[int](ctx, l, "double", 1, nil)
	require.ErrorIs(t, err, multiprolab.ErrStopped)
	l.checkGone(t)
	require.Equal(t, stopped, l.Stop(ctx, multiprolab.KillAll), "a second time is safe")
}

// TestB13_KillAllBeforeStart: nothing is started afterwards.
func TestB13_KillAllBeforeStart(t *testing.T) {
	l := newLab(t, nil, workers("lab", 2))
	require.NoError(t, l.Stop(bounded(t), multiprolab.KillAll))
	require.ErrorIs(t, l.Start(context.Background()), multiprolab.ErrStopped)
	_, err := multiprolab.Submit[int](bounded(t), l, "double", 1, nil)
	require.ErrorIs(t, err, multiprolab.ErrStopped)
	require.Empty(t, l.all(), "no worker has been started")
}

// BenchmarkTimeout measures how long after its deadline and its grace the submitter of a task that
// does not heed its context gets the error: over-ms.
func BenchmarkTimeout(b *testing.B) {
	const timeout, grace = 20 * time.Millisecond, 100 * time.Millisecond
	for _, kind := range []string{"spins", "blocks in the kernel", "is stopped"} {
		b.Run(kind, func(b *testing.B) {
			app := benchLab(b, workers("stuck", 1))
			var over time.Duration
			n := 0
			for b.Loop() {
				begin := time.Now()
				_, err := multiprolab.DoWith[int](
					context.Background(),
					app,
					"stuck",
					kind,
					&multiprolab.TaskOptions{Timeout: timeout, Grace: grace},
				)
				over += time.Since(begin) - timeout - grace
				n++
				var late *multiprolab.TimeoutError
				require.ErrorAs(b, err, &late)
				require.True(b, late.Killed)
			}
			b.ReportMetric(float64(over.Microseconds())/1000/float64(n), "over-ms")
		})
	}
}

var _ = worker("stuck", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "stuck", func(ctx context.Context, kind string) (int, error) {
		switch kind {
		case "spins":
			spinForEver()
		case "is stopped":
			signalSelf("SIGSTOP")
		}
		blockInKernel()
		return 0, nil
	})
	return nil
})
