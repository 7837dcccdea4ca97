package multiprolab_test

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The worker that logs more than main takes, and dies.
var _ = worker("flooded-to-death", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "flood-and-die", func(ctx context.Context, n int) (int, error) {
		for range n {
			w.Logger().Info("one of many", "ballast", strings.Repeat("x", 1000))
		}
		runtime.Goexit()
		return n, nil
	})
	return nil
})

// A worker that dies while records of its log are lost has told main that there are some.
func TestLossBeforeADeathIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &records{}
		g := newLogGate(out.logger(slog.LevelInfo).Handler())
		l := newLab(t, &multiprolab.Config{InProcess: true, Logger: slog.New(g)}, workers("flooded-to-death", 1))
		require.NoError(t, l.Start(t.Context()))
		_, err := multiprolab.Do[int](t.Context(), l, "flood-and-die", 1000)
		require.Error(t, err)
		close(g.open)
		require.NoError(t, l.Close())
		require.Less(t, len(out.of(t, "one of many")), 1000)
		const lost = "multiprolab: records of the worker are lost, for the handler of the log is behind"
		require.NotEmpty(t, out.of(t, lost))
	})
}
