package multiprolab_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/backend"
)

// instance is which worker has handled something.
type instance struct {
	Name string
	PID  int
}

// The keyed worker says who it is.
var _ = worker("keyed", func(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "who", func(context.Context, string) (instance, error) {
		return instance{w.Name(), os.Getpid()}, nil
	})
	multiprolab.HandleTask(w, "who-task", func(context.Context, string) (instance, error) {
		return instance{w.Name(), os.Getpid()}, nil
	})
	multiprolab.HandleTask(w, "wait-task", func(_ context.Context, v visit) (string, error) { return v.wait() })
	// do-own does a task whose home the worker itself is.
	multiprolab.HandleCall(w, "do-own", func(ctx context.Context, n int) (instance, error) {
		return multiprolab.DoWith[instance](ctx, w, "who-task", "", sticky(n))
	})
	multiprolab.HandleCall(w, "ask", func(ctx context.Context, to string) (instance, error) {
		return multiprolab.Call[instance](ctx, w, to, "who", "")
	})
	// ask-other calls by a key from a worker.
	multiprolab.HandleCall(w, "ask-other", func(ctx context.Context, key string) (instance, error) {
		return multiprolab.Call[instance](ctx, w, multiprolab.Keyed("keyed", key), "who", key)
	})
	return nil
})

func keyOf(n int) string { return fmt.Sprint("key ", n) }

func sticky(n int) *multiprolab.TaskOptions {
	return &multiprolab.TaskOptions{Key: keyOf(n), Sticky: true}
}

// TestStickyKeys: tasks and calls of one key go to one instance, in whatever order they come and
// whoever else is idle; its replacement has the keys that it had; with another instance more, only
// those move that the new one gets.
func TestStickyKeys(t *testing.T) {
	const keys = 200
	l := startLab(t, nil, pool{"keyed", &multiprolab.WorkerConfig{Count: 4, RestartDelay: 1, RestartMaxDelay: 1,
		RestartLimit: multiprolab.RestartLimit{Restarts: 1000}}})
	ctx := bounded(t)
	homes := func() (all [keys]string) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for n := range keys {
			wg.Go(func() {
				byTask, err := multiprolab.DoWith[instance](ctx, l, "who-task", keyOf(n), sticky(n))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				all[n] = byTask.Name
				mu.Unlock()
			})
		}
		wg.Wait()
		for n := range keys {
			byCall, err := multiprolab.Call[instance](ctx, l, multiprolab.Keyed("keyed", keyOf(n)), "who", keyOf(n))
			require.NoError(t, err)
			require.Equal(t, all[n], byCall.Name, "a call and a task of one key")
		}
		return all
	}
	before := homes()
	require.Equal(t, before, homes())
	victim, err := multiprolab.Call[instance](ctx, l, multiprolab.Keyed("keyed", keyOf(0)), "who", keyOf(0))
	require.NoError(t, err)
	require.NoError(t, killProcess(victim.PID))
	waitEvent[*multiprolab.WorkerFailed](t, l, nil)
	require.Equal(t, before, homes(), "the replacement has the keys")
	require.NoError(t, l.Resize("keyed", 5))
	after := homes()
	moved := 0
	for n := range keys {
		if after[n] != before[n] {
			require.Equal(t, "keyed/4", after[n])
			moved++
		}
	}
	t.Logf("%d of %d keys have moved", moved, keys)
	require.Positive(t, moved)
	require.Less(t, moved, keys/2)
	require.NoError(t, l.Resize("keyed", 4))
	require.Equal(t, before, homes())
	// A worker finds the same instance: one that is not itself, for that would be a circle.
	for n := range keys {
		if before[n] != "keyed/0" {
			who, err := multiprolab.Call[instance](ctx, l, "keyed/0", "ask-other", keyOf(n))
			require.NoError(t, err)
			require.Equal(t, before[n], who.Name)
			break
		}
	}
}

// TestStickyTasksWaitForTheirWorker: while its instance is busy a sticky task waits, though others
// have nothing to do, and holds up no others.
func TestStickyTasksWaitForTheirWorker(t *testing.T) {
	l := startLab(t, nil, workers("keyed", 3))
	g := newGate(t)
	ctx := bounded(t)
	busy, err := multiprolab.Submit[string](ctx, l, "wait-task", g.visit("busy"), sticky(1))
	require.NoError(t, err)
	v := g.expect(t, "busy")
	same, err := multiprolab.Submit[instance](ctx, l, "who-task", "", sticky(1))
	require.NoError(t, err)
	for range 20 {
		who, err := multiprolab.Do[instance](ctx, l, "who-task", "")
		require.NoError(t, err)
		require.NotEqual(t, v.pid, who.PID)
	}
	select {
	case <-same.Done():
		require.Fail(t, "it did not wait for its worker")
	default:
	}
	v.tell("")
	_, err = busy.Wait(ctx)
	require.NoError(t, err)
	who, err := same.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, v.pid, who.PID)
	_, err = multiprolab.DoWith[instance](ctx, l, "who-task", "", &multiprolab.TaskOptions{Sticky: true})
	require.ErrorAs(t, err, new(*multiprolab.ConfigError), "there is no key")
	// Who waits for its own home would wait for ever: the others of its pool are asked instead.
	for n := range 20 {
		_, err := multiprolab.Call[instance](ctx, l, multiprolab.Keyed("keyed", keyOf(n)), "do-own", n)
		require.NoError(t, err)
	}
	_, err = multiprolab.Call[instance](ctx, l, multiprolab.Keyed("keyed", keyOf(1)), "ask-other", keyOf(1))
	require.ErrorContains(t, err, "would wait for itself", "a call by a key has one receiver, which would call itself")
	err = multiprolab.Send(ctx, l, multiprolab.Keyed("nobody", "k"), "x", nil)
	require.ErrorAs(t, err, new(*multiprolab.UnknownReceiverError))
}

// TestKeyedOfNoPool: the error of a name that Keyed has made says what the caller has written, and
// what to write instead, wherever it is made.
func TestKeyedOfNoPool(t *testing.T) {
	l := startLab(t, nil, workers("keyed", 2))
	ctx := bounded(t)
	for name, instead := range map[string]string{
		"main":    "send to MainName itself",
		"keyed/1": `use Keyed("keyed", key), or send to "keyed/1" itself`,
		"keyed/7": `use Keyed("keyed", key)`,
		"nobody":  "use Keyed with one of keyed",
		"nobody/": "use Keyed with one of keyed",
	} {
		to := multiprolab.Keyed(name, "k")
		_, callErr := multiprolab.Call[instance](ctx, l, to, "who", "k")
		_, inWorker := multiprolab.Call[instance](ctx, l, "keyed", "ask", to)
		for where, err := range map[string]error{
			"send": multiprolab.Send(ctx, l, to, "x", nil), "call": callErr, "call in a worker": inWorker,
		} {
			require.ErrorContains(t, err, fmt.Sprintf("Keyed(%q, ...)", name), where)
			require.ErrorContains(t, err, instead, where)
			require.NotContains(t, err.Error(), "#", where)
		}
	}
	of := multiprolab.Keyed("keyed", "k")
	for where, err := range map[string]error{
		"broadcast": multiprolab.Broadcast(ctx, l, of, "x", nil), "kill": l.Kill(of), "restart": l.Restart(ctx, of),
		"resize": l.Resize(of, 3),
	} {
		require.ErrorContains(t, err, "only Send and Call take a key: use one of keyed", where)
		require.NotContains(t, err.Error(), "#", where)
	}
}

// TestStickyNeedsMainsQueue: a Backend does not know homes.
func TestStickyNeedsMainsQueue(t *testing.T) {
	l := startLab(t, &multiprolab.Config{Backend: backend.NewMemory()}, workers("keyed", 2))
	_, err := multiprolab.DoWith[instance](bounded(t), l, "who-task", "", sticky(1))
	require.ErrorAs(t, err, new(*multiprolab.ConfigError))
}

func ExampleKeyed() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	app.RegisterWorker("cache", func(ctx context.Context, w *multiprolab.Worker) error {
		loaded := map[string]int{} // handlers of one worker run one at a time
		multiprolab.HandleCall(w, "load", func(ctx context.Context, customer string) (int, error) {
			loaded[customer]++
			return loaded[customer], nil
		})
		multiprolab.HandleTask(w, "bill", func(ctx context.Context, customer string) (int, error) {
			loaded[customer]++
			return loaded[customer], nil
		})
		return nil
	}, &multiprolab.WorkerConfig{Count: 4})
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		for range 2 {
			n, err := multiprolab.Call[int](ctx, app, multiprolab.Keyed("cache", "ann"), "load", "ann")
			fmt.Println(n, err)
		}
		n, err := multiprolab.DoWith[int](ctx, app, "bill", "ann", &multiprolab.TaskOptions{Key: "ann", Sticky: true})
		fmt.Println(n, err)
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 <nil>
}
