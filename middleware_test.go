package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/backend"
)

// layerKey is the key of what the middlewares of the tests put into a context.
type layerKey struct{}

// layer returns a middleware that notes its name in the context, and refuses what has the header
// "refuse" with its name, or is of the type that is its name.
func layer(name string) multiprolab.Middleware {
	return func(next multiprolab.Step) multiprolab.Step {
		return func(ctx context.Context, op *multiprolab.Operation) error {
			if op.Header["refuse"] == name || op.Type == name {
				return fmt.Errorf("%s refuses %s %q from %s", name, op.Kind, op.Type, op.Sender)
			}
			above, _ := ctx.Value(layerKey{}).(string)
			return next(context.WithValue(ctx, layerKey{}, above+name), op)
		}
	}
}

// labelled is a middleware that sets the header "label" of what is sent, to what its context says.
func labelled(next multiprolab.Step) multiprolab.Step {
	return func(ctx context.Context, op *multiprolab.Operation) error {
		if label, ok := ctx.Value(labelKey{}).(string); ok {
			op.SetHeader("label", label)
			op.SetHeader("kind", op.Kind)
		}
		return next(ctx, op)
	}
}

type labelKey struct{}

// withLabel is a context under which everything that is sent has a label.
func withLabel(ctx context.Context, label string) context.Context {
	return context.WithValue(ctx, labelKey{}, label)
}

// told says what a handler of the worker "layers" sees.
func told(ctx context.Context) string {
	layers, _ := ctx.Value(layerKey{}).(string)
	var header map[string]string
	if m := multiprolab.MessageFrom(ctx); m != nil {
		header = m.Header
	} else if t := multiprolab.TaskFrom(ctx); t != nil {
		header = t.Header
	}
	return layers + " " + header["label"] + " " + header["kind"]
}

var _ = worker("layers", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.UseHandle(w, layer("a"))
	multiprolab.HandleCall(w, "layers", func(ctx context.Context, _ struct{}) (string, error) { return told(ctx), nil })
	multiprolab.UseHandle(w, layer("b")) // handlers that were registered before have it, too
	multiprolab.UseSend(w, labelled)
	multiprolab.Handle(w, "layers-message", func(ctx context.Context, _ struct{}) error {
		return multiprolab.Send(withLabel(ctx, "back"), w, "main", "seen", told(ctx))
	})
	multiprolab.HandleTask(w, "layers-task", func(ctx context.Context, how string) (string, error) {
		if t := multiprolab.TaskFrom(ctx); t.Attempt == 1 && how != "" {
			die(how)
		}
		return told(ctx), nil
	})
	multiprolab.HandleTask(w, "layers-item", func(ctx context.Context, n int) (string, error) {
		if n == 70 {
			die("SIGKILL")
		}
		return fmt.Sprint(n, " ", told(ctx)), nil
	})
	multiprolab.HandleCall(w, "layers-on", func(ctx context.Context, to string) ([]string, error) {
		under := withLabel(ctx, "on")
		call, err := multiprolab.Call[string](under, w, to, "layers", nil)
		task, err2 := multiprolab.Do[string](under, w, "layers-task", "SIGKILL")
		return []string{call, task}, errors.Join(err, err2)
	})
	w.PullTasks("layers-pulled")
	go func() { // ends with the worker
		for {
			t, err := w.Tasks().Get(ctx, "layers-pulled")
			if err != nil {
				return
			}
			_ = t.Done(t.Header["label"])
		}
	}()
	return nil
})

// startLayers starts two workers "layers" in an app with the same middlewares.
func startLayers(t *testing.T, cfg *multiprolab.Config) (l *lab, seen chan string) {
	l = newLab(t, cfg, workers("layers", 2))
	l.TaskDefaults("layers-task", &multiprolab.TaskOptions{Attempts: 2, Retry: soon})
	seen = make(chan string, 100)
	multiprolab.Handle(l, "seen", func(ctx context.Context, s string) error {
		seen <- s + ", " + told(ctx)
		return nil
	})
	multiprolab.HandleCall(l, "layers", func(ctx context.Context, _ struct{}) (string, error) { return told(ctx), nil })
	multiprolab.UseHandle(l, layer("m"))
	multiprolab.UseSend(l, labelled)
	require.NoError(t, l.Start(context.Background()))
	t.Cleanup(func() {
		_ = l.Close()
		l.checkGone(t)
	})
	return l, seen
}

// Middlewares surround every handler of a process, the first one outermost, and what they put into
// the context reaches the handler. The headers of the sender's middleware arrive, also after the
// death of a worker, between two workers and by way of a Backend.
func TestMiddlewaresAndHeaders(t *testing.T) {
	for name, cfg := range map[string]*multiprolab.Config{"memory": {}, "backend": {Backend: backend.NewMemory()}} {
		t.Run(name, func(t *testing.T) {
			l, seen := startLayers(t, cfg)
			ctx := bounded(t)
			under := withLabel(ctx, "x")

			got, err := multiprolab.Call[string](under, l, "layers/0", "layers", nil)
			require.NoError(t, err)
			require.Equal(t, "ab x call", got)
			got, err = multiprolab.Call[string](ctx, l, "layers/0", "layers", nil)
			require.NoError(t, err)
			require.Equal(t, "ab  ", got, "without headers there are none")
			got, err = multiprolab.Call[string](under, l, "main", "layers", nil)
			require.NoError(t, err)
			require.Equal(t, "m x call", got)

			require.NoError(t, multiprolab.Send(under, l, "layers/1", "layers-message", nil))
			require.Equal(t, "ab x message, m back message", await(t, seen, "the message"))
			require.NoError(t, multiprolab.Broadcast(under, l, "layers", "layers-message", nil))
			for range 2 {
				require.Equal(t, "ab x message, m back message", await(t, seen, "the broadcast"))
			}

			for _, how := range []string{"", "SIGKILL"} {
				got, err = multiprolab.Do[string](under, l, "layers-task", how)
				require.NoError(t, err)
				require.Equal(t, "ab x task", got, how)
			}
			f, err := multiprolab.Submit[string](under, l, "layers-task", "exit 3", nil)
			require.NoError(t, err)
			got, err = f.Wait(ctx)
			require.NoError(t, err)
			require.Equal(t, "ab x task", got)
			got, err = multiprolab.Do[string](under, l, "layers-pulled", nil)
			require.NoError(t, err)
			require.Equal(t, "x", got)

			for _, to := range []string{"layers/1", "main"} {
				both, err := multiprolab.Call[[]string](ctx, l, "layers/0", "layers-on", to)
				require.NoError(t, err)
				layers := map[string]string{"layers/1": "ab", "main": "m"}[to]
				require.Equal(t, []string{layers + " on call", "ab on task"}, both)
			}
		})
	}
}

// Each item of a Map goes through the middlewares of its handler, and has the headers of the Map;
// the death of a worker costs the item that it ran, and no other.
func TestMiddlewaresOfMap(t *testing.T) {
	l, _ := startLayers(t, nil)
	items := make([]int, 300)
	for i := range items {
		items[i] = i
	}
	n := 0
	for got, err := range multiprolab.Map[string](withLabel(bounded(t), "x"), l, "layers-item", slices.Values(items), nil) {
		if n == 70 {
			var died *multiprolab.WorkerDiedError
			require.ErrorAs(t, err, &died)
		} else {
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(n, " ab x map"), got)
		}
		n++
	}
	require.Equal(t, 300, n)
}

// What a middleware refuses at its sender is not sent, and what it refuses at the receiver does not
// reach the handler; the sender gets the error.
func TestMiddlewareRefuses(t *testing.T) {
	l, seen := startLayers(t, nil)
	multiprolab.UseSend(l, layer("out"))
	ctx := bounded(t)
	const refused = `out refuses %s "out" from main`
	require.EqualError(t, multiprolab.Send(ctx, l, "layers", "out", nil), fmt.Sprintf(refused, "message"))
	_, err := multiprolab.Call[string](ctx, l, "layers", "out", nil)
	require.EqualError(t, err, fmt.Sprintf(refused, "call"))
	_, err = multiprolab.Do[string](ctx, l, "out", nil)
	require.EqualError(t, err, fmt.Sprintf(refused, "task"))
	_, err = multiprolab.Submit[string](ctx, l, "out", nil, nil)
	require.EqualError(t, err, fmt.Sprintf(refused, "task"))
	for _, err := range multiprolab.Map[string](ctx, l, "out", slices.Values([]int{1, 2}), nil) {
		require.EqualError(t, err, fmt.Sprintf(refused, "map"))
	}
	require.Zero(t, l.Tasks().Stats().Received)

	multiprolab.UseSend(l, func(next multiprolab.Step) multiprolab.Step {
		return func(ctx context.Context, op *multiprolab.Operation) error {
			op.SetHeader("refuse", "b")
			return next(ctx, op)
		}
	})
	var remote *multiprolab.RemoteError
	_, err = multiprolab.Call[string](ctx, l, "layers/0", "layers", nil)
	require.ErrorAs(t, err, &remote)
	require.ErrorContains(t, err, `b refuses call "layers" from main`)
	_, err = multiprolab.DoWith[string](ctx, l, "layers-task", "", &multiprolab.TaskOptions{Attempts: 1})
	require.ErrorAs(t, err, &remote)
	require.ErrorContains(t, err, `b refuses task "layers-task" from main`)
	require.NoError(t, multiprolab.Send(ctx, l, "layers/0", "layers-message", nil))
	failed := waitEvent[*multiprolab.HandlerFailed](t, l, nil)
	require.ErrorContains(t, failed.Err, `b refuses message "layers-message" from main`)
	n := 0
	for _, err := range multiprolab.Map[string](ctx, l, "layers-item", slices.Values([]int{1, 2}), nil) {
		require.ErrorContains(t, err, "b refuses")
		n++
	}
	require.Equal(t, 2, n)
	require.Empty(t, seen)
}

// A middleware that does not call next, and returns no error, makes an empty outcome. One that
// submits and then fails leaves no task behind.
func TestMiddlewareWithoutNext(t *testing.T) {
	l, _ := startLayers(t, nil)
	ctx := bounded(t)
	boom := errors.New("boom")
	multiprolab.UseSend(l, func(next multiprolab.Step) multiprolab.Step {
		return func(ctx context.Context, op *multiprolab.Operation) error {
			switch op.Type {
			case "nothing":
				return nil
			case "layers-task":
				return errors.Join(next(ctx, op), boom)
			}
			return next(ctx, op)
		}
	})
	require.NoError(t, multiprolab.Send(ctx, l, "nobody", "nothing", nil))
	got, err := multiprolab.Call[string](ctx, l, "nobody", "nothing", nil)
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = multiprolab.Submit[string](ctx, l, "nothing", nil, nil)
	require.ErrorContains(t, err, "a middleware has returned no error, and no task")
	_, err = multiprolab.Submit[string](ctx, l, "layers-task", "", nil)
	require.ErrorIs(t, err, boom)
	require.NoError(t, l.Tasks().Join(ctx))
}

// Headers over their limit are an error where they are set, and nothing is sent.
func TestHeadersOverTheLimit(t *testing.T) {
	l, _ := startLayers(t, nil)
	ctx := withLabel(bounded(t), strings.Repeat("x", 8<<10))
	_, err := multiprolab.Call[string](ctx, l, "layers/0", "layers", nil)
	require.ErrorContains(t, err, "at most 8192 may travel")
	_, err = multiprolab.Do[string](ctx, l, "layers-task", "")
	require.ErrorContains(t, err, "at most 8192 may travel")
	for _, err := range multiprolab.Map[string](ctx, l, "layers-item", slices.Values([]int{1}), nil) {
		require.ErrorContains(t, err, "at most 8192 may travel")
	}
	ctx = withLabel(bounded(t), strings.Repeat("x", 8000))
	got, err := multiprolab.Do[string](ctx, l, "layers-task", "SIGKILL")
	require.NoError(t, err)
	require.Len(t, got, len("ab  task")+8000)
}

func ExampleUseHandle() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	app.RegisterWorker("worker", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.UseHandle(w, func(next multiprolab.Step) multiprolab.Step {
			return func(ctx context.Context, op *multiprolab.Operation) error {
				if op.Header["token"] != "secret" {
					return fmt.Errorf("%s %q of %s is not allowed", op.Kind, op.Type, op.Sender)
				}
				return next(ctx, op)
			}
		})
		multiprolab.HandleTask(w, "double", func(ctx context.Context, n int) (int, error) { return 2 * n, nil })
		return nil
	}, nil)
	token := "wrong"
	multiprolab.UseSend(app, func(next multiprolab.Step) multiprolab.Step {
		return func(ctx context.Context, op *multiprolab.Operation) error {
			op.SetHeader("token", token)
			return next(ctx, op)
		}
	})
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		fmt.Println(multiprolab.Do[int](ctx, app, "double", 21))
		token = "secret"
		fmt.Println(multiprolab.Do[int](ctx, app, "double", 21))
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 0 multiprolab: worker/0: "double": task "double" of main is not allowed
	// 42 <nil>
}

// A middleware that passes on an Operation of its own gets an error that says so.
func TestMiddlewareWithAnotherOperation(t *testing.T) {
	other := func(next multiprolab.Step) multiprolab.Step {
		return func(ctx context.Context, op *multiprolab.Operation) error {
			if op.Header["own"] == op.Receiver {
				return next(ctx, &multiprolab.Operation{Kind: op.Kind})
			}
			return next(ctx, op)
		}
	}
	l := newLab(t, &multiprolab.Config{InProcess: true}, workers("layers", 1))
	own := "no one"
	multiprolab.UseSend(l, func(next multiprolab.Step) multiprolab.Step {
		return func(ctx context.Context, op *multiprolab.Operation) error {
			op.SetHeader("own", own)
			return other(next)(ctx, op)
		}
	})
	multiprolab.HandleCall(l, "here", func(context.Context, int) (int, error) { return 7, nil })
	require.NoError(t, l.Start(t.Context()))
	got, err := multiprolab.Call[int](bounded(t), l, "main", "here", 0)
	require.NoError(t, err)
	require.Equal(t, 7, got)
	own = "main"
	_, err = multiprolab.Call[int](bounded(t), l, "main", "here", 0)
	require.ErrorContains(t, err, "an Operation of its own")
	own = "layers"
	_, err = multiprolab.Call[string](bounded(t), l, "layers", "layers", nil)
	require.ErrorContains(t, err, "an Operation of its own")
}
