package multiprolab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// handlerOf has the handler of the logger of the worker "log-here", which is goroutines.
var handlerOf = make(chan slog.Handler, 1)

var _ = worker("log-here", func(ctx context.Context, w *multiprolab.Worker) error {
	handlerOf <- w.Logger().Handler()
	return nil
})

// The worker that logs what it is told to.
var _ = worker("logger", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "log-all", func(ctx context.Context, _ struct{}) (int, error) {
		l := slog.With("a", 1).WithGroup("g").With("b", "two")
		l.DebugContext(ctx, "first", "c", 3*time.Second, slog.Group("in", "d", 1.5))
		l.WarnContext(ctx, "second\nline", "e", fmt.Errorf("not there: %w", fs.ErrNotExist), "f", []string{"x"})
		slog.Info("third")
		return os.Getpid(), nil
	})
	multiprolab.HandleTask(w, "log-and-die", func(ctx context.Context, how string) (int, error) {
		for i := range 300 {
			slog.ErrorContext(ctx, "last words", "i", i, "ballast", strings.Repeat("x", 1+i*7%900))
		}
		die(how)
		return 0, nil
	})
	multiprolab.HandleTask(w, "log-many", func(ctx context.Context, n int) (int, error) {
		for i := range n {
			slog.Info("one of many", "i", i, "ballast", strings.Repeat("x", 1000))
		}
		return n, nil
	})
	multiprolab.HandleTask(w, "log-as", func(ctx context.Context, how string) (bool, error) {
		switch how {
		case "log":
			log.SetPrefix("prefix ")
			log.Print("by package log")
		case "slog":
			slog.Info("by package slog")
		case "logger":
			w.Logger().Info("by the logger")
		case "stderr":
			fmt.Fprint(os.Stderr, "a line\nhalf ")
			fmt.Fprint(os.Stderr, "a line\nno end")
		}
		return w.Logger().Enabled(ctx, slog.LevelDebug), nil
	})
	return nil
})

// records is a log as JSON, for many goroutines.
type records struct{ buffer }

// logger returns a logger that writes there.
func (r *records) logger(level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: level, AddSource: true}))
}

// of returns the records of workers with a text; all of them with "".
func (r *records) of(t testing.TB, text string) (found []map[string]any) {
	for line := range strings.Lines(r.String()) {
		got := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(line), &got), line)
		if _, ok := got["pid"]; ok && (text == "" || got["msg"] == text) {
			found = append(found, got)
		}
	}
	return found
}

// A worker's records arrive whole and in order, with the worker, its process and its task.
func TestWorkerLogsArriveWhole(t *testing.T) {
	out := &records{}
	l := startLab(t, &multiprolab.Config{Logger: out.logger(slog.LevelDebug)}, workers("logger", 1))
	pid, err := multiprolab.Do[int](bounded(t), l, "log-all", nil)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	var own []map[string]any
	for _, r := range out.of(t, "") {
		if !strings.HasPrefix(r["msg"].(string), "multiprolab: ") {
			own = append(own, r)
		}
	}
	require.Len(t, own, 3)
	for i, r := range own {
		require.Equal(t, "logger/0", r["worker"])
		require.EqualValues(t, pid, r["pid"])
		require.EqualValues(t, 1, r["life"])
		require.Contains(t, r["source"].(map[string]any)["file"], "workerlogs_test.go", "record %d", i)
		require.Contains(t, r["source"].(map[string]any)["function"], "multiprolab_test.")
		at, err := time.Parse(time.RFC3339Nano, r["time"].(string))
		require.NoError(t, err)
		require.False(t, at.After(time.Now()))
	}
	first, second, third := own[0], own[1], own[2]
	require.Equal(t, []any{"DEBUG", "WARN", "INFO"}, []any{first["level"], second["level"], third["level"]})
	require.Equal(t, []any{"first", "second\nline", "third"}, []any{first["msg"], second["msg"], third["msg"]})
	require.EqualValues(t, 1, first["a"])
	require.Equal(t, map[string]any{"b": "two", "c": 3e9, "in": map[string]any{"d": 1.5}}, first["g"])
	require.Equal(t, map[string]any{"b": "two", "e": "not there: file does not exist", "f": []any{"x"}}, second["g"])
	require.Equal(t, "log-all", first["task"].(map[string]any)["type"])
	require.NotZero(t, first["task"].(map[string]any)["id"])
	require.Equal(t, first["task"], second["task"])
	require.NotContains(t, third, "task")
}

// The way from a worker to main's handler is a handler as package slog wants it.
func TestWorkerLoggerIsAHandler(t *testing.T) {
	var out *buffer
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		out = &buffer{}
		cfg := &multiprolab.Config{InProcess: true, Logger: slog.New(slog.NewJSONHandler(out, nil))}
		l := newLab(t, cfg, workers("log-here", 1))
		require.NoError(t, l.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, l.Close()) })
		return <-handlerOf
	}, func(t *testing.T) map[string]any {
		eventually(t, "the record", func() bool { return strings.HasSuffix(out.String(), "\n") })
		got := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(out.String()), &got))
		return got
	})
}

// What a worker has logged before its death is in main's log, all of it and in order, and before
// the record of the death.
func TestLastRecordsOfADeadWorker(t *testing.T) {
	out := &records{}
	l := startLab(t, &multiprolab.Config{Logger: out.logger(slog.LevelInfo)}, pool{
		"logger", &multiprolab.WorkerConfig{RestartDelay: time.Millisecond},
	})
	for i, how := range []string{
		"exit 0", "exit 1", "panic", "stray panic", "nil", "SIGKILL", "SIGSEGV", "stack overflow",
	} {
		_, err := multiprolab.Do[int](bounded(t), l, "log-and-die", how)
		require.Error(t, err)
		waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == i+2 })
	}
	require.NoError(t, l.Close())
	life, next := 1, 0
	for _, r := range out.of(t, "") {
		require.EqualValues(t, life, r["life"])
		switch r["msg"] {
		case "last words":
			require.EqualValues(t, next, r["i"], "life %d", life)
			next++
		case "multiprolab: worker failed":
			require.Equal(t, 300, next, "life %d", life)
			life, next = life+1, 0
		}
	}
	require.Equal(t, 9, life)
}

// Config.WorkerLogs says who logs in main's log; the others go on to print on stderr.
func TestWorkerLogsModes(t *testing.T) {
	for mode, inMain := range map[multiprolab.WorkerLogs][]string{
		multiprolab.ForwardSlog: {"by package slog", "by the logger"},
		multiprolab.ForwardAll:  {"by package log", "by package slog", "by the logger"},
		multiprolab.ForwardNone: {"by the logger"},
	} {
		t.Run(mode.String(), func(t *testing.T) {
			out := &records{}
			cfg := &multiprolab.Config{WorkerLogs: mode, Logger: out.logger(slog.LevelInfo)}
			l := startLab(t, cfg, workers("logger", 1))
			for _, how := range []string{"log", "slog", "logger"} {
				_, err := multiprolab.Do[bool](bounded(t), l, "log-as", how)
				require.NoError(t, err)
			}
			require.NoError(t, l.Close())
			for _, text := range []string{"by package log", "by package slog", "by the logger"} {
				n := len(out.of(t, text)) + len(out.of(t, "prefix "+text))
				if m := strings.Count(l.stderr.String(), text); strings.Contains(strings.Join(inMain, ","), text) {
					require.Equal(t, []int{1, 0}, []int{n, m}, text)
				} else {
					require.Equal(t, []int{0, 1}, []int{n, m}, text)
				}
			}
		})
	}
	require.ErrorContains(t, multiprolab.New(&multiprolab.Config{WorkerLogs: 7}).Run(t.Context()), "Config.WorkerLogs")
}

// A worker does not send what main's handler would not take, and hears of another level.
func TestWorkerLogsLevel(t *testing.T) {
	out, level := &records{}, &slog.LevelVar{}
	level.Set(slog.LevelWarn)
	l := startLab(t, &multiprolab.Config{Logger: out.logger(level)}, pool{
		"logger", &multiprolab.WorkerConfig{HeartbeatTimeout: time.Second},
	})
	debug, err := multiprolab.Do[bool](bounded(t), l, "log-as", "slog")
	require.NoError(t, err)
	require.False(t, debug)
	level.Set(slog.LevelDebug)
	eventually(t, "the worker to hear of it", func() bool {
		debug, err = multiprolab.Do[bool](bounded(t), l, "log-as", "logger")
		return debug && err == nil
	})
	require.NoError(t, l.Close())
	require.Empty(t, out.of(t, "by package slog"))
	require.NotEmpty(t, out.of(t, "by the logger"))
}

// logGate is a handler that holds the first record of workers until it is opened.
type logGate struct {
	slog.Handler
	in, open chan struct{}
	once     *sync.Once
}

func newLogGate(h slog.Handler) *logGate {
	return &logGate{h, make(chan struct{}), make(chan struct{}), new(sync.Once)}
}

func (g *logGate) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "one of many" {
		g.once.Do(func() { close(g.in) })
		<-g.open
	}
	return g.Handler.Handle(ctx, r)
}

// A handler of main that takes its time holds up the worker that logs too much, and nobody else; no
// record is lost.
func TestSlowLogHandler(t *testing.T) {
	out := &records{}
	g := newLogGate(out.logger(slog.LevelInfo).Handler())
	l := startLab(t, &multiprolab.Config{Logger: slog.New(g)}, workers("logger", 1), workers("lab", 1))
	future, err := multiprolab.Submit[int](bounded(t), l, "log-many", 2000, nil)
	require.NoError(t, err)
	await(t, g.in, "the first record")
	for range 3 { // others are served, die and come back meanwhile
		_, err := multiprolab.Call[int](bounded(t), l, "lab/0", "call-pid", nil)
		require.NoError(t, err)
		_, err = multiprolab.Do[int](bounded(t), l, "die", "exit 1")
		require.Error(t, err)
	}
	close(g.open)
	_, err = future.Wait(bounded(t))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	many := out.of(t, "one of many")
	require.Len(t, many, 2000)
	for i, r := range many {
		require.EqualValues(t, i, r["i"])
	}
	require.Len(t, out.of(t, "multiprolab: worker failed"), 3)
}

// A handler of main that waits for the worker whose record it has does not wait for ever: records
// are lost, and main's log says how many.
func TestLogHandlerThatWaitsForTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &records{}
		g := newLogGate(out.logger(slog.LevelInfo).Handler())
		l := newLab(t, &multiprolab.Config{InProcess: true, Logger: slog.New(g)}, workers("flooded", 1))
		require.NoError(t, l.Start(t.Context()))
		called := make(chan error, 1)
		go func() {
			<-g.in
			_, err := multiprolab.Call[int](t.Context(), l, "flooded/0", "flood", 0) // comes behind the task
			called <- err
			close(g.open)
		}()
		_, err := multiprolab.Do[int](t.Context(), l, "flood", 1000)
		require.NoError(t, err)
		require.NoError(t, <-called)
		require.NoError(t, l.Close())
		arrived := len(out.of(t, "one of many"))
		lost := 0
		const notice = "multiprolab: records of the worker are lost, for the handler of the log is behind"
		for _, r := range out.of(t, notice) {
			lost += int(r["count"].(float64))
		}
		require.NotZero(t, lost, "%d have arrived", arrived)
		require.Equal(t, 1000, arrived+lost)
	})
}

var _ = worker("flooded", func(ctx context.Context, w *multiprolab.Worker) error {
	flood := func(ctx context.Context, n int) (int, error) {
		for range n {
			w.Logger().Info("one of many", "ballast", strings.Repeat("x", 1000))
		}
		return n, nil
	}
	multiprolab.HandleTask(w, "flood", flood)
	multiprolab.HandleCall(w, "flood", flood)
	return nil
})

// leaving is a handler that ends its goroutine with each record.
type leaving struct{ slog.Handler }

func (h leaving) Handle(ctx context.Context, r slog.Record) error {
	defer func() { _ = h.Handler.Handle(ctx, r) }()
	if r.Message == "one of many" {
		runtime.Goexit()
	}
	return nil
}

// A handler of main that calls runtime.Goexit, as t.FailNow does, loses no further record.
func TestLogHandlerThatCallsGoexit(t *testing.T) {
	out := &records{}
	l := startLab(
		t,
		&multiprolab.Config{InProcess: true, Logger: slog.New(leaving{out.logger(slog.LevelInfo).Handler()})},
		workers("flooded", 1),
	)
	_, err := multiprolab.Do[int](bounded(t), l, "flood", 1500)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.Len(t, out.of(t, "one of many"), 1500)
}

// Config.PrefixStderr puts the worker's name before each line that a worker prints there, also of
// its last report.
func TestPrefixStderr(t *testing.T) {
	l := startLab(t, &multiprolab.Config{PrefixStderr: true}, workers("logger", 1), workers("lab", 1))
	_, err := multiprolab.Do[bool](bounded(t), l, "log-as", "stderr")
	require.NoError(t, err)
	_, err = multiprolab.Do[int](bounded(t), l, "die", "panic")
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.NotContains(t, died.Stderr, "lab/0: ")
	require.NoError(t, l.Close())
	require.Equal(t, []string{"a line", "half a line", "no end"}, linesOf(l.stderr, "logger/0"))
	require.Contains(t, linesOf(l.stderr, "lab/0"), "panic: a test panics")
	for line := range strings.Lines(l.stderr.String()) {
		require.True(t, strings.HasPrefix(line, "logger/0: ") || strings.HasPrefix(line, "lab/0: "), "%q", line)
	}
}

// A program that does its work, replaces and resizes its workers and ends logs nothing at INFO.
func TestHealthyProgramIsQuiet(t *testing.T) {
	out := &bytes.Buffer{}
	l := newLab(t, &multiprolab.Config{Logger: slog.New(slog.NewTextHandler(out, nil))}, workers("lab", 2))
	multiprolab.Handle(l, "blocked", func(context.Context, int) error { return nil })
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	_, err := multiprolab.Do[string](bounded(t), l, "echo", "x")
	require.NoError(t, err)
	_, err = multiprolab.Do[string](bounded(t), l, "fail", "a task that fails is its submitter's affair")
	require.Error(t, err)
	_, err = multiprolab.Call[string](bounded(t), l, "lab", "call-echo", "x")
	require.NoError(t, err)
	require.NoError(t, multiprolab.Send(bounded(t), l, "lab/0", "add", 1))
	ctx, cancel := context.WithCancel(bounded(t))
	future, err := multiprolab.Submit[int](ctx, l, "block", nil, nil)
	require.NoError(t, err)
	eventually(t, "the task to run", func() bool { return l.Tasks().Stats().Running == 1 })
	future.Cancel()
	cancel()
	require.NoError(t, l.Restart(bounded(t), "lab"))
	require.NoError(t, l.Resize("lab", 1))
	require.NoError(t, l.Close())
	require.Empty(t, out.String())
}

// BenchmarkWorkerLog compares what a record of a worker's log costs with a message to a handler in
// main that logs the same.
func BenchmarkWorkerLog(b *testing.B) {
	for _, how := range []string{"records", "messages"} {
		b.Run(how, func(b *testing.B) {
			app := multiprolab.New(&multiprolab.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
			app.RegisterWorker("bench-logger", setups["bench-logger"], nil)
			log := slog.New(slog.NewTextHandler(io.Discard, nil))
			multiprolab.Handle(app, "note", func(ctx context.Context, n logNote) error {
				m := multiprolab.MessageFrom(ctx)
				log.LogAttrs(ctx, n.Level, n.Text,
					slog.String("worker", m.Sender), slog.Int("n", n.N), slog.String("name", n.Name))
				return nil
			})
			require.NoError(b, app.Start(b.Context()))
			b.ResetTimer()
			_, err := multiprolab.Do[int](b.Context(), app, how, b.N)
			require.NoError(b, err)
			require.NoError(b, app.Close()) // which waits until all are handled
		})
	}
}

// logNote is a record as a program would send it by itself.
type logNote struct {
	Time  time.Time
	Level slog.Level
	Text  string
	N     int
	Name  string
}

var _ = worker("bench-logger", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "records", func(ctx context.Context, n int) (int, error) {
		for i := range n {
			slog.InfoContext(ctx, "a record of a usual length", "n", i, "name", "value")
		}
		return n, nil
	})
	multiprolab.HandleTask(w, "messages", func(ctx context.Context, n int) (int, error) {
		for i := range n {
			n := logNote{time.Now(), slog.LevelInfo, "a record of a usual length", i, "value"}
			if err := multiprolab.Send(ctx, w, "main", "note", n); err != nil {
				return i, err
			}
		}
		return n, nil
	})
	return nil
})
