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

// errBored is why the contexts of these tests end.
var errBored = errors.New("it has taken too long for somebody's taste")

// waitEnds are the ways in which the context of a wait ends.
var waitEnds = map[string]func() (context.Context, context.CancelFunc){
	"cancelled": func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(context.Background())
		timer := time.AfterFunc(20*time.Millisecond, func() { cancel(errBored) })
		return ctx, func() { timer.Stop(); cancel(nil) }
	},
	"past its deadline": func() (context.Context, context.CancelFunc) {
		return context.WithTimeoutCause(context.Background(), 20*time.Millisecond, errBored)
	},
	"over before": func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errBored)
		return ctx, func() {}
	},
}

// checkWait returns an error unless err says that ctx has ended, and why.
func checkWait(ctx context.Context, err error) error {
	switch {
	case ctx.Err() == nil:
		return fmt.Errorf("the wait has ended before its context, with %w", err)
	case !errors.Is(err, context.Cause(ctx)):
		return fmt.Errorf("it does not match the cause of its context, %w: %v", context.Cause(ctx), err)
	case !errors.Is(err, ctx.Err()):
		return fmt.Errorf("it does not match the error of its context, %w: %v", ctx.Err(), err)
	}
	return nil
}

// workerWaits are waits in a worker that end with their contexts alone.
var workerWaits = map[string]func(ctx context.Context, w *multiprolab.Worker) error{
	"Send": func(ctx context.Context, w *multiprolab.Worker) (err error) {
		for err == nil {
			err = multiprolab.Send(ctx, w, "blocked", "x", make([]byte, smallWindow))
		}
		return err
	},
	"Broadcast": func(ctx context.Context, w *multiprolab.Worker) (err error) {
		for err == nil {
			err = multiprolab.Broadcast(ctx, w, "blocked", "x", make([]byte, smallWindow))
		}
		return err
	},
	"Call": func(ctx context.Context, w *multiprolab.Worker) error {
		_, err := multiprolab.Call[int](ctx, w, "blocked", "block", 0)
		return err
	},
	"Do": func(ctx context.Context, w *multiprolab.Worker) error {
		_, err := multiprolab.Do[int](ctx, w, "block", 0)
		return err
	},
	"Submit": func(ctx context.Context, w *multiprolab.Worker) (err error) {
		for err == nil {
			_, err = multiprolab.Submit[int](ctx, w, "block", make([]byte, smallWindow), nil)
		}
		return err
	},
	"Future.Wait": func(ctx context.Context, w *multiprolab.Worker) error {
		f, err := multiprolab.Submit[int](context.Background(), w, "block", 0, nil)
		if err != nil {
			return err
		}
		_, err = f.Wait(ctx)
		return err
	},
	"Map": func(ctx context.Context, w *multiprolab.Worker) (last error) {
		for _, last = range multiprolab.Map[int](ctx, w, "block", slices.Values([]int{1, 2}), nil) {
		}
		return last
	},
	"GetTask": func(ctx context.Context, w *multiprolab.Worker) error {
		_, err := w.Tasks().Get(ctx)
		return err
	},
	"TryGetTask": func(ctx context.Context, w *multiprolab.Worker) (err error) {
		for err = multiprolab.ErrNoTask; errors.Is(err, multiprolab.ErrNoTask); {
			_, err = w.Tasks().TryGet(ctx)
		}
		return err
	},
}

// The worker that waits for what does not come. Each wait is tried on a goroutine of its own,
// beside the loop.
var _ = worker("waiter", func(ctx context.Context, w *multiprolab.Worker) error {
	w.PullTasks("never")
	multiprolab.Handle(w, "wait", func(_ context.Context, names [2]string) error {
		ended, cancel := waitEnds[names[1]]()
		go func() { // ends with the context
			defer cancel()
			text := ""
			if err := checkWait(ended, workerWaits[names[0]](ended, w)); err != nil {
				text = err.Error()
			}
			_ = w.SetExitValue(text)
			w.Exit()
		}()
		return nil
	})
	return nil
})

// The worker that never answers: its handlers wait for the end of the program.
var _ = worker("blocked", func(exit context.Context, w *multiprolab.Worker) error {
	block := func(context.Context, int) (int, error) { <-exit.Done(); return 0, nil }
	multiprolab.HandleTask(w, "block", block)
	multiprolab.HandleCall(w, "block", block)
	multiprolab.Handle(
		w,
		"block-message",
		func(ctx context.Context, n int) error { _, err := block(ctx, n); return err },
	)
	if w.Life() > 1 { // it never becomes ready
		<-exit.Done()
	}
	return nil
})

// The error of a wait whose context has ended says so, and why: it matches both the error of the
// context and its cause, in a worker ...
func TestWaitEndsWithItsContext_Worker(t *testing.T) {
	for name := range workerWaits {
		for end := range waitEnds {
			t.Run(name+", "+end, func(t *testing.T) {
				t.Parallel()
				l := newLab(
					t,
					&multiprolab.Config{InProcess: true, Window: smallWindow, QueueLimit: 1},
					workers("waiter", 1),
					workers("blocked", 1),
				)
				require.NoError(t, l.Start(context.Background()))
				require.NoError(t, multiprolab.Send(bounded(t), l, "blocked", "block-message", 0))
				require.NoError(t, multiprolab.Send(bounded(t), l, "waiter", "wait", [2]string{name, end}))
				stopped := waitEvent(t, l, func(e *multiprolab.WorkerStopped) bool { return e.Worker == "waiter/0" })
				_ = l.Stop(bounded(t), multiprolab.KillAll)
				var text string
				require.NoError(t, stopped.Decode(&text))
				require.Empty(t, text)
			})
		}
	}
}

// ... and in main.
func TestWaitEndsWithItsContext_Main(t *testing.T) {
	for name, wait := range map[string]func(ctx context.Context, l *lab) error{
		"Send": func(ctx context.Context, l *lab) (err error) {
			for err == nil {
				err = multiprolab.Send(ctx, l, "blocked", "x", make([]byte, smallWindow))
			}
			return err
		},
		"Broadcast": func(ctx context.Context, l *lab) (err error) {
			for err == nil {
				err = multiprolab.Broadcast(ctx, l, "", "x", make([]byte, smallWindow))
			}
			return err
		},
		"Call": func(ctx context.Context, l *lab) error {
			_, err := multiprolab.Call[int](ctx, l, "blocked", "block", 0)
			return err
		},
		"Call, for room": func(ctx context.Context, l *lab) error {
			if err := multiprolab.Send(context.Background(), l, "blocked", "x", make([]byte, smallWindow)); err != nil {
				return err
			}
			_, err := multiprolab.Call[int](ctx, l, "blocked", "block", 0)
			return err
		},
		"Do": func(ctx context.Context, l *lab) error {
			_, err := multiprolab.Do[int](ctx, l, "block", 0)
			return err
		},
		"Submit": func(ctx context.Context, l *lab) (err error) {
			for err == nil {
				_, err = multiprolab.Submit[int](ctx, l, "block", 0, nil)
			}
			return err
		},
		"Future.Wait": func(ctx context.Context, l *lab) error {
			f, err := multiprolab.Submit[int](context.Background(), l, "block", 0, nil)
			if err != nil {
				return err
			}
			_, err = f.Wait(ctx)
			return err
		},
		"Map": func(ctx context.Context, l *lab) (last error) {
			for _, last = range multiprolab.Map[int](ctx, l, "block", slices.Values([]int{1, 2}), nil) {
			}
			return last
		},
		"Join": func(ctx context.Context, l *lab) error {
			if _, err := multiprolab.Submit[int](context.Background(), l, "block", 0, nil); err != nil {
				return err
			}
			return l.Tasks().Join(ctx)
		},
		"Wait":    func(ctx context.Context, l *lab) error { return l.Wait(ctx) },
		"Restart": func(ctx context.Context, l *lab) error { return l.Restart(ctx, "blocked") },
		"Stop": func(ctx context.Context, l *lab) error {
			if _, err := multiprolab.Submit[int](context.Background(), l, "block", 0, nil); err != nil {
				return err
			}
			return l.Stop(ctx, multiprolab.DrainQueue)
		},
		"Receive": func(ctx context.Context, l *lab) error {
			got := make(chan error, 1)
			l.After(0, func(action context.Context) error {
				inner, cancel := context.WithCancelCause(action)
				defer cancel(nil)
				defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
				err := l.Receiver().Receive(inner)
				if check := checkWait(inner, err); check != nil {
					got <- check
					return nil
				}
				got <- errors.Join(err, ctx.Err()) // the inner one was cancelled in any case
				return nil
			})
			return <-got
		},
		"backend.Memory.Fetch": func(ctx context.Context, _ *lab) error {
			b := backend.NewMemory()
			defer b.Close(context.Background())
			_, err := b.Fetch(ctx, "q", 1)
			return err
		},
	} {
		for end, begin := range waitEnds {
			t.Run(name+", "+end, func(t *testing.T) {
				t.Parallel()
				l := newLab(
					t,
					&multiprolab.Config{InProcess: true, Window: smallWindow, QueueLimit: 1},
					workers("blocked", 1),
				)
				require.NoError(t, l.Start(context.Background()))
				defer func() { _ = l.Stop(bounded(t), multiprolab.KillAll) }()
				require.NoError(t, multiprolab.Send(bounded(t), l, "blocked", "block-message", 0))
				ctx, cancel := begin()
				defer cancel()
				require.NoError(t, checkWait(ctx, wait(ctx, l)))
			})
		}
	}
}

// Start whose context ends while workers are starting says so, and why.
func TestStartEndsWithItsContext(t *testing.T) {
	for end, begin := range waitEnds {
		t.Run(end, func(t *testing.T) {
			l := newLab(t, &multiprolab.Config{InProcess: true})
			l.RegisterWorker(
				"slow",
				func(ctx context.Context, _ *multiprolab.Worker) error { <-ctx.Done(); return nil },
				nil,
			)
			ctx, cancel := begin()
			defer cancel()
			err := l.Start(ctx)
			require.NoError(t, checkWait(ctx, err))
			if end != "over before" {
				require.ErrorIs(t, err, multiprolab.ErrStopped)
			}
		})
	}
}
