package multiprolab_test

import (
	"context"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The worker "recycles-at-once" recycles itself in each setup function.
var _ = worker("recycles-at-once", func(ctx context.Context, w *multiprolab.Worker) error {
	w.Recycle()
	return nil
})

// A worker that is replaced before it has done anything is not replaced without a pause for ever:
// the pauses between its lives grow, as those of RestartAlways do, also if it is a spare.
func TestReplacedInVainHasPauses(t *testing.T) {
	for name, p := range map[string]pool{
		"setup":  {"recycles-at-once", nil},
		"spares": {"recycles-at-once", &multiprolab.WorkerConfig{Spare: 1}},
		"MaxAge": {"throttled", &multiprolab.WorkerConfig{MaxAge: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil, p)
			startReady(t, l)
			waitEvent(t, l, func(e *multiprolab.WorkerStopped) bool { return e.After > 0 })
		})
	}
}

// A worker that is replaced often, and has worked before, is so at once.
func TestReplacedAfterWorkHasNoPauses(t *testing.T) {
	l := startLab(t, nil, pool{"throttled", &multiprolab.WorkerConfig{MaxTasks: 1}})
	for _, err := range multiprolab.Map[string](bounded(t), l, "free", slices.Values(make([]string, 12)), nil) {
		require.NoError(t, err)
	}
	waitEvent(t, l, func(e *multiprolab.WorkerStopped) bool { return e.Life == 12 })
	for _, e := range l.all() {
		if e, ok := e.(*multiprolab.WorkerStopped); ok {
			require.Zero(t, e.After, "life %d", e.Life)
		}
	}
}

// The worker "parts-slowly" does not end before main lets it, and says goodbye with a message.
var _ = worker("parts-slowly", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "parts", func(ctx context.Context, go_ bool) (int, error) {
		if go_ {
			w.Recycle()
		}
		return os.Getpid(), nil
	})
	multiprolab.HandleCall(w, "pid", func(context.Context, struct{}) (int, error) { return os.Getpid(), nil })
	w.OnExit(func(ctx context.Context) error {
		for w.Index() >= 0 {
			may, err := multiprolab.Call[bool](ctx, w, "main", "may-part", nil)
			if may || err != nil {
				return multiprolab.Send(ctx, w, "main", "parted", os.Getpid())
			}
		}
		return nil
	})
	return nil
})

// While the OnExit functions of a worker run that is replaced, its spare works on the tasks: there
// is no gap. What the old one waits for there comes; the messages to the instance are the next
// one's, once nothing is left of the old one.
func TestRecycledWorkerPartsSlowly(t *testing.T) {
	for name, c := range map[string]struct {
		cfg   multiprolab.WorkerConfig
		leave func(l *lab) error
	}{
		"Recycle": {multiprolab.WorkerConfig{Spare: 1}, func(l *lab) error {
			_, err := multiprolab.Do[int](bounded(t), l, "parts", true)
			return err
		}},
		"MaxTasks": {multiprolab.WorkerConfig{Spare: 1, MaxTasks: 3}, func(l *lab) error {
			for range 2 {
				if _, err := multiprolab.Do[int](bounded(t), l, "parts", false); err != nil {
					return err
				}
			}
			return nil
		}},
		"Restart": {multiprolab.WorkerConfig{Spare: 1}, func(l *lab) error {
			go func() { _ = l.Restart(context.Background(), "parts-slowly") }() // ends with the program at the latest
			waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "parts-slowly/spare.0" && e.Life == 2 })
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil, pool{"parts-slowly", &c.cfg})
			var may atomic.Bool
			parted := make(chan int, 10)
			multiprolab.HandleCall(l, "may-part", func(context.Context, struct{}) (bool, error) { return may.Load(), nil })
			multiprolab.Handle(l, "parted", func(_ context.Context, pid int) error { parted <- pid; return nil })
			startReady(t, l)
			t.Cleanup(func() { may.Store(true) })
			spare := waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "parts-slowly/spare.0" })
			old, err := multiprolab.Do[int](bounded(t), l, "parts", false)
			require.NoError(t, err)
			require.NotEqual(t, spare.PID, old)
			require.NoError(t, c.leave(l))
			var pid int
			for pid = old; pid == old; { // it may be that it has not been told yet
				pid, err = multiprolab.Do[int](bounded(t), l, "parts", false)
				require.NoError(t, err)
			}
			require.Empty(t, parted)
			called := make(chan int, 1)
			go func() { // ends with the reply
				pid, _ := multiprolab.Call[int](bounded(t), l, "parts-slowly/0", "pid", nil)
				called <- pid
			}()
			may.Store(true)
			require.Equal(t, old, await(t, parted, "the goodbye"))
			require.Equal(t, pid, await(t, called, "the reply"))
			waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "parts-slowly/0" && e.PID == pid })
			for _, e := range l.all() {
				if f, ok := e.(*multiprolab.WorkerFailed); ok {
					require.Fail(t, "a worker has failed", "%+v", f)
				}
			}
		})
	}
}
