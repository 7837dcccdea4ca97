package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/backend"
)

// The worker "delegate" submits tasks for main, in its own process.
var _ = worker("delegate", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "delegate", func(ctx context.Context, typ string) (string, error) {
		_, err := multiprolab.Do[int](ctx, w, typ, nil)
		return fmt.Sprint(err), nil
	})
	return nil
})

// startDefaults starts workers "policy" and "delegate" in an app whose types have defaults.
func startDefaults(
	t *testing.T, cfg *multiprolab.Config, workers *multiprolab.WorkerConfig,
	defaults map[string]*multiprolab.TaskOptions,
) (*lab, *notebook) {
	l := newLab(t, cfg, pool{"policy", workers}, pool{"delegate", nil})
	for typ, o := range defaults {
		l.TaskDefaults(typ, o)
	}
	n := newNotebook(l)
	require.NoError(t, l.Start(context.Background()))
	t.Cleanup(func() {
		_ = l.Close()
		l.checkGone(t)
	})
	return l, n
}

// A task that spins is ended by the time limit of its type, whoever has submitted it and however,
// though no submission says a limit.
func TestDefaultTimeoutHoldsWithoutOptions(t *testing.T) {
	l, _ := startDefaults(t, nil, nil, map[string]*multiprolab.TaskOptions{
		"policy-spin": {Timeout: 20 * time.Millisecond, Grace: 20 * time.Millisecond},
	})
	var timeout *multiprolab.TimeoutError
	_, err := multiprolab.Do[int](bounded(t), l, "policy-spin", nil)
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Killed)
	_, err = multiprolab.DoWith[int](bounded(t), l, "policy-spin", nil, &multiprolab.TaskOptions{Attempts: 1})
	require.ErrorAs(t, err, &timeout)
	n := 0
	for _, err := range multiprolab.Map[int](bounded(t), l, "policy-spin", slices.Values([]struct{}{{}, {}}), nil) {
		require.ErrorAs(t, err, &timeout)
		n++
	}
	require.Equal(t, 2, n)
	text, err := multiprolab.Call[string](bounded(t), l, "delegate", "delegate", "policy-spin")
	require.NoError(t, err)
	require.Contains(t, text, "20ms")
}

// Attempts and Retry of a type hold for a submission without options, through deaths of the worker,
// and a submission overrides each of them.
func TestDefaultAttemptsAndTheirOverrides(t *testing.T) {
	l, _ := startDefaults(t, nil, nil, map[string]*multiprolab.TaskOptions{
		"third-time": {Attempts: 3, Retry: soon},
	})
	n, err := multiprolab.Do[int](bounded(t), l, "third-time", "SIGKILL")
	require.NoError(t, err)
	require.Equal(t, 3, n)
	var died *multiprolab.WorkerDiedError
	var all *multiprolab.AttemptsError
	once := &multiprolab.TaskOptions{Attempts: 1}
	_, err = multiprolab.DoWith[int](bounded(t), l, "third-time", "SIGKILL", once)
	require.ErrorAs(t, err, &died)
	deaths := &multiprolab.TaskOptions{Retry: multiprolab.RetryPolicy{On: multiprolab.RetryDeaths}}
	_, err = multiprolab.DoWith[int](bounded(t), l, "third-time", "error", deaths)
	require.ErrorContains(t, err, "attempt 1 is too early")
	require.NotErrorAs(t, err, &all)
}

// A submission overrides the time limit of its type, also with none.
func TestNoTimeoutOverridesTheDefault(t *testing.T) {
	l, n := startDefaults(t, nil, nil, map[string]*multiprolab.TaskOptions{"gate": {Timeout: time.Millisecond}})
	for _, limit := range []time.Duration{multiprolab.NoTimeout, time.Hour} {
		name := limit.String()
		f, err := multiprolab.Submit[string](bounded(t), l, "gate", name, &multiprolab.TaskOptions{Timeout: limit})
		require.NoError(t, err)
		require.Contains(t, n.waitRan(t, 1), name)
		for range 20 { // the gate asks main every millisecond: it runs longer than the default
			_, err := multiprolab.Call[string](bounded(t), l, "delegate", "delegate", "no-such-type")
			require.NoError(t, err)
		}
		close(n.gate(name))
		got, err := f.Wait(bounded(t))
		require.NoError(t, err)
		require.Equal(t, name, got)
		n.forget()
	}
}

// forget makes a notebook empty.
func (n *notebook) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ran = nil
}

// The priority of a type orders its tasks before others, and PriorityNormal takes it away again.
func TestDefaultPriority(t *testing.T) {
	l, n := startDefaults(t, nil, nil, map[string]*multiprolab.TaskOptions{
		"note": {Priority: multiprolab.PriorityLow},
	})
	ctx := bounded(t)
	submit := func(name string, o *multiprolab.TaskOptions) {
		_, err := multiprolab.Submit[string](ctx, l, "note", name, o)
		require.NoError(t, err)
	}
	_, err := multiprolab.Submit[string](ctx, l, "gate", "first", nil)
	require.NoError(t, err)
	n.waitRan(t, 1)
	submit("low", nil)
	submit("low 2", &multiprolab.TaskOptions{Attempts: 2})
	submit("normal", &multiprolab.TaskOptions{Priority: multiprolab.PriorityNormal})
	submit("high", &multiprolab.TaskOptions{Priority: multiprolab.PriorityHigh})
	close(n.gate("first"))
	require.Equal(t, []string{"first", "high", "normal", "low", "low 2"}, n.waitRan(t, 5))
}

// The queue of a type is where its tasks go; DefaultQueue overrides it. With a Backend the task is
// stored with the options of its type.
func TestDefaultQueue(t *testing.T) {
	for name, cfg := range map[string]*multiprolab.Config{"memory": {}, "backend": {Backend: backend.NewMemory()}} {
		t.Run(name, func(t *testing.T) {
			l, n := startDefaults(t, cfg, &multiprolab.WorkerConfig{Queues: []string{"slow", multiprolab.DefaultQueue}},
				map[string]*multiprolab.TaskOptions{
					"note":       {Queue: "slow"},
					"third-time": {Attempts: 3, Retry: soon, Queue: "slow"},
				})
			l.Tasks().Pause("slow")
			slow, err := multiprolab.Submit[string](bounded(t), l, "note", "slow", nil)
			require.NoError(t, err)
			fast := &multiprolab.TaskOptions{Queue: multiprolab.DefaultQueue}
			got, err := multiprolab.DoWith[string](bounded(t), l, "note", "fast", fast)
			require.NoError(t, err)
			require.Equal(t, "fast", got)
			require.Equal(t, []string{"fast"}, n.waitRan(t, 1))
			l.Tasks().Resume("slow")
			got, err = slow.Wait(bounded(t))
			require.NoError(t, err)
			require.Equal(t, "slow", got)
			third, err := multiprolab.Do[int](bounded(t), l, "third-time", "SIGKILL")
			require.NoError(t, err)
			require.Equal(t, 3, third)
		})
	}
}

// What cannot be a default, and what makes no sense, ends Run and Start with its name.
func TestBadTaskDefaults(t *testing.T) {
	for field, o := range map[string]*multiprolab.TaskOptions{
		"TaskOptions.Delay":      {Delay: 1},
		"TaskOptions.Key":        {Key: "k"},
		"TaskOptions.OnProgress": {OnProgress: func(context.Context, *multiprolab.Message) {}},
		"TaskOptions.Timeout":    {Timeout: -1},
		"TaskOptions.Priority":   {Priority: 7},
		"RetryPolicy.Factor":     {Retry: multiprolab.RetryPolicy{Factor: 0.5}},
	} {
		l := newLab(t, nil)
		l.TaskDefaults("t", o)
		var bad *multiprolab.ConfigError
		err := l.Start(bounded(t))
		require.ErrorAs(t, err, &bad)
		require.Equal(t, field, bad.Field)
		require.ErrorContains(t, err, "taskdefaults_test.go")
	}
	l := startLab(t, nil)
	require.Panics(t, func() { l.TaskDefaults("t", nil) }, "after Start")
	twice := newLab(t, nil)
	twice.TaskDefaults("t", nil)
	require.Panics(t, func() { twice.TaskDefaults("t", nil) })
	require.Panics(t, func() { twice.TaskDefaults("", nil) })
}

func ExampleMain_TaskDefaults() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	app.RegisterWorker("worker", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "wait", func(ctx context.Context, _ struct{}) (string, error) {
			<-ctx.Done() // with a real process, an endless loop would be killed
			return "", ctx.Err()
		})
		return nil
	}, nil)
	app.TaskDefaults("wait", &multiprolab.TaskOptions{Timeout: time.Millisecond})
	app.After(0, func(ctx context.Context) error {
		defer app.Exit()
		_, err := multiprolab.Do[string](ctx, app, "wait", nil) // without options, but with a limit
		var timeout *multiprolab.TimeoutError
		fmt.Println(errors.As(err, &timeout))
		return nil
	})
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: true
}
