package multiprolab_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The worker of the reviews: it visits the gate where it is told to.
type job struct {
	Gate  string
	Label string
}

func (j job) visit(label string) { _, _ = visit{j.Gate, label}.wait() }

var _ = worker("xa", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "x-nothing", func(ctx context.Context, j job) (string, error) { return "done", nil })
	multiprolab.HandleTask(w, "x-gate", func(ctx context.Context, j job) (string, error) { j.visit(j.Label); return "done", nil })
	multiprolab.HandleCall(w, "x-gate", func(ctx context.Context, j job) (string, error) { j.visit(j.Label); return "done", nil })
	// a loop and a goroutine wait for the same task, which only this worker takes
	multiprolab.HandleTask(w, "x-both", func(ctx context.Context, j job) (string, error) {
		for range 10 {
			f, err := multiprolab.Submit[string](ctx, w, "x-nothing", job{}, nil)
			if err != nil {
				return "", err
			}
			go func() {
				_, err := f.Wait(context.WithoutCancel(context.Background()))
				_ = multiprolab.Send(context.Background(), w, "main", "stray", fmt.Sprint(err))
			}()
			time.Sleep(10 * time.Millisecond)
			if _, err = f.Wait(ctx); err == nil {
				return "", fmt.Errorf("it has ended")
			}
		}
		return "refused", nil
	})
	// submits more than its window
	multiprolab.HandleTask(w, "x-room", func(ctx context.Context, j job) (string, error) {
		for range 1 << 16 {
			if _, err := multiprolab.Submit[string](ctx, w, "x-nothing", job{}, nil); err != nil {
				return err.Error(), nil
			}
		}
		return "submitted", nil
	})
	// has another do a task for this one, and waits for a third
	multiprolab.HandleTask(w, "x-unrelated", func(ctx context.Context, j job) (string, error) {
		if _, err := multiprolab.Submit[string](ctx, w, "x-do-nothing", j, nil); err != nil {
			return "", err
		}
		return multiprolab.Call[string](ctx, w, "xc/0", "x-gate", job{j.Gate, "third"})
	})
	multiprolab.HandleTask(w, "x-own", func(ctx context.Context, j job) (string, error) {
		f, err := multiprolab.Submit[string](ctx, w, "x-nothing", job{}, nil)
		if err != nil {
			return "", err
		}
		_ = multiprolab.Send(ctx, w, "main", "stray", "submitted")
		return f.Wait(ctx)
	})
	multiprolab.HandleTask(w, "x-own-do", func(ctx context.Context, j job) (string, error) {
		j.visit("own")
		return multiprolab.Do[string](ctx, w, "x-nothing", job{})
	})
	multiprolab.Handle(w, "x-call-main", func(ctx context.Context, j job) error {
		j.visit("handler")
		_, err := multiprolab.Call[string](ctx, w, "main", "x", "")
		return multiprolab.Send(ctx, w, "main", "stray", fmt.Sprint(err))
	})
	multiprolab.HandleTask(w, "x-pull-submitter", func(ctx context.Context, j job) (string, error) {
		return multiprolab.Do[string](ctx, w, "x-pulled", j)
	})
	multiprolab.HandleCall(w, "x-back", func(ctx context.Context, j job) (string, error) { return "back", nil })
	return nil
})

var _ = worker("xb", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "x-do-nothing", func(ctx context.Context, j job) (string, error) {
		j.visit("second")
		return multiprolab.Do[string](ctx, w, "x-nothing", job{})
	})
	return nil
})
var _ = worker("xc", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "x-gate", func(ctx context.Context, j job) (string, error) { j.visit(j.Label); return "done", nil })
	return nil
})
var _ = worker("xp", func(ctx context.Context, w *multiprolab.Worker) error {
	w.PullTasks("x-pulled")
	w.Action(0, func(ctx context.Context) error {
		t, err := w.GetTask(ctx)
		if err != nil {
			return err
		}
		got, err := multiprolab.Call[string](t.Context(), w, "xa/0", "x-back", job{})
		if err != nil {
			return t.Fail(err)
		}
		return t.Done(got)
	})
	return nil
})

func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestReviewBothWait(t *testing.T) {
	l := newLab(t, nil, workers("xa", 1))
	strays := make(chan string, 100)
	multiprolab.Handle(l, "stray", func(_ context.Context, text string) error { strays <- text; return nil })
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	got, err := multiprolab.Do[string](short(t), l, "x-both", job{})
	require.NoError(t, err)
	require.Equal(t, "refused", got)
	for range 10 {
		require.Equal(t, "<nil>", await(t, strays, "a stray"))
	}
}

func TestReviewRoom(t *testing.T) {
	l := startLab(t, &multiprolab.Config{QueueLimit: 1}, workers("xa", 1))
	got, err := multiprolab.Do[string](short(t), l, "x-room", job{})
	require.NoError(t, err)
	t.Log(got)
}

func TestReviewUnrelated(t *testing.T) {
	l := startLab(t, nil, workers("xa", 1), workers("xb", 1), workers("xc", 1))
	g := newGate(t)
	done := make(chan error, 1)
	go func() {
		_, err := multiprolab.Do[string](bounded(t), l, "x-unrelated", job{Gate: g.addr()})
		done <- err
	}()
	one, two := g.next(t), g.next(t)
	if one.label != "second" {
		one, two = two, one
	}
	one.tell("go on")
	time.Sleep(100 * time.Millisecond)
	two.tell("go on")
	require.NoError(t, await(t, done, "it"))
	require.NoError(t, l.Tasks().Join(bounded(t)))
	require.Zero(t, l.Tasks().Stats().Failed)
}

func TestReviewJoinQueued(t *testing.T) {
	l := newLab(t, nil, workers("xa", 1))
	multiprolab.HandleCall(l, "x", func(context.Context, string) (string, error) { return "main", nil })
	g := newGate(t)
	strays := make(chan string, 100)
	multiprolab.Handle(l, "stray", func(_ context.Context, text string) error { strays <- text; return nil })
	joined := make(chan error, 1)
	begun := make(chan struct{})
	multiprolab.Handle(l, "join", func(ctx context.Context, _ string) error {
		close(begun)
		joined <- l.Tasks().Join(ctx)
		return nil
	})
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	require.NoError(t, multiprolab.Send(bounded(t), l, "xa/0", "x-call-main", job{Gate: g.addr()}))
	v := g.expect(t, "handler")
	_, err := multiprolab.Submit[string](bounded(t), l, "x-nothing", job{}, nil)
	require.NoError(t, err)
	require.NoError(t, multiprolab.Send(bounded(t), l, "main", "join", ""))
	await(t, begun, "join")
	time.Sleep(50 * time.Millisecond)
	v.tell("go on")
	select {
	case err := <-joined:
		t.Log(err, await(t, strays, "a stray"))
	case <-time.After(8 * time.Second):
		t.Fatal("main and the worker wait for each other")
	}
}

func TestReviewLastOtherLeaves(t *testing.T) {
	for _, how := range []string{"resize", "dies"} {
		t.Run(how, func(t *testing.T) {
			l := newLab(t, nil, pool{"xa", &multiprolab.WorkerConfig{Count: 2, RestartLimit: -1, Restart: multiprolab.RestartNever}})
			strays := make(chan string, 100)
			multiprolab.Handle(l, "stray", func(_ context.Context, text string) error { strays <- text; return nil })
			require.NoError(t, l.Start(t.Context()))
			defer l.Close()
			g := newGate(t)
			var vs [2]*visitor
			for i := range 2 {
				_, err := multiprolab.Submit[string](bounded(t), l, "x-gate", job{g.addr(), "busy"}, nil)
				require.NoError(t, err)
				vs[i] = g.expect(t, "busy")
			}
			if vs[0].pid != l.pidOf("xa/0") {
				vs[0], vs[1] = vs[1], vs[0]
			}
			f, err := multiprolab.Submit[string](bounded(t), l, "x-own", job{}, nil)
			require.NoError(t, err)
			vs[0].tell("go on")
			await(t, strays, "the submission")
			time.Sleep(50 * time.Millisecond)
			if how == "resize" {
				require.NoError(t, l.Resize("xa", 1))
				vs[1].tell("go on")
			} else {
				vs[1].tell("die exit 3")
			}
			_, err = f.Wait(short(t))
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			t.Log(err)
		})
	}
}

func TestReviewPulled(t *testing.T) {
	l := startLab(t, nil, workers("xa", 1), workers("xp", 1))
	_, err := multiprolab.Do[string](short(t), l, "x-pull-submitter", job{})
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	t.Log(err)
}
