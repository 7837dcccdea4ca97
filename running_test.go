package multiprolab_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// held returns a file that goes with the test, and a function that removes it before: the handlers
// of the worker "runner" return once their file is gone.
func held(t testing.TB) (path string, release func()) {
	path = t.TempDir() + "/hold"
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	return path, func() { require.NoError(t, os.Remove(path)) }
}

var runner = worker("runner", func(ctx context.Context, w *multiprolab.Worker) error {
	hold := func(ctx context.Context, path string) (int, error) {
		for _, err := os.Stat(path); err == nil; _, err = os.Stat(path) { // until the test has removed it
			time.Sleep(time.Millisecond)
		}
		return 0, nil
	}
	multiprolab.HandleTask(w, "run-task", hold)
	multiprolab.HandleCall(w, "run-call", hold)
	multiprolab.Handle(w, "run-message", func(ctx context.Context, path string) error {
		_, err := hold(ctx, path)
		return err
	})
	multiprolab.HandleTask(w, "run-relay", func(ctx context.Context, path string) (int, error) {
		return multiprolab.Call[int](ctx, w, "runner/1", "run-call", path)
	})
	return nil
})

// worksOn waits until a worker works on just one thing of a kind, and returns it.
func worksOn(t testing.TB, l *lab, worker, kind string) (r multiprolab.RunningStats) {
	t.Helper()
	eventually(t, "a "+kind+" to run", func() bool {
		w := workerOf(l.Stats(), worker)
		if len(w.Running) != 1 || w.Running[0].Kind != kind {
			return false
		}
		require.Equal(t, multiprolab.StateBusy, w.State)
		r = w.Running[0]
		return true
	})
	return r
}

// TestRunningMessagesAndCalls holds that a snapshot tells what a worker is at that is stuck in a
// handler, whatever is behind it and was before it.
func TestRunningMessagesAndCalls(t *testing.T) {
	l := startLab(t, nil, workers(runner, 2))
	var calls sync.WaitGroup
	defer calls.Wait()
	call := func(path string) {
		calls.Go(func() {
			_, err := multiprolab.Call[int](t.Context(), l, "runner/0", "run-call", path)
			require.NoError(t, err)
		})
	}
	for range 100 {
		require.NoError(t, multiprolab.Send(t.Context(), l, "runner/0", "run-message", ""))
	}
	before := time.Now()
	path, release := held(t)
	call(path)
	r := worksOn(t, l, "runner/0", "call")
	require.Equal(t, "run-call", r.Type)
	require.Equal(t, "main", r.From)
	require.WithinRange(t, r.Since, before, time.Now())
	require.Equal(t, r, worksOn(t, l, "runner/0", "call"))

	// The next one is a message, behind which another call waits: it is told once the first is over.
	second, release2 := held(t)
	third, release3 := held(t)
	require.NoError(t, multiprolab.Send(t.Context(), l, "runner/0", "run-message", second))
	call(third)
	eventually(t, "the call to wait", func() bool { return workerOf(l.Stats(), "runner/0").Pending >= 3 })
	require.Equal(t, r, worksOn(t, l, "runner/0", "call"))
	release()
	m := worksOn(t, l, "runner/0", "message")
	require.Equal(t, "run-message", m.Type)
	require.Equal(t, "main", m.From)
	require.WithinRange(t, m.Since, r.Since, time.Now())
	require.Equal(t, m, worksOn(t, l, "runner/0", "message"), "since when it runs does not change")
	release2()
	require.NotEqual(t, r, worksOn(t, l, "runner/0", "call"))
	release3()
	calls.Wait()
	eventually(t, "nothing to run", func() bool {
		w := workerOf(l.Stats(), "runner/0")
		return w.State == multiprolab.StateReady && w.Running == nil
	})
	require.NoError(t, l.Close())
}

// TestRunningBesideTasks holds that a call that waits for a task is not taken for what runs, and
// that who has sent what is told.
func TestRunningBesideTasks(t *testing.T) {
	l := startLab(t, nil, workers(runner, 2))
	path, release := held(t)
	f, err := multiprolab.Submit[int](t.Context(), l, "run-task", path, nil)
	require.NoError(t, err)
	var first string
	eventually(t, "the task to run", func() bool {
		for _, w := range l.Stats().Workers {
			if len(w.Running) == 1 {
				first = w.Name
			}
		}
		return first != ""
	})
	var called sync.WaitGroup
	called.Go(func() {
		_, err := multiprolab.Call[int](t.Context(), l, first, "run-call", "")
		require.NoError(t, err)
	})
	eventually(t, "the call to wait", func() bool { return workerOf(l.Stats(), first).Pending == 1 })
	task := worksOn(t, l, first, "task")
	require.Equal(t, "main", task.From)
	require.Positive(t, task.ID)
	release()
	_, err = f.Wait(t.Context())
	require.NoError(t, err)
	called.Wait()

	path, release = held(t)
	called.Go(func() { // so that the task goes to the other worker
		_, err := multiprolab.Call[int](t.Context(), l, "runner/1", "run-call", path)
		require.NoError(t, err)
	})
	worksOn(t, l, "runner/1", "call")
	second, release2 := held(t)
	f, err = multiprolab.Submit[int](t.Context(), l, "run-relay", second, nil)
	require.NoError(t, err)
	worksOn(t, l, "runner/0", "task")
	eventually(t, "the second call to wait", func() bool { return workerOf(l.Stats(), "runner/1").Pending == 2 })
	require.Equal(t, "main", worksOn(t, l, "runner/1", "call").From)
	release()
	called.Wait()
	require.Equal(t, "runner/0", worksOn(t, l, "runner/1", "call").From)
	release2()
	_, err = f.Wait(t.Context())
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

// A worker that has no process of its own leaves nothing behind of where it is: its oldest call is
// told.
func TestRunningCallsInThisProcess(t *testing.T) {
	l := startLab(t, &multiprolab.Config{InProcess: true}, workers(runner, 1))
	path, release := held(t)
	done := make(chan error, 1)
	go func() {
		_, err := multiprolab.Call[int](t.Context(), l, "runner/0", "run-call", path)
		done <- err
	}()
	require.Equal(t, "run-call", worksOn(t, l, "runner/0", "call").Type)
	release()
	require.NoError(t, <-done)
	require.NoError(t, l.Close())
}
