package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// spareCard is what a worker with spares says of itself.
type spareCard struct {
	PID, Index, Life int
	Name             string
	SetUpAs          string // what Name was in the setup function
	Acted            int    // how often its action has run
}

var _ = worker("spare", func(ctx context.Context, w *multiprolab.Worker) error {
	setUpAs, acted, got := w.Name(), 0, 0
	card := func() spareCard { return spareCard{os.Getpid(), w.Index(), w.Life(), w.Name(), setUpAs, acted} }
	if file := os.Getenv("SPARE_BROKEN"); file != "" {
		if _, err := os.Stat(file); err == nil {
			return multiprolab.NoRetry(errors.New("the configuration is broken"))
		}
	}
	w.After(0, func(ctx context.Context) error { acted++; return nil })
	multiprolab.HandleCall(w, "card", func(context.Context, struct{}) (spareCard, error) { return card(), nil })
	multiprolab.HandleTask(w, "card", func(context.Context, struct{}) (spareCard, error) { return card(), nil })
	multiprolab.HandleTask(w, "die", func(_ context.Context, how string) (int, error) { die(how); return 0, nil })
	multiprolab.HandleTask(w, "twice", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	multiprolab.Handle(w, "count", func(ctx context.Context, n int) error {
		got++
		return multiprolab.Send(ctx, w, "main", "counted", n)
	})
	multiprolab.Handle(w, "go", func(_ context.Context, how string) error {
		if how == "Recycle" {
			w.Recycle()
			w.Recycle() // the second changes nothing
		} else {
			w.Leave()
			w.Leave()
		}
		return nil
	})
	return multiprolab.Send(ctx, w, "main", "set-up", card())
})

// spares starts a lab of workers with spares, and waits until the spares stand by.
func spares(t testing.TB, cfg *multiprolab.Config, wcfg multiprolab.WorkerConfig) *lab {
	t.Helper()
	l := newLab(t, cfg, pool{"spare", &wcfg})
	multiprolab.Handle(l, "set-up", func(context.Context, spareCard) error { return nil })
	require.NoError(t, l.Start(context.Background()))
	t.Cleanup(func() {
		_ = l.Close()
		l.checkGone(t)
	})
	for i := range wcfg.Spare {
		l.standing(t, i, 1)
	}
	return l
}

// standing waits until a life of a spare stands by.
func (l *lab) standing(t testing.TB, i, life int) *multiprolab.WorkerReady {
	t.Helper()
	name := fmt.Sprintf("spare/spare.%d", i)
	return waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == name && e.Life >= life })
}

func (l *lab) card(t testing.TB, name string) spareCard {
	t.Helper()
	c, err := multiprolab.Call[spareCard](bounded(t), l, name, "card", struct{}{})
	require.NoError(t, err)
	return c
}

// TestSpareTakesThePlace holds that a spare has no place before it is needed, and then is the worker
// whose place it takes: by its name, in calls, in tasks, and for those who watch.
func TestSpareTakesThePlace(t *testing.T) {
	for _, inProcess := range []bool{false, true} {
		t.Run(fmt.Sprintf("InProcess %v", inProcess), func(t *testing.T) {
			cfg := multiprolab.Config{InProcess: inProcess}
			l := spares(t, &cfg, multiprolab.WorkerConfig{Count: 2, Spare: 1})
			spare := l.standing(t, 0, 1)
			require.ErrorContains(t, multiprolab.Send(bounded(t), l, "spare/spare.0", "count", 1), "spare/spare.0")
			receivers := 0
			multiprolab.Handle(l, "counted", func(context.Context, int) error { receivers++; return nil })
			for range 20 {
				c, err := multiprolab.Do[spareCard](bounded(t), l, "card", struct{}{})
				require.NoError(t, err)
				require.GreaterOrEqual(t, c.Index, 0)
			}
			before := l.card(t, "spare/1")
			require.Equal(t, spareCard{before.PID, 1, 1, "spare/1", "spare/1", 1}, before)
			watched := l.watch(t, "spare/spare.0")
			require.Equal(t, spare, <-watched)
			require.NoError(t, multiprolab.Send(bounded(t), l, "spare/1", "go", "Recycle"))
			up := waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Spare != "" })
			require.Equal(t, "spare/1", up.Worker)
			require.Equal(t, "spare/spare.0", up.Spare)
			require.Equal(t, spare.PID, up.PID)
			require.Equal(t, spare.Took, up.Took, "the time in which it stood by is not of its start")
			require.Equal(t, up, await(t, watched, "its place"), "who watches a spare is told of its place")
			eventually(t, "the action of the spare", func() bool { return l.card(t, "spare/1").Acted == 1 })
			require.Equal(t, spareCard{spare.PID, 1, 2, "spare/1", "spare/spare.0", 1}, l.card(t, "spare/1"))
			next := l.standing(t, 0, 2)
			if !inProcess {
				require.NotEqual(t, spare.PID, next.PID)
			}
			changes, err := l.Watch(bounded(t), "spare")
			require.NoError(t, err)
			for range 3 {
				up := (<-changes).(*multiprolab.WorkerReady)
				if up.Worker == "spare/1" {
					require.Equal(t, 2, up.Life)
				}
			}
			require.NoError(t, l.Close())
		})
	}
}

// TestKilledWorkersHaveSpares kills workers again and again while there are tasks and calls: all
// tasks have their results, and each place is filled with a spare.
func TestKilledWorkersHaveSpares(t *testing.T) {
	l := spares(t, nil, multiprolab.WorkerConfig{Count: 2, Spare: 2, RestartLimit: multiprolab.RestartLimit{Restarts: -1}, RestartDelay: 1, RestartMaxDelay: 1})
	for i := range 12 {
		_, err := multiprolab.Do[int](bounded(t), l, "die", "SIGKILL")
		require.Error(t, err)
		for n := range 10 {
			got, err := multiprolab.Do[int](bounded(t), l, "twice", n+i)
			require.NoError(t, err)
			require.Equal(t, 2*(n+i), got)
		}
	}
	for i := range 2 {
		require.Equal(t, i, l.card(t, fmt.Sprintf("spare/%d", i)).Index)
	}
	for _, e := range l.all() {
		if e, ok := e.(*multiprolab.WorkerReady); ok && e.Life > 1 && !strings.Contains(e.Worker, "/spare.") {
			require.NotEmpty(t, e.Spare, "%+v", e)
		}
	}
}

// TestSpareThatDiesIsReplaced kills a spare that stands by, and one that gets a place just then.
func TestSpareThatDiesIsReplaced(t *testing.T) {
	t.Parallel()
	l := spares(t, nil, multiprolab.WorkerConfig{Spare: 1})
	require.NoError(t, killProcess(l.standing(t, 0, 1).PID))
	failed := waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.Worker == "spare/spare.0" })
	require.True(t, failed.Restart)
	for i := range 5 {
		spare := l.standing(t, 0, i+2)
		require.NoError(t, killProcess(spare.PID))
		_ = killProcess(lastReady(l, "spare/0").PID) // it may have gone already
		eventually(t, "a worker in the place", func() bool {
			_, err := multiprolab.Call[spareCard](bounded(t), l, "spare/0", "card", struct{}{})
			return err == nil
		})
	}
	require.Equal(t, "spare/0", l.card(t, "spare/0").Name)
}

// lastReady returns the latest news that a worker is ready.
func lastReady(l *lab, name string) (last *multiprolab.WorkerReady) {
	for _, e := range l.all() {
		if e, ok := e.(*multiprolab.WorkerReady); ok && e.Worker == name {
			last = e
		}
	}
	return last
}

// lastLife returns the number of the latest life of a worker that has been started.
func lastLife(l *lab, name string) (life int) {
	for _, e := range l.all() {
		if e, ok := e.(*multiprolab.WorkerStarted); ok && e.Worker == name {
			life = max(life, e.Life)
		}
	}
	return life
}

// TestRestartTakesFreshSpares holds that Restart takes only spares that have begun after it, and
// that a worker goes on working if there is none because the configuration is broken.
func TestRestartTakesFreshSpares(t *testing.T) {
	file := t.TempDir() + "/broken"
	l := spares(t, nil, multiprolab.WorkerConfig{Count: 2, Spare: 1, Process: multiprolab.ProcessConfig{Env: []string{"SPARE_BROKEN=" + file}}})
	old := []int{l.standing(t, 0, 1).PID, l.card(t, "spare/0").PID, l.card(t, "spare/1").PID}
	require.NoError(t, l.Restart(bounded(t), "spare"))
	for _, name := range []string{"spare/0", "spare/1"} {
		require.NotContains(t, old, l.card(t, name).PID)
	}
	present := l.card(t, "spare/0").PID
	l.standing(t, 0, lastLife(l, "spare/spare.0"))
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.ErrorContains(t, l.Restart(bounded(t), ""), "the configuration is broken")
	require.Equal(t, present, l.card(t, "spare/0").PID)
	require.NoError(t, os.Remove(file))
	require.NoError(t, l.Restart(bounded(t), ""))
	require.NotEqual(t, present, l.card(t, "spare/0").PID)
}

// TestResizeTakesSpares holds that a pool that grows has the spare at once, and that what comes
// after a pool has shrunk are no more than its spares.
func TestResizeTakesSpares(t *testing.T) {
	l := spares(t, nil, multiprolab.WorkerConfig{Count: 1, Spare: 1})
	spare := l.standing(t, 0, 1)
	require.NoError(t, l.Resize("spare", 2))
	require.Equal(t, spare.PID, l.card(t, "spare/1").PID)
	l.standing(t, 0, 2)
	require.NoError(t, l.Resize("spare", 1))
	waitEvent(t, l, func(e *multiprolab.WorkerStopped) bool { return e.Worker == "spare/1" })
	require.NoError(t, l.Restart(bounded(t), "spare"))
}

// TestRecycleWithoutAGap holds that workers which are replaced after some tasks are replaced by
// spares, and that no task is lost.
func TestRecycleWithoutAGap(t *testing.T) {
	l := spares(t, nil, multiprolab.WorkerConfig{Count: 2, Spare: 2, MaxTasks: 20})
	ns := make([]int, 400)
	for i := range ns {
		ns[i] = i
	}
	n := 0
	for got, err := range multiprolab.Map[int](bounded(t), l, "twice", slices.Values(ns), nil) {
		require.NoError(t, err)
		require.Equal(t, 2*n, got)
		n++
	}
	require.Equal(t, len(ns), n)
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Spare != "" })
}

// TestWorkersThatGo holds that what waits for a worker that asks to be replaced, or leaves for good,
// is not lost: it handles the messages that it was sent before, and others get its tasks.
func TestWorkersThatGo(t *testing.T) {
	for _, how := range []string{"Recycle", "Leave"} {
		for _, n := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s with %d spares", how, n), func(t *testing.T) {
				var counted atomic.Int32
				l := spares(t, nil, multiprolab.WorkerConfig{Count: 2, Spare: n})
				multiprolab.Handle(l, "counted", func(context.Context, int) error { counted.Add(1); return nil })
				var futures []*multiprolab.Future[int]
				for i := range 100 {
					if i == 50 {
						require.NoError(t, multiprolab.Send(bounded(t), l, "spare/0", "go", how))
					}
					if i < 50 || how == "Recycle" {
						require.NoError(t, multiprolab.Send(bounded(t), l, "spare/0", "count", i))
					}
					f, err := multiprolab.Submit[int](bounded(t), l, "twice", i, nil)
					require.NoError(t, err)
					futures = append(futures, f)
				}
				for i, f := range futures {
					got, err := f.Wait(bounded(t))
					require.NoError(t, err)
					require.Equal(t, 2*i, got)
				}
				stopped := waitEvent(t, l, func(e *multiprolab.WorkerStopped) bool { return e.Worker == "spare/0" })
				require.Equal(t, how == "Recycle", stopped.Restart)
				want := int32(50)
				if how == "Recycle" {
					want = 100
					require.Equal(t, 2, l.card(t, "spare/0").Life)
				} else {
					eventually(t, "an error of those who send", func() bool {
						return multiprolab.Send(bounded(t), l, "spare/0", "count", 0) != nil
					})
				}
				eventually(t, "all messages", func() bool { return counted.Load() == want })
				require.Equal(t, "spare/1", l.card(t, "spare/1").Name)
				require.NoError(t, l.Close())
				for _, e := range l.all() {
					if dead, ok := e.(*multiprolab.DeadLetter); ok {
						require.Fail(t, "a message is lost", "%+v", dead)
					}
				}
			})
		}
	}
}

// TestSparesEndWithTheProgram ends programs at once after their start, while spares start.
func TestSparesEndWithTheProgram(t *testing.T) {
	for _, d := range []time.Duration{0, 5 * time.Millisecond, 20 * time.Millisecond} {
		l := newLab(t, nil, pool{"spare", &multiprolab.WorkerConfig{Spare: 3}})
		require.NoError(t, l.Start(context.Background()))
		ctx, cancel := context.WithTimeout(context.Background(), d)
		_ = l.Wait(ctx)
		cancel()
		require.NoError(t, l.Close())
		l.checkGone(t)
	}
}
