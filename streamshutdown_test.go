package multiprolab_test

import (
	"context"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// A stream that has no end does not keep the program from its end, in any mode. The context of its
// handler ends when the worker gets SIGTERM, behind the times that the mode gives it.
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
