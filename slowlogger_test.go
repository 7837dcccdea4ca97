package multiprolab_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// A Config.Logger that does not return holds up no worker: they start, work, die and come back, and
// what it has not taken comes in order when it goes on.
func TestLoggerThatDoesNotReturn(t *testing.T) {
	for _, at := range []string{"worker started", "worker ready", "worker failed"} {
		synctest.Test(t, func(t *testing.T) {
			log := newHalting(at)
			l := newLab(t, &multiprolab.Config{InProcess: true, Logger: slog.New(log)})
			l.RegisterWorker("a", func(_ context.Context, w *multiprolab.Worker) error {
				multiprolab.HandleTask(w, "end", func(context.Context, int) (int, error) { w.Exit(); panic("never") })
				multiprolab.HandleTask(w, "life", func(context.Context, int) (int, error) { return w.Life(), nil })
				return nil
			}, nil)
			require.NoError(t, l.Start(t.Context()))
			for life := range 3 {
				got, err := multiprolab.Do[int](t.Context(), l, "life", 0)
				require.NoError(t, err)
				require.Equal(t, life+1, got)
				require.NoError(t, l.Kill("a/0"))
				waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == life+2 })
			}
			<-log.in
			close(log.goOn)
			require.NoError(t, l.Close())
			got := strings.Join(log.said.all(), "\n")
			want := ""
			for life := range 4 {
				number := string(rune('1' + life))
				want += "worker started a/0 " + number + "\nworker ready a/0 " + number + "\n"
				if life < 3 {
					want += "worker failed a/0 " + number + "\n"
				}
			}
			require.Contains(t, got, strings.TrimSuffix(want, "\n"))
		})
	}
}

// restarter is a handler that has a worker replaced when it hears of the worker's first life.
type restarter struct {
	slog.Handler
	restart func() error
	err     chan error
}

func (r restarter) Enabled(context.Context, slog.Level) bool { return true }

func (r restarter) Handle(_ context.Context, record slog.Record) error {
	first := false
	record.Attrs(func(a slog.Attr) bool {
		first = first || a.Key == "life" && a.Value.Int64() == 1
		return true
	})
	if first && record.Message == "multiprolab: worker ready" {
		r.err <- r.restart()
	}
	return nil
}

// A Config.Logger may have a worker replaced because of an event of it, and wait for that.
func TestLoggerThatRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *lab
		h := restarter{slog.DiscardHandler, func() error { return l.Restart(t.Context(), "a/0") }, make(chan error, 1)}
		l = newLab(t, &multiprolab.Config{InProcess: true, Logger: slog.New(h)})
		l.RegisterWorker("a", func(context.Context, *multiprolab.Worker) error { return nil }, nil)
		require.NoError(t, l.Start(t.Context()))
		require.NoError(t, <-h.err)
		require.Equal(t, 2, l.Stats().Workers[0].Life)
		require.NoError(t, l.Close())
	})
}
