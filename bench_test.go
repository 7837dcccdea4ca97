package multiprolab_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The scenario "bare" is the least that a re-executed process can do: come to main and say so.
var _ = scenario("bare", func() { _, _ = os.Stdout.WriteString("here\n") })

// BenchmarkStart compares the start of a worker, until its setup function has returned and main
// knows, with the bare start of the same binary, until main has read what it says. The metric
// ready-ns is taken without the end of the process, which ns/op includes.
func BenchmarkStart(b *testing.B) {
	exe, err := os.Executable()
	require.NoError(b, err)
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), "MULTIPROLAB_TEST_MAIN=bare")
			out, err := cmd.StdoutPipe()
			require.NoError(b, err)
			require.NoError(b, cmd.Start())
			_, err = bufio.NewReader(out).ReadString('\n')
			require.NoError(b, err)
			require.NoError(b, cmd.Wait())
		}
	})
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint("workers ", n), func(b *testing.B) {
			for b.Loop() {
				l := benchLab(b, workers("lab", n))
				require.NoError(b, l.Close())
			}
		})
	}
}

// benchLab starts an app for a benchmark.
func benchLab(b *testing.B, pools ...pool) *multiprolab.Main {
	b.Helper()
	app := multiprolab.New(&multiprolab.Config{Logger: slog.New(slog.DiscardHandler)})
	for _, p := range pools {
		app.RegisterWorker(p.name, setups[p.name], p.cfg)
	}
	require.NoError(b, app.Start(context.Background()))
	b.Cleanup(func() { _ = app.Close() })
	return app
}

type benchPoint struct {
	Name string
	X, Y int
}

var _ = worker("bench", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "point", func(ctx context.Context, p benchPoint) (benchPoint, error) { return p, nil })
	multiprolab.HandleCall(w, "bytes", func(ctx context.Context, b []byte) ([]byte, error) { return b, nil })
	multiprolab.Handle(w, "one-way", func(ctx context.Context, p benchPoint) error { return nil })
	multiprolab.HandleTask(w, "task", func(ctx context.Context, p benchPoint) (benchPoint, error) { return p, nil })
	multiprolab.HandleCall(w, "relay", func(ctx context.Context, p benchPoint) (benchPoint, error) {
		return multiprolab.Call[benchPoint](ctx, w, "bench/1", "point", p)
	})
	return nil
})

func BenchmarkCall(b *testing.B) {
	app := benchLab(b, workers("bench", 2))
	ctx := context.Background()
	b.Run("struct", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := multiprolab.Call[benchPoint](ctx, app, "bench/0", "point", benchPoint{"p", 1, 2})
			require.NoError(b, err)
		}
	})
	for _, size := range []struct {
		name string
		n    int
	}{{"4KiB", 4 << 10}, {"1MiB", 1 << 20}} {
		b.Run(size.name, func(b *testing.B) {
			body := make([]byte, size.n)
			b.SetBytes(int64(size.n))
			b.ReportAllocs()
			for b.Loop() {
				_, err := multiprolab.Call[[]byte](ctx, app, "bench/0", "bytes", body)
				require.NoError(b, err)
			}
		})
	}
	b.Run("worker-to-worker", func(b *testing.B) {
		for b.Loop() {
			_, err := multiprolab.Call[benchPoint](ctx, app, "bench/0", "relay", benchPoint{"p", 1, 2})
			require.NoError(b, err)
		}
	})
}

// BenchmarkSend streams one-way messages; the last call waits until all have been handled.
func BenchmarkSend(b *testing.B) {
	app := benchLab(b, workers("bench", 1))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := multiprolab.Send(ctx, app, "bench/0", "one-way", benchPoint{"p", 1, 2}); err != nil {
			b.Fatal(err)
		}
	}
	_, err := multiprolab.Call[benchPoint](ctx, app, "bench/0", "point", benchPoint{})
	require.NoError(b, err)
}

func BenchmarkTask(b *testing.B) {
	app := benchLab(b, pool{"bench", &multiprolab.WorkerConfig{Count: 2}})
	ctx := context.Background()
	b.Run("one-at-a-time", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := multiprolab.Do[benchPoint](ctx, app, "task", benchPoint{"p", 1, 2})
			require.NoError(b, err)
		}
	})
	b.Run("many-at-a-time", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := multiprolab.Do[benchPoint](ctx, app, "task", benchPoint{"p", 1, 2}); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("map", func(b *testing.B) {
		b.ReportAllocs()
		items := func(yield func(benchPoint) bool) {
			for b.Loop() {
				if !yield(benchPoint{"p", 1, 2}) {
					return
				}
			}
		}
		for _, err := range multiprolab.Map[benchPoint](ctx, app, "task", items, nil) {
			require.NoError(b, err)
		}
	})
}

// BenchmarkSendToPool is a message to a pool of so many workers, all of which are busy: its cost
// must not grow with their number.
func BenchmarkSendToPool(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			app := benchLab(b, pool{"lab", &multiprolab.WorkerConfig{Count: n}})
			b.ReportAllocs()
			for b.Loop() {
				if err := multiprolab.Send(context.Background(), app, "lab", "add", 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The worker of BenchmarkReplace takes two seconds to set itself up.
var _ = worker("slow-setup", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "pid", func(ctx context.Context, _ struct{}) (int, error) { return os.Getpid(), nil })
	multiprolab.HandleTask(w, "stuck", func(ctx context.Context, file string) (int, error) {
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		for err == nil { // until it is killed
			_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(time.Now().UnixNano())), 0)
		}
		return 0, err
	})
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
	}
	return nil
})

// BenchmarkReplaceStuck measures the time from the last moment of the only worker, which main kills
// for a task that goes on past its time and its grace, to the first result of its spare.
func BenchmarkReplaceStuck(b *testing.B) {
	l := benchLab(b, pool{"slow-setup", &multiprolab.WorkerConfig{
		Spare: 1, RestartLimit: multiprolab.RestartLimit{Restarts: -1}, RestartDelay: 1, RestartMaxDelay: 1,
	}})
	changes, err := l.Watch(b.Context(), "slow-setup")
	require.NoError(b, err)
	o := multiprolab.TaskOptions{Timeout: 20 * time.Millisecond, Grace: 20 * time.Millisecond}
	last := b.TempDir() + "/last"
	require.NoError(b, os.WriteFile(last, make([]byte, 8), 0o600))
	var took []time.Duration
	for b.Loop() {
		for standing := false; !standing; {
			up, ok := (<-changes).(*multiprolab.WorkerReady)
			standing = ok && up.Worker == "slow-setup/spare.0"
		}
		_, err = multiprolab.Do[int](context.Background(), l, "pid", struct{}{})
		require.NoError(b, err)
		_, err = multiprolab.Submit[int](context.Background(), l, "stuck", last, &o)
		require.NoError(b, err)
		_, err = multiprolab.Do[int](context.Background(), l, "pid", struct{}{})
		now := time.Now()
		require.NoError(b, err)
		at, err := os.ReadFile(last)
		require.NoError(b, err)
		took = append(took, now.Sub(time.Unix(0, int64(binary.NativeEndian.Uint64(at)))))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[0].Nanoseconds()), "least-ns")
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "median-ns")
}

// BenchmarkReplace measures the time from the SIGKILL of the only worker, whose setup function takes
// two seconds, to the first result of its replacement, without and with a spare. Main waits for the
// end of the process by then. The time in which the spare is filled up again is not in it.
func BenchmarkReplace(b *testing.B) {
	for _, spare := range []int{0, 1} {
		b.Run(fmt.Sprint("spare ", spare), func(b *testing.B) {
			l := benchLab(b, pool{"slow-setup", &multiprolab.WorkerConfig{
				Spare: spare, RestartLimit: multiprolab.RestartLimit{Restarts: -1}, RestartDelay: 1, RestartMaxDelay: 1,
			}})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			changes, err := l.Watch(ctx, "slow-setup")
			require.NoError(b, err)
			var took []time.Duration
			for b.Loop() {
				for standing := spare == 0; !standing; {
					up, ok := (<-changes).(*multiprolab.WorkerReady)
					standing = ok && up.Worker == "slow-setup/spare.0"
				}
				pid, err := multiprolab.Do[int](context.Background(), l, "pid", struct{}{})
				require.NoError(b, err)
				begun := time.Now()
				require.NoError(b, killProcess(pid))
				for next := pid; next == pid; { // a result may be on its way from the one that dies
					next, _ = multiprolab.Do[int](context.Background(), l, "pid", struct{}{})
				}
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[0].Nanoseconds()), "least-ns")
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "median-ns")
		})
	}
}
