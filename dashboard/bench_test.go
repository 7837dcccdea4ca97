package dashboard_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/dashboard"
)

// measured is the program of the benchmark.
var measured = newMeasured()

func TestMain(m *testing.M) {
	measured.Hook() // does not return in a worker
	os.Exit(m.Run())
}

func newMeasured() *multiprolab.Main {
	app := multiprolab.New(&multiprolab.Config{Name: "measured"})
	app.RegisterWorker("adder", func(_ context.Context, w *multiprolab.Worker) error {
		add := func(_ context.Context, n int) (int, error) { return n + 1, nil }
		multiprolab.HandleTask(w, "add", add)
		multiprolab.HandleCall(w, "add-now", add)
		return nil
	}, &multiprolab.WorkerConfig{Count: 2})
	return app
}

// BenchmarkWatched compares the throughput of small tasks and calls while a client looks at the page
// and another one asks for the figures each second, with that while nobody does. Each is the first
// of a pair as often. It reports the median of the ratios, and between which two half of them lie: 1
// means that it costs nothing to be watched.
func BenchmarkWatched(b *testing.B) {
	const span = time.Second // a scrape and some snapshots
	require.NoError(b, measured.Start(context.Background()))
	defer func() { require.NoError(b, measured.Close()) }()
	server := httptest.NewServer(dashboard.Handler(measured, nil))
	defer server.Close()

	endless := func(until time.Time) func(func(int) bool) {
		return func(yield func(int) bool) {
			for i := 0; time.Now().Before(until) && yield(i); i++ {
			}
		}
	}
	for name, work := range map[string]func(until time.Time) (n int){
		"tasks": func(until time.Time) (n int) {
			for _, err := range multiprolab.Map[int](b.Context(), measured, "add", endless(until), nil) {
				require.NoError(b, err)
				n++
			}
			return n
		},
		"calls": func(until time.Time) (n int) {
			for i := range endless(until) {
				_, err := multiprolab.Call[int](b.Context(), measured, "adder", "add-now", i)
				require.NoError(b, err)
				n++
			}
			return n
		},
	} {
		b.Run(name, func(b *testing.B) {
			var ratios []float64
			work(time.Now().Add(span / 3)) // warm
			for i := 0; b.Loop(); i++ {
				var done [2]float64 // alone and watched
				for k := range done {
					who := (i + k) % 2 // each is the first as often
					seen := func() {}
					if who == 1 {
						seen = look(b.Context(), server.URL)
					}
					done[who] = float64(work(time.Now().Add(span)))
					seen()
				}
				ratios = append(ratios, done[1]/done[0])
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/4], "quarter")
			b.ReportMetric(ratios[len(ratios)/2], "watched/alone")
			b.ReportMetric(ratios[len(ratios)*3/4], "three-quarters")
		})
	}
}

// BenchmarkSnapshot is what a second of being watched costs main: a snapshot, as JSON.
func BenchmarkSnapshot(b *testing.B) {
	app := multiprolab.New(&multiprolab.Config{Name: "dashboard", InProcess: true})
	app.RegisterWorker("adder", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "add", func(_ context.Context, n int) (int, error) { return n + 1, nil })
		return nil
	}, &multiprolab.WorkerConfig{Count: 64})
	require.NoError(b, app.Start(context.Background()))
	defer func() { require.NoError(b, app.Close()) }()
	for b.Loop() {
		text, err := json.Marshal(app.Stats())
		require.NoError(b, err)
		b.SetBytes(int64(len(text)))
	}
}

// look has a client read the stream of the page, and another one ask for the figures each second,
// until the function is called that it returns.
func look(ctx context.Context, url string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	get := func(path string) {
		r, err := http.NewRequestWithContext(ctx, "GET", url+path, nil)
		if err != nil {
			return
		}
		if resp, err := http.DefaultClient.Do(r); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body) // it ends with ctx, which is an error
			_ = resp.Body.Close()
		}
	}
	var clients sync.WaitGroup
	clients.Go(func() { get("/api/events") })
	clients.Go(func() {
		for ctx.Err() == nil {
			get("/api/stats")
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	})
	return func() {
		cancel()
		clients.Wait()
	}
}
