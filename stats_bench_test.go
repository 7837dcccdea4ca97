package multiprolab_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// manyTypes is how many types of tasks the worker types has.
const manyTypes = 1000

var typesWorker = worker("types", func(ctx context.Context, w *multiprolab.Worker) error {
	for i := range manyTypes {
		multiprolab.HandleTask(w, fmt.Sprint("type", i), func(ctx context.Context, n int) (int, error) { return n, nil })
	}
	return nil
})

// BenchmarkStats takes snapshots of a program with a hundred workers and a thousand types of tasks,
// each of which has run.
func BenchmarkStats(b *testing.B) {
	l := benchLab(b, workers("bench", 100), workers(typesWorker, 1))
	for i := range manyTypes {
		_, err := multiprolab.Do[int](b.Context(), l, fmt.Sprint("type", i), i)
		require.NoError(b, err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s := l.Stats()
		if len(s.Types) != manyTypes || len(s.Workers) != 101 {
			b.Fatal(len(s.Types), len(s.Workers))
		}
	}
}

// BenchmarkWatched does small tasks while nobody asks, and while somebody asks for Stats and encodes
// them each second. The cost of being watched is the difference.
func BenchmarkWatched(b *testing.B) {
	l := benchLab(b, workers("bench", 2))
	for _, every := range []time.Duration{0, time.Second} {
		b.Run(fmt.Sprint("every=", every), func(b *testing.B) {
			over := make(chan struct{})
			watched := make(chan struct{})
			go func() { // ends when over is closed
				defer close(watched)
				if every == 0 {
					return
				}
				tick := time.NewTicker(every)
				defer tick.Stop()
				for {
					select {
					case <-over:
						return
					case <-tick.C:
						_ = l.Stats()
					}
				}
			}()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := multiprolab.Do[benchPoint](b.Context(), l, "task", benchPoint{"p", 1, 2}); err != nil {
						b.Error(err)
					}
				}
			})
			close(over)
			<-watched
		})
	}
}
