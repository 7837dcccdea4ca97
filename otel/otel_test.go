package otelmultiprolab_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/baggage"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/multiprolabtest"
	otelmultiprolab "github.com/multiprolab/multiprolab/otel"
)

// span is a span as a worker tells it.
type span struct {
	Worker, Name, Kind, Trace, ID, Parent, Error string
	Links                                        []string
	Attributes                                   map[string]string
}

// recorder is an OpenTelemetry SDK that keeps all spans of its process in memory.
type recorder struct {
	exporter *tracetest.InMemoryExporter
	tracers  *sdktrace.TracerProvider
}

func newRecorder() *recorder {
	e := tracetest.NewInMemoryExporter()
	return &recorder{e, sdktrace.NewTracerProvider(sdktrace.WithSyncer(e))}
}

func (r *recorder) spans(worker string) (all []span) {
	for _, s := range r.exporter.GetSpans() {
		if strings.HasSuffix(s.Name, "/spans") {
			continue
		}
		one := span{
			Worker: worker, Name: s.Name, Kind: s.SpanKind.String(), Trace: s.SpanContext.TraceID().String(),
			ID: s.SpanContext.SpanID().String(), Error: s.Status.Description, Attributes: map[string]string{},
		}
		if s.Parent.IsValid() {
			one.Parent = s.Parent.SpanID().String()
		}
		for _, a := range s.Attributes {
			one.Attributes[string(a.Key)] = a.Value.String()
		}
		for _, l := range s.Links {
			one.Links = append(one.Links, l.SpanContext.SpanID().String())
		}
		scope := s.InstrumentationScope
		if scope.Name == otelmultiprolab.ScopeName && !strings.HasSuffix(scope.SchemaURL, "/1.43.0") {
			panic("another schema: " + scope.SchemaURL)
		}
		all = append(all, one)
	}
	return all
}

var errRefused = errors.New("refused")

// setup is all workers: front calls back, and back works.
func setup(_ context.Context, w *multiprolab.Worker) error {
	r := newRecorder()
	otelmultiprolab.Use(w, &otelmultiprolab.Config{TracerProvider: r.tracers})
	multiprolab.HandleCall(w, "spans", func(context.Context, struct{}) ([]span, error) {
		return r.spans(w.Name()), nil
	})
	multiprolab.Handle(w, "note", func(ctx context.Context, how string) error {
		if how == "refuse" {
			return fmt.Errorf("note: %w", errRefused)
		}
		return nil
	})
	if w.Pool() == "back" {
		multiprolab.HandleCall(w, "shout", func(ctx context.Context, s string) (string, error) {
			who := baggage.FromContext(ctx).Member("who").Value()
			return strings.ToUpper(s) + who, nil
		})
		return nil
	}
	multiprolab.HandleTask(w, "greet", func(ctx context.Context, s string) (string, error) {
		return multiprolab.Call[string](ctx, w, "back/0", "shout", s)
	})
	multiprolab.HandleTask(w, "fail", func(ctx context.Context, how string) (string, error) {
		switch t := multiprolab.TaskFrom(ctx); {
		case how == "die":
			p, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = p.Kill()
			}
			if err != nil {
				return "", err
			}
			select {}
		case t.Attempt < 3:
			return "", fmt.Errorf("attempt %d: %w", t.Attempt, errRefused)
		}
		return "done", nil
	})
	multiprolab.HandleTask(w, "square", func(_ context.Context, n int) (int, error) { return n * n, nil })
	multiprolab.HandleStream(w, "count", func(_ context.Context, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := 0; i < n && yield(i, nil); i++ {
			}
		}
	})
	return nil
}

// newApp returns the program of all tests.
func newApp(inProcess bool) *multiprolab.Main {
	app := multiprolab.New(&multiprolab.Config{InProcess: inProcess})
	app.RegisterError(errRefused)
	app.RegisterWorker("front", setup, nil)
	app.RegisterWorker("back", setup, nil)
	return app
}

func TestMain(m *testing.M) {
	multiprolabtest.Hook(func() *multiprolab.Main { return newApp(false) })
	os.Exit(m.Run())
}

// lab is a program under test.
type lab struct {
	*multiprolab.Main
	t *testing.T
	*recorder
}

func start(t *testing.T, inProcess bool) *lab {
	l := &lab{newApp(inProcess), t, newRecorder()}
	otelmultiprolab.Use(l, &otelmultiprolab.Config{TracerProvider: l.tracers})
	require.NoError(t, l.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// root runs fn in a span of its own, and returns the spans of its trace of all processes, by names.
func (l *lab) root(fn func(ctx context.Context)) map[string][]span {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	under, root := l.tracers.Tracer("test").Start(ctx, "root")
	fn(under)
	root.End()
	all := l.recorder.spans("main")
	for _, w := range []string{"front/0", "back/0"} {
		spans, err := multiprolab.Call[[]span](ctx, l, w, "spans", nil)
		require.NoError(l.t, err)
		all = append(all, spans...)
	}
	byName := map[string][]span{}
	ids := map[string]bool{"": true}
	for _, s := range all {
		if s.Trace == root.SpanContext().TraceID().String() {
			byName[s.Name] = append(byName[s.Name], s)
			ids[s.ID] = true
		}
	}
	for _, spans := range byName {
		for _, s := range spans {
			require.True(l.t, ids[s.Parent], "the parent of %s is not known", s.Name)
		}
	}
	return byName
}

// one returns the only span of a name.
func one(t *testing.T, spans map[string][]span, name string) span {
	t.Helper()
	require.Len(t, spans[name], 1, "%s: %v", name, spans)
	return spans[name][0]
}

// A task of main that calls another worker is one trace across three processes, whose parents are
// right.
func TestOneTrace(t *testing.T) {
	for _, inProcess := range []bool{false, true} {
		l := start(t, inProcess)
		spans := l.root(func(ctx context.Context) {
			who, err := baggage.NewMember("who", "!")
			require.NoError(t, err)
			bag, err := baggage.New(who)
			require.NoError(t, err)
			s, err := multiprolab.Do[string](baggage.ContextWithBaggage(ctx, bag), l, "greet", "hello")
			require.NoError(t, err)
			require.Equal(t, "HELLO!", s, "the baggage comes through two processes")
		})
		require.Len(t, spans, 4, "%v", spans) // the two ends of the call have one name
		submit, process := one(t, spans, "submit greet"), one(t, spans, "process greet")
		require.Len(t, spans["back/shout"], 2)
		call, handle := spans["back/shout"][0], spans["back/shout"][1]
		require.Equal(t, []string{"main", "front/0", "front/0", "back/0"},
			[]string{submit.Worker, process.Worker, call.Worker, handle.Worker})
		require.Equal(t, []string{"producer", "consumer", "client", "server"},
			[]string{submit.Kind, process.Kind, call.Kind, handle.Kind})
		require.Equal(t, []string{one(t, spans, "root").ID, submit.ID, process.ID, call.ID},
			[]string{submit.Parent, process.Parent, call.Parent, handle.Parent})
		require.Equal(t, []string{submit.ID}, process.Links)
		id := process.Attributes["messaging.message.id"]
		require.NotEmpty(t, id)
		require.Equal(t, map[string]string{
			"messaging.system": "multiprolab", "messaging.operation.name": "submit", "messaging.operation.type": "send",
			"messaging.destination.name": "greet", "messaging.client.id": "main",
		}, submit.Attributes)
		require.Equal(t, map[string]string{
			"messaging.system": "multiprolab", "messaging.operation.name": "process",
			"messaging.operation.type": "process", "messaging.destination.name": "greet",
			"messaging.client.id": "front/0", "messaging.consumer.group.name": "front", "messaging.message.id": id,
			"multiprolab.sender": "main", "multiprolab.task.attempt": "1",
		}, process.Attributes)
		require.Equal(t, map[string]string{
			"rpc.system.name": "multiprolab", "rpc.method": "back/shout", "multiprolab.receiver": "back/0",
		}, call.Attributes)
		require.Equal(t, map[string]string{
			"rpc.system.name": "multiprolab", "rpc.method": "back/shout", "multiprolab.receiver": "back/0",
			"multiprolab.sender": "front/0",
		}, handle.Attributes)
		for _, s := range []span{submit, process, call, handle} {
			require.Empty(t, s.Error)
		}
	}
}

// Each attempt at a task has a span of its own, and those that fail say why.
func TestRetries(t *testing.T) {
	l := start(t, false)
	spans := l.root(func(ctx context.Context) {
		s, err := multiprolab.DoWith[string](ctx, l, "fail", "", &multiprolab.TaskOptions{Attempts: 3})
		require.NoError(t, err)
		require.Equal(t, "done", s)
	})
	submit := one(t, spans, "submit fail")
	require.Empty(t, submit.Error)
	require.Len(t, spans["process fail"], 3)
	for i, s := range spans["process fail"] {
		require.Equal(t, submit.ID, s.Parent)
		require.Equal(t, fmt.Sprint(i+1), s.Attributes["multiprolab.task.attempt"])
		if i < 2 {
			require.Equal(t, fmt.Sprintf("attempt %d: refused", i+1), s.Error)
			require.Equal(t, "*errors.errorString", s.Attributes["error.type"])
		} else {
			require.Empty(t, s.Error)
			require.NotContains(t, s.Attributes, "error.type")
		}
	}
}

// The span of a task whose worker is killed ends with the error, at its submitter.
func TestKilledWorker(t *testing.T) {
	l := start(t, false)
	var died *multiprolab.WorkerDiedError
	spans := l.root(func(ctx context.Context) {
		_, err := multiprolab.Do[string](ctx, l, "fail", "die")
		require.ErrorAs(t, err, &died)
	})
	submit := one(t, spans, "submit fail")
	require.Contains(t, submit.Error, "worker front/0 (pid ")
	require.Equal(t, "*multiprolab.WorkerDiedError", submit.Attributes["error.type"])
	require.Empty(t, spans["process fail"], "it is lost with the process")
}

// Messages, broadcasts, calls that fail, the items of a Map and streams have their spans.
func TestKinds(t *testing.T) {
	l := start(t, false)
	spans := l.root(func(ctx context.Context) {
		require.NoError(t, multiprolab.Send(ctx, l, "front/0", "note", ""))
		require.NoError(t, multiprolab.Send(ctx, l, "front", "note", "refuse"))
		require.NoError(t, multiprolab.Broadcast(ctx, l, "", "note", ""))
		_, err := multiprolab.Call[int](ctx, l, "back", "nothing", nil)
		require.Error(t, err)
		sum := 0
		numbers := slices.Values([]int{1, 2, 3, 4, 5, 6, 7, 8, 9})
		for n, err := range multiprolab.Map[int, int](ctx, l, "square", numbers, nil) {
			require.NoError(t, err)
			sum += n
		}
		require.Equal(t, 285, sum)
		pieces := 0
		for _, err := range multiprolab.Stream[int](ctx, l, "count", 3, nil) {
			require.NoError(t, err)
			pieces++
		}
		require.Equal(t, 3, pieces)
	})
	require.Len(t, spans["send note"], 3)
	require.Len(t, spans["process note"], 4)
	failed := 0
	for _, s := range spans["process note"] {
		require.Equal(t, "consumer", s.Kind)
		if s.Error != "" {
			require.Equal(t, "note: refused", s.Error)
			failed++
		}
	}
	require.Equal(t, 1, failed)
	require.Equal(t, "front/0", spans["send note"][0].Attributes["multiprolab.receiver"])
	require.NotContains(t, spans["send note"][2].Attributes, "multiprolab.receiver", "a broadcast to all")
	call := one(t, spans, "back/nothing")
	require.Equal(t, "client", call.Kind)
	require.NotEmpty(t, call.Error)
	require.NotEmpty(t, call.Attributes["error.type"])
	all := one(t, spans, "map square")
	require.Equal(t, "producer", all.Kind)
	require.EqualValues(t, "9", fmt.Sprint(all.Attributes["messaging.batch.message_count"]))
	require.NotContains(t, call.Attributes, "messaging.batch.message_count")
	require.Len(t, spans["process square"], 9)
	for _, s := range spans["process square"] {
		require.Equal(t, all.ID, s.Parent)
	}
	require.Equal(t, one(t, spans, "submit count").ID, one(t, spans, "process count").Parent)
}

// The errors of who waits say what they are: cancellation, a deadline, a handler's error, a death.
func TestErrorTypes(t *testing.T) {
	l := start(t, false)
	once := &multiprolab.TaskOptions{Attempts: 1}
	for want, fails := range map[string]func(ctx context.Context) error{
		"context.Canceled": func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_, err := multiprolab.Do[string](ctx, l, "greet", "x")
			return err
		},
		"context.DeadlineExceeded": func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Nanosecond)
			defer cancel()
			_, err := multiprolab.Call[string](ctx, l, "back", "shout", "x")
			return err
		},
		"*multiprolab.RemoteError": func(ctx context.Context) error {
			_, err := multiprolab.DoWith[string](ctx, l, "fail", "", once)
			return err
		},
		"*multiprolab.UnknownReceiverError": func(ctx context.Context) error {
			return multiprolab.Send(ctx, l, "nobody", "x", 1)
		},
		"*multiprolab.MapError": func(ctx context.Context) (first error) {
			cfg := &multiprolab.MapConfig{Task: *once}
			for _, err := range multiprolab.Map[string](ctx, l, "fail", slices.Values([]string{"", "die"}), cfg) {
				first = cmp.Or(first, err)
			}
			return first
		},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		l.exporter.Reset()
		err := fails(ctx)
		cancel()
		require.Error(t, err)
		spans := l.recorder.spans("main")
		require.Len(t, spans, 1)
		require.Equal(t, want, spans[0].Attributes["error.type"])
		require.Equal(t, err.Error(), spans[0].Error)
	}
}

// The type of an error is that of what the wrappers of the library and of others wrap.
func TestTypesOfWrappedErrors(t *testing.T) {
	r := newRecorder()
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	otelmultiprolab.Use(app, &otelmultiprolab.Config{TracerProvider: r.tracers})
	var err error
	multiprolab.UseSend(app, func(multiprolab.Step) multiprolab.Step {
		return func(context.Context, *multiprolab.Operation) error { return err }
	})
	path := &fs.PathError{Op: "open", Err: fs.ErrNotExist}
	for _, c := range []struct {
		err  error
		want string
	}{
		{errRefused, "*errors.errorString"},
		{multiprolab.NoRetry(errRefused), "*errors.errorString"},
		{multiprolab.NoRetry(path), "*fs.PathError"},
		{fmt.Errorf("a: %w", multiprolab.RetryAfter(time.Second, fmt.Errorf("b: %w", path))), "*fs.PathError"},
		{fmt.Errorf("a: %w", multiprolab.ErrQueueFull), "multiprolab.ErrQueueFull"},
		{multiprolab.NoRetry(context.DeadlineExceeded), "context.DeadlineExceeded"},
		{errors.Join(errRefused, context.Canceled), "context.Canceled"},
		{&multiprolab.TimeoutError{}, "*multiprolab.TimeoutError"},
		{fmt.Errorf("a: %w", named{context.Canceled}), "refused"},
	} {
		r.exporter.Reset()
		err = c.err
		require.Error(t, multiprolab.Send(context.Background(), app, "nobody", "x", 1))
		require.Equal(t, c.want, r.spans("main")[0].Attributes["error.type"], "%v", err)
	}
}

// named is an error that names its type.
type named struct{ error }

func (named) ErrorType() string { return "refused" }

// Names that nobody can have become no text that an exporter could not send.
func TestHostileNames(t *testing.T) {
	l := start(t, true)
	ctx := context.Background()
	for _, name := range []string{"\xff\xfe", strings.Repeat("\u00e9", 1<<20), "a\x00b"} {
		_, err := multiprolab.Call[string](ctx, l, name, name, "x")
		require.Error(t, err)
		require.Error(t, multiprolab.Send(ctx, l, name, name, "x"))
		_, err = multiprolab.Do[string](ctx, l, name, "x")
		require.Error(t, err)
	}
	spans := l.recorder.spans("main")
	require.Len(t, spans, 9)
	for _, s := range spans {
		for _, text := range append(slices.Collect(maps.Values(s.Attributes)), s.Name, s.Error) {
			require.True(t, utf8.ValidString(text), "%q", text)
			require.LessOrEqual(t, len(text), 1<<10)
		}
	}
}

// What a trace carries travels whole, whether it is sampled or not, and replaces what headers have
// of another one; the headers of others are not touched.
func TestPropagation(t *testing.T) {
	state, err := trace.ParseTraceState("vendor=1")
	require.NoError(t, err)
	for _, flags := range []trace.TraceFlags{0, trace.FlagsSampled} {
		l := &lab{newApp(true), t, newRecorder()}
		shared := map[string]string{"mine": "x", "traceparent": "of another", "tracestate": "old=1", "baggage": "old=1"}
		multiprolab.UseSend(l, func(next multiprolab.Step) multiprolab.Step {
			return func(ctx context.Context, op *multiprolab.Operation) error {
				op.Header = shared
				return next(ctx, op)
			}
		})
		otelmultiprolab.Use(l, &otelmultiprolab.Config{TracerProvider: l.tracers})
		var sent map[string]string
		multiprolab.UseSend(l, func(multiprolab.Step) multiprolab.Step {
			return func(_ context.Context, op *multiprolab.Operation) error {
				sent = op.Header
				return errRefused
			}
		})
		parent := trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags, TraceState: state, Remote: true,
		})
		remote := trace.ContextWithRemoteSpanContext(context.Background(), parent)
		require.Error(t, multiprolab.Send(remote, l, "x", "x", 1))
		require.Equal(t, "x", sent["mine"])
		require.Equal(t, "vendor=1", sent["tracestate"])
		require.True(t, strings.HasPrefix(sent["traceparent"], "00-"+parent.TraceID().String()))
		require.True(t, strings.HasSuffix(sent["traceparent"], "-"+flags.String()))
		require.NotContains(t, sent, "baggage")
		require.Equal(t, "of another", shared["traceparent"])
		require.Len(t, l.recorder.spans("main"), int(flags))

		require.Error(t, multiprolab.Send(context.Background(), l, "x", "x", 1))
		require.NotContains(t, sent, "tracestate")
	}
}

// What does not fit into the headers is left behind, and what is sent arrives all the same.
func TestLargeBaggage(t *testing.T) {
	l := start(t, false)
	big, err := baggage.NewMember("big", strings.Repeat("x", 8000))
	require.NoError(t, err)
	bag, err := baggage.New(big)
	require.NoError(t, err)
	multiprolab.UseSend(l, func(next multiprolab.Step) multiprolab.Step { // inside, and so after the spans
		return func(ctx context.Context, op *multiprolab.Operation) error {
			if !strings.HasSuffix(op.Type, "spans") {
				require.NotEmpty(t, op.Header["traceparent"])
			}
			return next(ctx, op)
		}
	})
	spans := l.root(func(ctx context.Context) {
		_, err := multiprolab.Call[string](baggage.ContextWithBaggage(ctx, bag), l, "back", "shout", "x")
		require.NoError(t, err)
	})
	require.Len(t, spans["back/shout"], 2)
}

// A panic goes on as it was, and its span says so.
func TestPanic(t *testing.T) {
	r := newRecorder()
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	otelmultiprolab.Use(app, &otelmultiprolab.Config{TracerProvider: r.tracers})
	multiprolab.UseSend(app, func(multiprolab.Step) multiprolab.Step {
		return func(context.Context, *multiprolab.Operation) error { panic("mine") }
	})
	require.PanicsWithValue(t, "mine", func() { _ = multiprolab.Send(context.Background(), app, "nobody", "x", 1) })
	spans := r.spans("main")
	require.Len(t, spans, 1)
	require.Equal(t, "panic", spans[0].Attributes["error.type"])
	require.Contains(t, spans[0].Error, "has panicked")
}

// Hostile texts of errors are bounded, and valid.
func TestHostileError(t *testing.T) {
	r := newRecorder()
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	otelmultiprolab.Use(app, &otelmultiprolab.Config{TracerProvider: r.tracers})
	multiprolab.UseSend(app, func(multiprolab.Step) multiprolab.Step {
		return func(context.Context, *multiprolab.Operation) error { return hostile{} }
	})
	require.Error(t, multiprolab.Send(context.Background(), app, "nobody", "x", 1))
	s := r.spans("main")[0]
	require.Len(t, s.Error, 1<<10)
	require.Len(t, s.Attributes["error.type"], 200)
}

type hostile struct{}

func (hostile) Error() string     { return strings.Repeat("\u00e9", 1<<20) }
func (hostile) ErrorType() string { return strings.Repeat("x", 1<<20) }

// The zero Config takes the global TracerProvider, which makes no spans if nobody has set it.
func TestZeroConfig(t *testing.T) {
	app := newApp(true)
	otelmultiprolab.Use(app, nil)
	require.NoError(t, app.Start(context.Background()))
	defer func() { require.NoError(t, app.Close()) }()
	s, err := multiprolab.Call[string](context.Background(), app, "back", "shout", "x")
	require.NoError(t, err)
	require.Equal(t, "X", s)
	require.False(t, trace.SpanFromContext(context.Background()).IsRecording())
}
