package multiprolab_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The untyped worker does by its router what it is told to, and says what comes to it.
var _ = worker("untyped", func(ctx context.Context, w *multiprolab.Worker) error {
	r := w.Router()
	multiprolab.HandleCall(w, "receivers", func(context.Context, struct{}) ([]string, error) { return r.Receivers(), nil })
	multiprolab.HandleCall(w, "ask", func(ctx context.Context, whom string) (name string, err error) {
		err = r.Call(ctx, whom, "name", nil, &name)
		return name, err
	})
	multiprolab.HandleCall(w, "name", func(context.Context, *int) (string, error) { return w.Name(), nil })
	multiprolab.HandleCall(w, "tell-all", func(ctx context.Context, text string) (int, error) {
		return 0, r.Broadcast(ctx, "untyped", "hear", text)
	})
	multiprolab.Handle(w, "hear", func(ctx context.Context, text string) error {
		return r.Send(ctx, multiprolab.MainName, "heard", fmt.Sprintf("%s in life %d: %s", w.Name(), w.Life(), text))
	})
	multiprolab.Handle(w, "msg-die", func(_ context.Context, how string) error { die(how); return nil })
	return nil
})

// A worker has the router that main has: it reaches main, its fellows and what takes the place of
// one that was killed, and knows the names after a Resize.
func TestRouterOfAWorker(t *testing.T) {
	heard := make(chan string, 10)
	l := newLab(t, nil, pool{"untyped", &multiprolab.WorkerConfig{Count: 2}})
	multiprolab.Handle(l, "heard", func(_ context.Context, text string) error { heard <- text; return nil })
	require.NoError(t, l.Start(context.Background()))
	defer l.Close()
	ctx := bounded(t)
	ask := func(typ string, body any, reply any) error {
		return l.Router().Call(ctx, "untyped/0", typ, body, reply)
	}

	require.NoError(t, multiprolab.Send(ctx, l, "untyped/1", "msg-die", "SIGKILL"))
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "untyped/1" && e.Life == 2 })
	var name string
	require.NoError(t, ask("ask", "untyped/1", &name))
	require.Equal(t, "untyped/1", name)
	require.ErrorContains(t, ask("ask", "nobody", &name), `no receiver is named "nobody"`)
	require.NoError(t, ask("tell-all", "hello", new(int)))
	require.Equal(t, "untyped/1 in life 2: hello", await(t, heard, "the broadcast of a worker"))

	for _, n := range []int{2, 3, 1} {
		require.NoError(t, l.Resize("untyped", n))
		eventually(t, "the worker to know all names", func() bool {
			var theirs []string
			return ask("receivers", struct{}{}, &theirs) == nil && fmt.Sprint(theirs) == fmt.Sprint(l.Router().Receivers())
		})
		require.Len(t, l.Router().Receivers(), 1+n)
	}
}

// Main gets no tasks from the queue: it has no place to work on them.
func TestGetInMain(t *testing.T) {
	l := newLab(t, nil, workers("lab", 1))
	_, err := l.Tasks().Get(context.Background())
	require.ErrorIs(t, err, multiprolab.ErrNotWorker)
	_, err = l.Tasks().TryGet(context.Background())
	require.ErrorIs(t, err, multiprolab.ErrNotWorker)
}
