package multiprolab_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// goesOn lets the tasks "stuck" of workers in this process return. In a worker process it is nil.
var goesOn chan struct{}

var _ = worker("lent", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "stuck", func(context.Context, struct{}) (int, error) { <-goesOn; return 0, nil })
	multiprolab.HandleTask(w, "die", func(_ context.Context, how string) (int, error) { die(how); return 0, nil })
	multiprolab.HandleTask(w, "card", func(ctx context.Context, n int) (spareCard, error) {
		err := multiprolab.Send(ctx, w, "main", "worked", w.Name())
		return spareCard{Index: w.Index(), Life: w.Life(), Name: w.Name(), Acted: n}, err
	})
	multiprolab.HandleCall(w, "life", func(context.Context, struct{}) (int, error) { return w.Life(), nil })
	multiprolab.Handle(w, "count", func(ctx context.Context, n int) error {
		return multiprolab.Send(ctx, w, "main", "counted", n)
	})
	return nil
})

// heirs starts a lab of one worker with spares.
func heirs(t testing.TB, cfg multiprolab.Config, spare int) *lab {
	t.Helper()
	l := newLab(t, &cfg, pool{"lent", &multiprolab.WorkerConfig{
		Spare: spare, RestartLimit: multiprolab.RestartLimit{Restarts: -1}, RestartDelay: 1, RestartMaxDelay: 1,
	}})
	require.NoError(t, l.Start(context.Background()))
	t.Cleanup(func() {
		_ = l.Close()
		l.checkGone(t)
	})
	for i := range spare {
		name := fmt.Sprintf("lent/spare.%d", i)
		waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == name })
	}
	return l
}

// stuck submits a task that has to be killed with its worker.
func (l *lab) stuck(t testing.TB) *multiprolab.Future[int] {
	t.Helper()
	f, err := multiprolab.Submit[int](bounded(t), l, "stuck", struct{}{},
		&multiprolab.TaskOptions{Timeout: 10 * time.Millisecond, Grace: 10 * time.Millisecond})
	require.NoError(t, err)
	return f
}

// TestSpareWorksBeforeTheKilledOneIsGone holds that a spare works on tasks in the name of a worker
// that is killed while that one is not gone, and gets its messages when it is.
func TestSpareWorksBeforeTheKilledOneIsGone(t *testing.T) {
	goesOn = make(chan struct{})
	l := heirs(t, multiprolab.Config{InProcess: true}, 1)
	from := make(chan string, 1)
	multiprolab.Handle(l, "worked", func(_ context.Context, by string) error { from <- by; return nil })
	f := l.stuck(t)
	c, err := multiprolab.Do[spareCard](bounded(t), l, "card", 7)
	gone := lastReady(l, "lent/0").Life > 1
	require.NoError(t, err)
	require.Equal(t, spareCard{Index: 0, Life: 2, Name: "lent/0", Acted: 7}, c)
	require.False(t, gone)
	require.Equal(t, "lent/0", <-from)
	close(goesOn)
	_, err = f.Wait(bounded(t))
	var killed *multiprolab.TimeoutError
	require.ErrorAs(t, err, &killed)
	require.True(t, killed.Killed)
	life, err := multiprolab.Call[int](bounded(t), l, "lent/0", "life", struct{}{})
	require.NoError(t, err)
	require.Equal(t, 2, life)
}

// TestHeirsUnderFire has workers killed again and again because of a task, while tasks, of which
// some kill who works on them at once, and messages wait: each task has one outcome, the messages
// come in order, and what is lost is told.
func TestHeirsUnderFire(t *testing.T) {
	l := heirs(t, multiprolab.Config{}, 2)
	var mu sync.Mutex
	var counted []int
	multiprolab.Handle(l, "worked", func(context.Context, string) error { return nil })
	multiprolab.Handle(l, "counted", func(_ context.Context, n int) error {
		mu.Lock()
		defer mu.Unlock()
		counted = append(counted, n)
		return nil
	})
	sent := 0
	for round := range 10 {
		stuck := l.stuck(t)
		var futures []*multiprolab.Future[spareCard]
		var deaths []*multiprolab.Future[int]
		for i := range 20 {
			require.NoError(t, multiprolab.Send(bounded(t), l, "lent/0", "count", sent))
			sent++
			if i == 3 && round%2 == 0 {
				d, err := multiprolab.Submit[int](bounded(t), l, "die", "SIGKILL", nil)
				require.NoError(t, err)
				deaths = append(deaths, d)
			}
			f, err := multiprolab.Submit[spareCard](bounded(t), l, "card", i, nil)
			require.NoError(t, err)
			futures = append(futures, f)
		}
		for i, f := range futures {
			c, err := f.Wait(bounded(t))
			require.NoError(t, err)
			require.Equal(t, spareCard{0, 0, c.Life, "lent/0", "", i}, c)
		}
		_, err := stuck.Wait(bounded(t))
		var late *multiprolab.TimeoutError
		require.ErrorAs(t, err, &late)
		for _, d := range deaths {
			_, err := d.Wait(bounded(t))
			var died *multiprolab.WorkerDiedError
			require.ErrorAs(t, err, &died)
		}
	}
	eventually(t, "all messages", func() bool {
		mu.Lock()
		defer mu.Unlock()
		lost := 0
		for _, e := range l.all() {
			if dead, ok := e.(*multiprolab.DeadLetter); ok && dead.Receiver == "lent/0" {
				lost++
			}
		}
		return len(counted)+lost == sent
	})
	require.IsIncreasing(t, counted)
	names := map[string]bool{}
	for _, e := range l.all() {
		if e, ok := e.(*multiprolab.WorkerReady); ok && e.Life > 1 && !strings.Contains(e.Worker, "/spare.") {
			names[e.Spare] = true
		}
	}
	require.NotEmpty(t, names)
	require.NotContains(t, names, "")
}
