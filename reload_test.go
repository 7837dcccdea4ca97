package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// row is a message that is numbered within its row.
type row struct {
	Row string
	N   int
}

// The relay passes the numbered messages that it gets on to main, and sends rows of its own.
var _ = worker("reload-relay", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(
		w,
		"row",
		func(ctx context.Context, r row) error { return multiprolab.Send(ctx, w, "main", "row", r) },
	)
	multiprolab.HandleTask(w, "burst", func(ctx context.Context, r row) (whoami, error) {
		for n := range r.N {
			if err := multiprolab.Send(ctx, w, "reload-relay/1", "row", row{r.Row, n}); err != nil {
				return whoami{}, err
			}
		}
		return whoAmI(ctx, w), nil
	})
	multiprolab.HandleCall(w, "reload-life", func(context.Context, struct{}) (int, error) { return w.Life(), nil })
	return nil
})

// rows counts the messages of rows, each of which must come in order.
type rows struct {
	mu   sync.Mutex
	next map[string]int
	errs []string
}

func (r *rows) take(_ context.Context, m row) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = map[string]int{}
	}
	if m.N != r.next[m.Row] {
		r.errs = append(r.errs, fmt.Sprintf("%s: %d came where %d was due", m.Row, m.N, r.next[m.Row]))
	}
	r.next[m.Row] = m.N + 1
	return nil
}

// room waits until few enough of a row are under way.
func (r *rows) room(ctx context.Context, name string, n int) error {
	for ctx.Err() == nil {
		r.mu.Lock()
		came := r.next[name]
		r.mu.Unlock()
		if n < came+200 {
			return nil
		}
		runtime.Gosched()
	}
	return context.Cause(ctx)
}

// complete checks that all rows have come, as long as they were sent.
func (r *rows) complete(t testing.TB, sent map[string]int) {
	t.Helper()
	eventually(t, "the last messages", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for name, n := range sent {
			if r.next[name] < n {
				return false
			}
		}
		return true
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Empty(t, r.errs)
	require.Equal(t, sent, r.next)
}

// lives returns in which life each worker is.
func (l *lab) lives() map[string]int {
	lives := map[string]int{}
	for _, e := range eventsOf[*multiprolab.WorkerReady](l) {
		lives[e.Worker] = e.Life
	}
	return lives
}

// waitLives waits until the workers are in these lives: Restart returns when they are ready, a
// moment before the event comes.
func (l *lab) waitLives(t testing.TB, lives map[string]int) {
	t.Helper()
	for worker, life := range lives {
		waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == worker && e.Life == life })
	}
	require.Equal(t, lives, l.lives())
}

// TestReload_UnderLoad: a rolling restart in the middle of tasks, calls and messages loses none of
// them, and has one worker at most down at a time.
func TestReload_UnderLoad(t *testing.T) {
	l := newLab(t, nil, workers("reload-relay", 2), workers("lab", 1))
	var came rows
	multiprolab.Handle(l, "row", came.take)
	require.NoError(t, l.Start(context.Background()))
	defer l.Close()
	changes := l.watch(t, "")
	for _, worker := range []string{"reload-relay/0", "reload-relay/1", "lab/0"} {
		require.True(t, awaitChange(t, changes, "a worker").Up, worker)
	}

	ctx := bounded(t)
	var stop atomic.Bool
	var load sync.WaitGroup
	defer load.Wait()
	defer stop.Store(true)
	var mu sync.Mutex
	sent := map[string]int{}
	var warm sync.WaitGroup
	generate := func(send func(i int) error) {
		warm.Add(1)
		load.Go(func() { // ends with stop
			i := 0
			defer func() {
				if i < 20 {
					warm.Done()
				}
			}()
			for ; !stop.Load(); i++ {
				if i == 20 {
					warm.Done()
				}
				if err := send(i); err != nil {
					t.Errorf("number %d: %v", i, err)
					return
				}
			}
		})
	}
	for _, to := range []string{"reload-relay/0", "reload-relay/1"} {
		generate(func(i int) error {
			mu.Lock()
			sent["to "+to] = i + 1
			mu.Unlock()
			if err := came.room(ctx, "to "+to, i); err != nil {
				return err
			}
			return multiprolab.Send(ctx, l, to, "row", row{"to " + to, i})
		})
	}
	generate(func(i int) error {
		name := fmt.Sprint("burst ", i)
		mu.Lock()
		sent[name] = 5
		mu.Unlock()
		who, err := multiprolab.Do[whoami](ctx, l, "burst", row{name, 5})
		if err == nil && who.Attempt != 1 {
			err = fmt.Errorf("it took attempt %d", who.Attempt)
		}
		return err
	})
	generate(func(i int) error {
		n, err := multiprolab.Do[int](ctx, l, "double", i)
		if err == nil && n != 2*i {
			err = fmt.Errorf("got %d", n)
		}
		return err
	})
	for _, to := range []string{"reload-relay", "reload-relay/1"} {
		generate(func(int) error {
			_, err := multiprolab.Call[int](ctx, l, to, "reload-life", nil)
			return err
		})
	}
	generate(func(int) error {
		_, err := multiprolab.Call[string](ctx, l, "lab", "call-echo", "here")
		return err
	})
	warm.Wait()
	const rounds = 2
	for range rounds {
		require.NoError(t, l.Restart(ctx, ""))
	}
	stop.Store(true)
	load.Wait()
	for round := range rounds {
		for _, worker := range []string{"reload-relay/0", "reload-relay/1", "lab/0"} {
			c := expectChange(t, changes, false, worker, round+1)
			require.NoError(t, c.Err)
			require.True(t, c.Restart)
			require.Zero(t, c.After)
			expectChange(t, changes, true, worker, round+2)
		}
	}
	came.complete(t, sent)
	l.waitLives(t, map[string]int{"reload-relay/0": 3, "reload-relay/1": 3, "lab/0": 3})
	l.noEvents(t)
	require.NoError(t, l.Close())
}

// TestReload_Names: one restarts an instance, a pool or all; and nothing that is not there.
func TestReload_Names(t *testing.T) {
	l := newLab(t, nil, workers("guest", 2), workers("lab", 1))
	require.ErrorContains(t, l.Restart(bounded(t), ""), "have not been started")
	require.NoError(t, l.Start(context.Background()))
	defer l.Close()
	for _, name := range []string{"nobody", "guest/2", "gues", "main"} {
		err := l.Restart(bounded(t), name)
		require.Equal(t, &multiprolab.UnknownReceiverError{Receiver: name, Known: []string{"guest", "lab"}}, err)
	}
	require.NoError(t, l.Restart(bounded(t), "guest/1"))
	l.waitLives(t, map[string]int{"guest/0": 1, "guest/1": 2, "lab/0": 1})
	require.NoError(t, l.Restart(bounded(t), "guest"))
	l.waitLives(t, map[string]int{"guest/0": 2, "guest/1": 3, "lab/0": 1})
	require.NoError(t, l.Restart(bounded(t), "lab"))
	l.waitLives(t, map[string]int{"guest/0": 2, "guest/1": 3, "lab/0": 2})
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Restart(bounded(t), ""), multiprolab.ErrStopped)
	l.noEvents(t)
}

// TestReload_Interrupted: the end of the context, or of the program, ends the waiting for a worker
// that is busy; those behind it are left alone.
func TestReload_Interrupted(t *testing.T) {
	for _, by := range []string{"the context", "the program"} {
		t.Run(by, func(t *testing.T) {
			g, l := newGate(t), startLab(t, nil, workers("guest", 1), workers("lab", 1))
			before := l.who(t)
			held := l.submit(t, "visit", g.visit("held"), nil)
			v := g.expect(t, "held")
			ctx, cancel := context.WithCancelCause(bounded(t))
			defer cancel(nil)
			result := make(chan error, 1)
			go func() { result <- l.Restart(ctx, "") }()
			impatience := errors.New("this takes too long")
			expected := impatience
			if by == "the context" {
				cancel(impatience)
			} else {
				l.Exit()
				expected = multiprolab.ErrStopped
			}
			err := await(t, result, "Restart to return")
			require.ErrorIs(t, err, expected)
			require.ErrorContains(t, err, "restarting worker guest/0")
			v.tell("finished")
			text, err := outcome(t, held)
			require.NoError(t, err)
			require.Equal(t, "finished", text)
			if by == "the context" {
				_, err := multiprolab.Do[int](bounded(t), l, "pid", nil)
				require.NoError(t, err)
			}
			require.NoError(t, l.Close())
			for worker, life := range l.lives() {
				require.True(
					t,
					life == 1 || life == 2 && worker == "guest/0" && by == "the context",
					"%s is in life %d",
					worker,
					life,
				)
			}
			require.Equal(t, 1, before.Life)
			l.noEvents(t)
		})
	}
}

// fateVar names a file that says how the setup of the fateful worker ends.
const fateVar = "MULTIPROLAB_TEST_FATE"

var _ = worker("reload-fateful", func(context.Context, *multiprolab.Worker) error {
	file := os.Getenv(fateVar)
	fate, err := os.ReadFile(file)
	switch string(fate) {
	case "once":
		return errors.Join(errors.New("not yet"), os.Remove(file))
	case "for good":
		return multiprolab.NoRetry(errors.New("the new configuration is wrong"))
	}
	_ = err // there is none
	return nil
})

// TestReload_FailedReplacement: a replacement that does not start is started again; if it never
// will be, Restart says why, and stops there.
func TestReload_FailedReplacement(t *testing.T) {
	for _, c := range []struct {
		fate string
		what multiprolab.LimitAction
	}{{"once", multiprolab.EndProgram}, {"for good", multiprolab.StopWorker}, {"for good", multiprolab.EndProgram}} {
		t.Run(fmt.Sprint(c.fate, c.what), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "fate")
			l := startLab(
				t,
				nil,
				workers("guest", 1),
				pool{
					"reload-fateful",
					&multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: []string{fateVar + "=" + file}}, RestartLimit: multiprolab.RestartLimit{Then: c.what}},
				},
				workers("lab", 1),
			)
			require.NoError(t, os.WriteFile(file, []byte(c.fate), 0o600))
			err := l.Restart(bounded(t), "")
			if c.fate == "once" {
				require.NoError(t, err)
				l.waitLives(t, map[string]int{"guest/0": 2, "reload-fateful/0": 3, "lab/0": 2})
				require.NoError(t, l.Close())
				return
			}
			require.ErrorContains(t, err, "restarting worker reload-fateful/0")
			if c.what == multiprolab.StopWorker {
				require.ErrorContains(t, err, "the new configuration is wrong")
				var limit *multiprolab.RestartLimitError
				require.ErrorAs(t, err, &limit)
				require.True(t, limit.Permanent)
				l.waitLives(t, map[string]int{"guest/0": 2, "reload-fateful/0": 1, "lab/0": 1})

				// It does not hold up the others again: that it is gone is told in the end.
				require.ErrorContains(t, l.Restart(bounded(t), ""), "restarting worker reload-fateful/0")
				l.waitLives(t, map[string]int{"guest/0": 3, "reload-fateful/0": 1, "lab/0": 2})
				require.NoError(t, l.Close())
			} else {
				require.Error(t, err)
				var limit *multiprolab.RestartLimitError
				require.ErrorAs(t, l.Wait(bounded(t)), &limit)
				require.ErrorContains(t, limit, "the new configuration is wrong")
				require.Equal(t, 1, l.lives()["lab/0"])
			}
		})
	}
}

// TestReload_WhileStarting: a worker that is just being started needs no other replacement.
func TestReload_WhileStarting(t *testing.T) {
	g := newGate(t)
	l := newLab(t, nil, pool{"late", &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: []string{gateVar + "=" + g.addr()}}}})
	ended := make(chan error, 1)
	go func() { ended <- l.Run(context.Background()) }() // ends with the app
	first := g.expect(t, "setup")
	restarted := make(chan error, 1)
	calling := make(chan struct{})
	go func() {
		close(calling)
		restarted <- l.Restart(bounded(t), "")
	}()
	<-calling
	first.tell("go on")
	for done := false; !done; {
		select {
		case v := <-g.visitors: // it was ready before Restart looked
			v.tell("go on")
		case err := <-restarted:
			require.NoError(t, err)
			done = true
		}
	}
	l.Exit()
	require.NoError(t, await(t, ended, "the end"))
	require.False(t, strings.Contains(l.log.String(), "level=ERROR"))
}

// TestReload_BesideResize: workers that Resize takes away during a rolling restart are no error,
// and those behind them are restarted all the same.
func TestReload_BesideResize(t *testing.T) {
	l := newLab(t, nil, workers("guest", 1), workers("reborn", 3), workers("lab", 1))
	g := newGate(t)
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	held := make(chan error, 1)
	go func() { // ends when the gate opens
		_, err := multiprolab.Call[string](bounded(t), l, "reborn/0", "hold", g.visit("held"))
		held <- err
	}()
	v := g.expect(t, "held")
	done := make(chan error, 1)
	go func() { done <- l.Restart(bounded(t), "") }() // ends below
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "guest/0" && e.Life == 2 })
	require.NoError(t, l.Resize("reborn", 1))
	v.tell("go on")
	require.NoError(t, <-held)
	require.NoError(t, await(t, done, "the restart"))
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "lab/0" && e.Life == 2 })
}
