package browsertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// hostile is what somebody could give a name, an error or a line of output to take the page over, if
// the page made markup of it.
const hostile = `<img src=x onerror="window.owned=1"><script>window.owned=1</script>` + "\x1b[31m\u202e\x00&amp;</pre>"

// programs are the programs that the tests look at, one for each. All are made in every process of
// the tests, so that a process that is a worker finds its own.
var programs = map[string]*multiprolab.Main{}

// shown are the names of the programs.
var shown = []string{
	"pictures", "agree", "buttons", "hostile", "origins", "phone", "end", "double", "focus", "late", "first", "second",
	"minute", "refused", "hold", "merged", "model",
}

func TestMain(m *testing.M) {
	for _, name := range shown {
		programs[name] = newFarm(name)
		programs[name].Hook() // does not return in a worker
	}
	os.Exit(m.Run())
}

// newFarm returns a program that does what programs do: short work and long work, failures, retries,
// messages.
func newFarm(name string) *multiprolab.Main {
	app := multiprolab.New(&multiprolab.Config{Name: name, Stderr: io.Discard, Logger: slog.New(slog.DiscardHandler)})
	again := multiprolab.RestartLimit{Restarts: -1}
	app.RegisterWorker("renderer", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "render", work(w))
		multiprolab.HandleTask(w, "thumbnail", work(w))
		return nil
	}, &multiprolab.WorkerConfig{Count: 4, RestartLimit: again, RestartMaxDelay: time.Second})
	app.RegisterWorker("mailer", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "mail", work(w))
		multiprolab.Handle(w, "tick", func(context.Context, int) error { return nil })
		return nil
	}, &multiprolab.WorkerConfig{Count: 2, Queues: []string{"mail"}, RestartLimit: again})
	app.RegisterWorker("indexer", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "index", work(w))
		multiprolab.HandleCall(w, "cached", func(_ context.Context, n int) (int, error) { return n, nil })
		return nil
	}, nil)
	return app
}

// start starts a program, and ends it with the test.
func start(t *testing.T, name string) *multiprolab.Main {
	app := programs[name]
	require.NoError(t, app.Start(context.Background()))
	t.Cleanup(func() {
		err := app.Close()
		if _, killed := errors.AsType[*multiprolab.ShutdownError](err); !killed { // some tasks do not end by themselves
			require.NoError(t, err)
		}
	})
	return app
}

// job is what a worker of the farm is to do.
type job struct {
	For   time.Duration // how long it takes, half of it in the processor
	Print string        // to stderr
	Fail  string        // the text of its error
	Panic string        // what it dies of
}

// work returns a handler that does a job.
func work(w *multiprolab.Worker) func(context.Context, job) (string, error) {
	return func(ctx context.Context, j job) (string, error) {
		if j.Print != "" {
			fmt.Fprintln(os.Stderr, j.Print)
		}
		if j.Panic != "" {
			panic(j.Panic)
		}
		for until := time.Now().Add(j.For / 2); time.Now().Before(until); {
			_ = strings.Repeat("x", 1000) // the processor has something to do
		}
		select {
		case <-time.After(j.For / 2):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
		if j.Fail != "" {
			return "", errors.New(j.Fail)
		}
		return w.Name(), nil
	}
}

// till keeps a program busy until the function that it returns is called.
func till(app *multiprolab.Main) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() { season(ctx, app) })
	return func() {
		cancel()
		working.Wait()
	}
}

// season keeps a program busy until ctx ends.
func season(ctx context.Context, app *multiprolab.Main) {
	submit := func(typ string, j job, o *multiprolab.TaskOptions) {
		if _, err := app.Tasks().Submit(ctx, typ, j, o); err != nil {
			return // the end
		}
	}
	for i := 0; ctx.Err() == nil; i++ {
		if i%24 == 0 {
			submit(
				"render",
				job{
					For:   time.Duration(2+rand.IntN(9)) * time.Second,
					Print: fmt.Sprintf("frame %04d: 3 passes, 64 samples", i),
				},
				nil,
			)
		}
		for range 1 + rand.IntN(4) {
			submit("thumbnail", job{For: time.Duration(4+rand.IntN(30)) * time.Millisecond}, nil)
		}
		submit("index", job{For: time.Duration(20+rand.IntN(120)) * time.Millisecond}, nil)
		if i%3 == 0 {
			submit("mail", job{For: 30 * time.Millisecond}, &multiprolab.TaskOptions{Queue: "mail"})
		}
		if i%40 == 20 {
			submit("mail", job{Fail: "550 5.1.1 no such user here"}, &multiprolab.TaskOptions{
				Queue: "mail", Attempts: 2, Retry: multiprolab.RetryPolicy{First: 300 * time.Millisecond},
			})
		}
		if i%160 == 90 {
			submit(
				"thumbnail",
				job{Print: "decoding IMG_2049.HEIC", Panic: "invalid Huffman code in IMG_2049.HEIC"},
				nil,
			)
		}
		for range 20 {
			_ = multiprolab.Send(ctx, app, "mailer", "tick", i) // fails at the end
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
