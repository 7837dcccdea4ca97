package multiprolab_test

import (
	"context"
	"iter"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// A stream that has no end does not keep the program from its end, in any mode. With InProcess, the
// context of its handler ends in place of the process, after the times that the mode gives it.
func TestStreamWithoutEndAtTheEndOfTheProgram(t *testing.T) {
	for mode, after := range map[multiprolab.ShutdownMode]time.Duration{
		multiprolab.FinishRunning: 10 * time.Second,
		multiprolab.DrainQueue:    time.Minute + 10*time.Second,
		multiprolab.KillAll:       0,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, &multiprolab.Config{InProcess: true, Shutdown: mode, DrainTimeout: time.Minute})
				ended := make(chan time.Time, 1)
				l.RegisterWorker("spring", func(_ context.Context, w *multiprolab.Worker) error {
					multiprolab.HandleStream(w, "for-ever", func(ctx context.Context, _ int) iter.Seq2[int, error] {
						return func(yield func(int, error) bool) {
							for n := 0; yield(n, nil); n++ {
								time.Sleep(time.Second)
							}
							ended <- time.Now()
						}
					})
					return nil
				}, nil)
				require.NoError(t, l.Start(t.Context()))
				outcome := make(chan error, 1)
				go func() { // ends with the stream
					var last error
					for _, err := range multiprolab.Stream[int](t.Context(), l, "for-ever", 0, nil) {
						last = err
					}
					outcome <- last
				}()
				time.Sleep(5 * time.Second)
				begun := time.Now()
				err := l.Close()
				require.NoError(t, ignore[*multiprolab.ShutdownError](err))
				last := <-outcome
				require.Error(t, last)
				require.WithinDuration(t, begun.Add(after), <-ended, 2*time.Second)
			})
		})
	}
}

// In a process of its own, the worker of a stream that has no end is ended by SIGTERM.
func TestProcessOfStreamWithoutEndIsEnded(t *testing.T) {
	for mode, by := range map[multiprolab.ShutdownMode]string{
		multiprolab.FinishRunning: "SIGTERM",
		multiprolab.DrainQueue:    "SIGTERM",
		multiprolab.KillAll:       "SIGKILL",
	} {
		t.Run(mode.String(), func(t *testing.T) {
			l := newLab(t, &multiprolab.Config{Shutdown: mode, DrainTimeout: 100 * time.Millisecond,
				ShutdownTimeout: 100 * time.Millisecond, KillTimeout: time.Minute}, workers("brook", 1))
			require.NoError(t, l.Start(t.Context()))
			asked := false
			var last error
			for _, err := range multiprolab.Stream[int](bounded(t), l, "endless", struct{}{}, nil) {
				if last = err; !asked {
					asked = true
					l.Exit()
				}
			}
			var died *multiprolab.WorkerDiedError
			require.ErrorAs(t, last, &died)
			if runtime.GOOS != "windows" {
				require.ErrorContains(t, last, "killed by "+by)
			}
			require.NoError(t, ignore[*multiprolab.ShutdownError](l.Wait(bounded(t))))
		})
	}
}
