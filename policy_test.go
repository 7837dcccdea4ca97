package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The worker "policy" notes in main, by messages "ran", which tasks it works on, in order.
var _ = worker("policy", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "note", func(ctx context.Context, s string) (string, error) {
		return s, multiprolab.Send(ctx, w, "main", "ran", s)
	})
	// gate runs until main lets it go.
	multiprolab.HandleTask(w, "gate", func(ctx context.Context, s string) (string, error) {
		if err := multiprolab.Send(ctx, w, "main", "ran", s); err != nil {
			return "", err
		}
		for {
			open, err := multiprolab.Call[bool](ctx, w, "main", "open", s)
			if open || err != nil {
				return s, err
			}
		}
	})
	attempts := func(ctx context.Context) int { return multiprolab.TaskFrom(ctx).Attempt }
	multiprolab.HandleTask(w, "third-time", func(ctx context.Context, how string) (int, error) {
		if n := attempts(ctx); n < 3 {
			if how == "error" {
				return 0, fmt.Errorf("attempt %d is too early", n)
			}
			die(how)
		}
		return attempts(ctx), nil
	})
	multiprolab.HandleTask(w, "no-retry", func(ctx context.Context, _ struct{}) (int, error) {
		return 0, multiprolab.NoRetry(fmt.Errorf("attempt %d is the last", attempts(ctx)))
	})
	later := 0
	multiprolab.HandleTask(w, "later", func(ctx context.Context, _ struct{}) (int, error) {
		if later++; later < 5 {
			return 0, multiprolab.RetryAfter(time.Millisecond, nil)
		}
		return attempts(ctx), nil
	})
	multiprolab.HandleTask(w, "eat", func(ctx context.Context, _ struct{}) (int, error) {
		var eaten [][]byte
		for {
			b := make([]byte, 16<<20)
			for i := range b {
				b[i] = byte(i)
			}
			eaten = append(eaten, b)
			runtime.KeepAlive(eaten)
		}
	})
	multiprolab.HandleTask(w, "keep", func(ctx context.Context, n int) (int, error) {
		kept = append(kept, make([]byte, n))
		for i := range kept[len(kept)-1] {
			kept[len(kept)-1][i] = 1
		}
		return os.Getpid(), nil
	})
	multiprolab.HandleTask(
		w,
		"policy-fail",
		func(ctx context.Context, text string) (int, error) { return 0, errors.New(text) },
	)
	multiprolab.HandleTask(
		w,
		"policy-pid",
		func(ctx context.Context, _ struct{}) (int, error) { return os.Getpid(), nil },
	)
	multiprolab.HandleTask(w, "policy-spin", func(ctx context.Context, _ struct{}) (int, error) {
		spinForEver()
		return 0, nil
	})
	w.OnExit(func(ctx context.Context) error { return w.SetExitValue(fmt.Sprintf("%s life %d", w.Name(), w.Life())) })
	return nil
})

var kept [][]byte

//go:noinline
func spinForEver() {
	for n := 0; ; n++ {
		runtime.KeepAlive(n)
	}
}

// notebook collects what the workers "policy" run, and holds gates.
type notebook struct {
	mu   sync.Mutex
	ran  []string
	open map[string]chan struct{}
	news chan struct{}
}

func newNotebook(l *lab) *notebook {
	n := &notebook{open: map[string]chan struct{}{}, news: make(chan struct{}, 1)}
	multiprolab.Handle(l, "ran", func(ctx context.Context, s string) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.ran = append(n.ran, s)
		select {
		case n.news <- struct{}{}:
		default:
		}
		return nil
	})
	multiprolab.HandleCall(l, "open", func(ctx context.Context, s string) (bool, error) {
		select {
		case <-n.gate(s):
			return true, nil
		case <-time.After(time.Millisecond): // the worker asks again
			return false, nil
		}
	})
	return n
}

func (n *notebook) gate(s string) chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open[s] == nil {
		n.open[s] = make(chan struct{})
	}
	return n.open[s]
}

// waitRan waits until at least count tasks have been noted, and returns them.
func (n *notebook) waitRan(t *testing.T, count int) []string {
	t.Helper()
	timeout := time.After(patience)
	for {
		n.mu.Lock()
		ran := slices.Clone(n.ran)
		n.mu.Unlock()
		if len(ran) >= count {
			return ran
		}
		select {
		case <-n.news:
		case <-timeout:
			require.FailNow(t, "tasks did not run", "%v of %d", ran, count)
		}
	}
}

// startPolicy starts an app with a notebook.
func startPolicy(t *testing.T, cfg *multiprolab.WorkerConfig, more ...pool) (*lab, *notebook) {
	l := newLab(t, nil, append([]pool{{"policy", cfg}}, more...)...)
	n := newNotebook(l)
	require.NoError(t, l.Start(context.Background()))
	t.Cleanup(func() {
		_ = l.Close()
		l.checkGone(t)
	})
	return l, n
}

var soon = multiprolab.RetryPolicy{First: time.Millisecond, Max: 2 * time.Millisecond}

func TestRetrySucceeds(t *testing.T) {
	l, _ := startPolicy(t, nil)
	for _, how := range []string{"error", "exit 1", "panic", "SIGKILL"} {
		n, err := multiprolab.DoWith[int](
			bounded(t),
			l,
			"third-time",
			how,
			&multiprolab.TaskOptions{Attempts: 3, Retry: soon},
		)
		require.NoError(t, err, how)
		require.Equal(t, 3, n, how)
	}
	require.Empty(t, l.Tasks().Dead())
}

// A retry without a pause goes to whoever has nothing to do, at once, though the worker that had
// the task is gone.
func TestRetryWithoutPauseIsHandedOut(t *testing.T) {
	l, _ := startPolicy(t, &multiprolab.WorkerConfig{Count: 3, Restart: multiprolab.RestartNever})
	o := &multiprolab.TaskOptions{Attempts: 3, Retry: multiprolab.RetryPolicy{First: 1}}
	n, err := multiprolab.DoWith[int](bounded(t), l, "third-time", "exit 1", o)
	require.NoError(t, err, "%v", l.Tasks().Residue())
	require.Equal(t, 3, n)
}

func TestRetryOn(t *testing.T) {
	l, _ := startPolicy(t, nil)
	only := soon
	only.On = multiprolab.RetryDeaths
	_, err := multiprolab.DoWith[int](
		bounded(t),
		l,
		"third-time",
		"error",
		&multiprolab.TaskOptions{Attempts: 3, Retry: only},
	)
	var remote *multiprolab.RemoteError
	require.ErrorAs(t, err, &remote)
	require.Equal(t, "attempt 1 is too early", remote.Text)
	only.On = multiprolab.RetryErrors
	_, err = multiprolab.DoWith[int](
		bounded(t),
		l,
		"third-time",
		"exit 1",
		&multiprolab.TaskOptions{Attempts: 3, Retry: only},
	)
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Empty(t, l.Tasks().Dead(), "what is not worth a retry has not used up its attempts")
}

func TestNoRetry(t *testing.T) {
	l, _ := startPolicy(t, nil)
	_, err := multiprolab.DoWith[int](
		bounded(t),
		l,
		"no-retry",
		nil,
		&multiprolab.TaskOptions{Attempts: 5, Retry: soon},
	)
	var remote *multiprolab.RemoteError
	require.ErrorAs(t, err, &remote)
	require.Equal(t, "attempt 1 is the last", remote.Text)
	var all *multiprolab.AttemptsError
	require.False(t, errors.As(err, &all))
}

func TestRetryAfterUsesUpNoAttempt(t *testing.T) {
	l, _ := startPolicy(t, nil)
	n, err := multiprolab.Do[int](bounded(t), l, "later", nil) // with one attempt
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestX1_DeadLetterListsEveryExit(t *testing.T) {
	l, _ := startPolicy(t, nil)
	ctx := bounded(t)
	_, err := multiprolab.DoWith[int](
		ctx,
		l,
		"third-time",
		"exit 3",
		&multiprolab.TaskOptions{Attempts: 2, Retry: soon},
	)
	var all *multiprolab.AttemptsError
	require.ErrorAs(t, err, &all)
	require.Len(t, all.Attempts, 2)
	for i, attempt := range all.Attempts {
		var died *multiprolab.WorkerDiedError
		require.ErrorAs(t, attempt, &died)
		require.Equal(t, 3, died.ExitCode)
		require.Equal(t, i+1, died.Life)
		require.Contains(t, err.Error(), fmt.Sprintf("pid %d", died.PID))
	}
	dead := l.Tasks().Dead()
	require.Len(t, dead, 1)
	require.Equal(t, "third-time", dead[0].Type)
	require.Len(t, dead[0].Err.Attempts, 2)
	var how string
	require.NoError(t, dead[0].Decode(&how))
	require.Equal(t, "exit 3", how)

	// Tried again it dies again, and comes back to the list.
	n, err := l.Tasks().RetryDead(dead[0].ID)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, l.Tasks().Join(ctx))
	again := l.Tasks().Dead()
	require.Len(t, again, 1)
	require.Equal(t, dead[0].ID, again[0].ID)
	require.Equal(t, 0, l.Tasks().DropDead(dead[0].ID+1))
	require.Equal(t, 1, l.Tasks().DropDead(dead[0].ID))
	require.Empty(t, l.Tasks().Dead())
}

func TestX2_MemoryLimit(t *testing.T) {
	if raceBuilt {
		t.Skip("a race-built process holds more memory than the limit before it does anything")
	}
	l, _ := startPolicy(t, &multiprolab.WorkerConfig{Limits: multiprolab.Limits{Memory: 256 << 20}})
	_, err := multiprolab.Do[int](bounded(t), l, "eat", nil)
	var limit *multiprolab.MemoryLimitError
	require.ErrorAs(t, err, &limit)
	require.EqualValues(t, 256<<20, limit.Limit)
	require.Contains(t, err.Error(), "memory limit")
	require.Contains(t, err.Error(), `task "eat"`)
	_, err = multiprolab.Do[int](bounded(t), l, "policy-pid", nil)
	require.NoError(t, err)
	_, err = multiprolab.Do[int](bounded(t), l, "third-time", "exit 1")
	require.Error(t, err)
	require.False(t, errors.As(err, &limit), "another death is no matter of memory: %v", err)
}

func TestTimeoutTellsWhereItWas(t *testing.T) {
	l, _ := startPolicy(t, nil)
	_, err := multiprolab.DoWith[int](
		bounded(t),
		l,
		"policy-spin",
		nil,
		&multiprolab.TaskOptions{Timeout: 20 * time.Millisecond, Grace: 20 * time.Millisecond},
	)
	var timeout *multiprolab.TimeoutError
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Killed)
	require.Contains(t, timeout.Stderr, "spinForEver")
}

func TestPriority(t *testing.T) {
	l, n := startPolicy(t, nil)
	ctx := bounded(t)
	submit := func(name string, p multiprolab.Priority) {
		_, err := multiprolab.Submit[string](ctx, l, "note", name, &multiprolab.TaskOptions{Priority: p})
		require.NoError(t, err)
	}
	_, err := multiprolab.Submit[string](ctx, l, "gate", "first", nil)
	require.NoError(t, err)
	n.waitRan(t, 1)
	submit("low", multiprolab.PriorityLow)
	submit("normal", multiprolab.PriorityNormal)
	submit("high 1", multiprolab.PriorityHigh)
	submit("high 2", multiprolab.PriorityHigh)
	close(n.gate("first"))
	require.Equal(t, []string{"first", "high 1", "high 2", "normal", "low"}, n.waitRan(t, 5))
}

func TestKeyRunsOneAtATime(t *testing.T) {
	l, n := startPolicy(t, &multiprolab.WorkerConfig{Count: 3})
	ctx := bounded(t)
	for _, s := range []struct{ name, key string }{{"a1", "a"}, {"a2", "a"}, {"b1", "b"}} {
		_, err := multiprolab.Submit[string](ctx, l, "gate", s.name, &multiprolab.TaskOptions{Key: s.key})
		require.NoError(t, err)
	}
	ran := n.waitRan(t, 2)
	slices.Sort(ran)
	require.Equal(t, []string{"a1", "b1"}, ran, "a2 has the key of a1")
	close(n.gate("a1"))
	require.Equal(t, "a2", n.waitRan(t, 3)[2])
	close(n.gate("a2"))
	close(n.gate("b1"))
	require.NoError(t, l.Tasks().Join(ctx))
}

func TestQueuesHaveTheirWorkers(t *testing.T) {
	l, n := startPolicy(t, &multiprolab.WorkerConfig{Queues: []string{"slow"}}, workers("lab", 1))
	ctx := bounded(t)
	_, err := multiprolab.Submit[string](ctx, l, "gate", "g", &multiprolab.TaskOptions{Queue: "slow"})
	require.NoError(t, err)
	n.waitRan(t, 1)
	_, err = multiprolab.Do[int](ctx, l, "double", 1)
	require.NoError(t, err, "the default queue has its own worker")
	_, err = multiprolab.Do[string](ctx, l, "note", "x")
	var unknown *multiprolab.UnknownTypeError
	require.ErrorAs(t, err, &unknown, "the worker of the type takes from another queue")
	close(n.gate("g"))
}

func TestDelay(t *testing.T) {
	l, n := startPolicy(t, nil)
	ctx := bounded(t)
	begin := time.Now()
	const delay = 50 * time.Millisecond
	f, err := multiprolab.Submit[string](ctx, l, "note", "delayed", &multiprolab.TaskOptions{Delay: delay})
	require.NoError(t, err)
	_, err = multiprolab.Do[string](ctx, l, "note", "at once")
	require.NoError(t, err)
	_, err = f.Wait(ctx)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begin), delay)
	require.Equal(t, []string{"at once", "delayed"}, n.waitRan(t, 2))
}

func TestB06_CancelPendingLeavesRunningAlone(t *testing.T) {
	l, n := startPolicy(t, nil)
	ctx := bounded(t)
	running, err := multiprolab.Submit[string](ctx, l, "gate", "running", nil)
	require.NoError(t, err)
	n.waitRan(t, 1)
	var pending []*multiprolab.Future[string]
	for range 10 {
		f, err := multiprolab.Submit[string](ctx, l, "note", "pending", nil)
		require.NoError(t, err)
		pending = append(pending, f)
	}
	require.Equal(t, 10, l.Tasks().CancelPending(""))
	for _, f := range pending {
		_, err := f.Wait(ctx)
		require.ErrorIs(t, err, multiprolab.ErrCancelled)
	}
	close(n.gate("running"))
	_, err = running.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"running"}, n.waitRan(t, 1))
}

func TestPauseResume(t *testing.T) {
	l, n := startPolicy(t, nil)
	ctx := bounded(t)
	l.Tasks().Pause(multiprolab.DefaultQueue)
	f, err := multiprolab.Submit[string](ctx, l, "note", "paused", nil)
	require.NoError(t, err)
	// a round trip: the worker would have had the task by now
	_, err = multiprolab.Call[int](ctx, l, "policy/0", "no such call", nil)
	require.Error(t, err)
	require.EqualValues(t, 1, l.Tasks().Stats().Queued)
	l.Tasks().Resume(multiprolab.DefaultQueue)
	_, err = f.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"paused"}, n.waitRan(t, 1))
}

// No task waits behind a long one while another worker has nothing to do: what was handed out ahead
// is taken back.
func TestPrefetchedTasksAreTakenBack(t *testing.T) {
	l, n := startPolicy(t, &multiprolab.WorkerConfig{Count: 2})
	ctx := bounded(t)
	// Short tasks make the workers get tasks ahead.
	for _, err := range multiprolab.Map[string](ctx, l, "note", slices.Values(make([]string, 500)), nil) {
		require.NoError(t, err)
	}
	l.Tasks().Pause(multiprolab.DefaultQueue)
	var futures []*multiprolab.Future[string]
	gate, err := multiprolab.Submit[string](ctx, l, "gate", "long", nil)
	require.NoError(t, err)
	for range 40 {
		f, err := multiprolab.Submit[string](ctx, l, "note", "short", nil)
		require.NoError(t, err)
		futures = append(futures, f)
	}
	l.Tasks().Resume(multiprolab.DefaultQueue)
	for _, f := range futures { // all of them, while the long one runs
		_, err := f.Wait(ctx)
		require.NoError(t, err)
	}
	close(n.gate("long"))
	_, err = gate.Wait(ctx)
	require.NoError(t, err)
}

func TestG02_RecycleAfterTasks(t *testing.T) {
	for _, most := range []int{1, 3} { // C03: also 1
		l, _ := startPolicy(t, &multiprolab.WorkerConfig{Count: 2, MaxTasks: most})
		ctx := bounded(t)
		count := map[int]int{}
		for pid, err := range multiprolab.Map[int](ctx, l, "policy-pid", slices.Values(make([]struct{}, 60)), nil) {
			require.NoError(t, err)
			count[pid]++
		}
		require.GreaterOrEqual(t, len(count), 60/most/2)
		for pid, n := range count {
			require.LessOrEqual(t, n, most, "pid %d", pid)
		}
		require.NoError(t, l.Close())
		require.EqualValues(t, 60, l.Tasks().Stats().Succeeded)
	}
}

func TestG02_RecycleAboveMemory(t *testing.T) {
	l, _ := startPolicy(t, &multiprolab.WorkerConfig{MaxRSS: 200 << 20})
	ctx := bounded(t)
	small, err := multiprolab.Do[int](ctx, l, "keep", 1<<20)
	require.NoError(t, err)
	big, err := multiprolab.Do[int](ctx, l, "keep", 256<<20)
	require.NoError(t, err)
	require.Equal(t, small, big)
	eventually(t, "a fresh process", func() bool {
		fresh, err := multiprolab.Do[int](ctx, l, "policy-pid", nil)
		return err == nil && fresh != big
	})
}

func TestG02_RecycleAfterAge(t *testing.T) {
	l, _ := startPolicy(t, &multiprolab.WorkerConfig{MaxAge: 10 * time.Millisecond})
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 4 })
}

func TestG01_ExitValues(t *testing.T) {
	l, _ := startPolicy(t, &multiprolab.WorkerConfig{Count: 2, MaxTasks: 1})
	_, err := multiprolab.Do[int](bounded(t), l, "policy-pid", nil)
	require.NoError(t, err)
	recycled := waitEvent(t, l, func(e *multiprolab.WorkerStopped) bool { return true })
	var s string
	require.NoError(t, recycled.Decode(&s))
	require.Equal(t, recycled.Worker+" life 1", s)
	require.NoError(t, l.Close())
	values := map[string]bool{}
	for _, e := range l.all() {
		// the second one of the recycled worker may not have got ready
		if e, ok := e.(*multiprolab.WorkerStopped); ok && e.Life == 1 {
			require.NoError(t, e.Decode(&s))
			require.False(t, values[s], "twice: %s", s)
			values[s] = true
		}
	}
	require.Contains(t, values, "policy/0 life 1")
	require.Contains(t, values, "policy/1 life 1")
}

func TestG03_ResizeUnderLoad(t *testing.T) {
	l, n := startPolicy(t, &multiprolab.WorkerConfig{Count: 2})
	ctx := bounded(t)
	pid := func(name string) int {
		return waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == name }).PID
	}
	first := pid("policy/0")
	busy, err := multiprolab.Submit[string](ctx, l, "gate", "busy", nil)
	require.NoError(t, err)
	also, err := multiprolab.Submit[string](ctx, l, "gate", "also", nil)
	require.NoError(t, err)
	n.waitRan(t, 2)
	require.NoError(t, l.Resize("policy", 4))
	for range 20 { // on the new ones
		_, err := multiprolab.Do[string](ctx, l, "note", "x")
		require.NoError(t, err)
	}
	require.NoError(t, l.Resize("policy", 1))
	require.Equal(t, []string{"main", "policy/0"}, l.Router().Receivers())
	close(n.gate("busy"))
	close(n.gate("also"))
	for _, f := range []*multiprolab.Future[string]{busy, also} { // who is taken away finishes first
		_, err := f.Wait(ctx)
		require.NoError(t, err)
	}
	for _, name := range []string{"policy/1", "policy/2", "policy/3"} {
		waitEvent(t, l, func(e *multiprolab.WorkerStopped) bool { return e.Worker == name })
	}
	got, err := multiprolab.Do[int](ctx, l, "policy-pid", nil)
	require.NoError(t, err)
	require.Equal(t, first, got, "a worker that stays keeps its process")
	require.NoError(t, l.Resize("policy", 2))
	again := waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "policy/1" && e.Life == 2 })
	require.NotEqual(t, pid("policy/1"), again.PID)
	for _, bad := range []int{0, -1} {
		require.Error(t, l.Resize("policy", bad))
	}
	require.Error(t, l.Resize("nobody", 1))
}

func TestMapProgressAndIndex(t *testing.T) {
	l := startLab(t, nil, workers("lab", 2))
	var seen []multiprolab.MapProgress
	cfg := &multiprolab.MapConfig{Window: 2, OnProgress: func(p multiprolab.MapProgress) { seen = append(seen, p) }}
	var failed []int
	for _, err := range multiprolab.Map[int](bounded(t), l, "fail", slices.Values([]string{"a", "b", "c"}), cfg) {
		var e *multiprolab.MapError
		require.ErrorAs(t, err, &e)
		failed = append(failed, e.Index)
	}
	require.Equal(t, []int{0, 1, 2}, failed)
	require.Len(t, seen, 3)
	require.Equal(t, multiprolab.MapProgress{Taken: 3, Yielded: 3, Failed: 3}, seen[2])
}

func TestBadTaskOptions(t *testing.T) {
	l, _ := startPolicy(t, nil)
	for _, c := range []struct {
		field   string
		options multiprolab.TaskOptions
	}{
		{"TaskOptions.Timeout", multiprolab.TaskOptions{Timeout: -1}},
		{"TaskOptions.Grace", multiprolab.TaskOptions{Grace: -1}},
		{"TaskOptions.Attempts", multiprolab.TaskOptions{Attempts: -1}},
		{"TaskOptions.Delay", multiprolab.TaskOptions{Delay: -1}},
		{"TaskOptions.Priority", multiprolab.TaskOptions{Priority: 7}},
		{"TaskOptions.Queue", multiprolab.TaskOptions{Queue: "a/b"}},
		{"TaskOptions.Key", multiprolab.TaskOptions{Key: strings.Repeat("k", 300)}},
		{"RetryPolicy.First", multiprolab.TaskOptions{Retry: multiprolab.RetryPolicy{First: -1}}},
		{"RetryPolicy.Max", multiprolab.TaskOptions{Retry: multiprolab.RetryPolicy{Max: -1}}},
		{"RetryPolicy.Factor", multiprolab.TaskOptions{Retry: multiprolab.RetryPolicy{Factor: 0.5}}},
		{"RetryPolicy.Factor", multiprolab.TaskOptions{Retry: multiprolab.RetryPolicy{Factor: math.NaN()}}},
		{"RetryPolicy.Factor", multiprolab.TaskOptions{Retry: multiprolab.RetryPolicy{Factor: math.Inf(-1)}}},
		{"RetryPolicy.On", multiprolab.TaskOptions{Retry: multiprolab.RetryPolicy{On: 128}}},
	} {
		_, err := multiprolab.Submit[string](bounded(t), l, "note", "x", &c.options)
		var bad *multiprolab.ConfigError
		require.ErrorAs(t, err, &bad, c.field)
		require.Equal(t, c.field, bad.Field)
	}
}

// TestHugeOptions: options that are as large as they can be are taken for what they say, and none
// is dropped with the others.
func TestHugeOptions(t *testing.T) {
	l, _ := startPolicy(t, nil)
	for _, factor := range []float64{1, 1e300, math.MaxFloat64, math.Inf(1)} {
		o := &multiprolab.TaskOptions{
			Attempts: 3,
			Timeout:  math.MaxInt64,
			Grace:    math.MaxInt64,
			Retry:    multiprolab.RetryPolicy{First: 1, Factor: factor, Max: time.Millisecond},
		}
		_, err := multiprolab.DoWith[int](bounded(t), l, "policy-fail", "no", o)
		var all *multiprolab.AttemptsError
		require.ErrorAs(t, err, &all, "%v", factor)
		require.Len(t, all.Attempts, 3)
	}
}
