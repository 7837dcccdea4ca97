package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The brook is a worker whose streams end, or do not, in unusual ways. It tells main when the
// context of one has ended.
var _ = worker("brook", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleStream(w, "endless", func(ctx context.Context, _ struct{}) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for n := 0; yield(n, nil); n++ {
			}
			_ = multiprolab.Send(context.WithoutCancel(ctx), w, "main", "dried", context.Cause(ctx).Error())
		}
	})
	multiprolab.HandleStream(w, "put-off", func(ctx context.Context, times int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			_ = yield(1, nil) && yield(2, nil)
			if runs++; runs <= times {
				yield(0, multiprolab.RetryAfter(1, errors.New("later")))
			}
		}
	})
	multiprolab.HandleStream(w, "fill", func(ctx context.Context, f flow) iter.Seq2[chunk, error] {
		return func(yield func(chunk, error) bool) {
			for n := 0; n < f.Count && yield(chunk{n, make([]byte, f.Size)}, nil); n++ {
			}
			if runs++; f.Then == "again" && runs%3 != 0 {
				yield(chunk{}, multiprolab.RetryAfter(1, errors.New("later")))
			}
		}
	})
	multiprolab.HandleTask(w, "shout", func(ctx context.Context, size int) (int, error) {
		return size, multiprolab.Send(ctx, w, "main", "shouted", make([]byte, size))
	})
	multiprolab.HandleTask(w, "report", func(ctx context.Context, f flow) (int, error) {
		for range f.Count {
			if err := multiprolab.Progress(ctx, make([]byte, f.Size)); err != nil {
				return 0, err
			}
		}
		return f.Count, nil
	})
	multiprolab.HandleTask(w, "plain", func(ctx context.Context, n int) (int, error) {
		return n, multiprolab.Progress(ctx, n)
	})
	return nil
})

// runs counts the runs of one handler of the brook.
var runs int

// The bather is a worker that ranges over a stream without an end.
var _ = worker("bather", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(w, "listen", func(ctx context.Context, v visit) error {
		for n, err := range multiprolab.Stream[int](ctx, w, "endless", struct{}{}, nil) {
			if err != nil {
				return err
			}
			if n == 3 {
				_, _ = v.wait()
			}
		}
		return nil
	})
	multiprolab.HandleCall(w, "put-off", func(ctx context.Context, times int) (steps []string, err error) {
		return stepsOf[int](ctx, w, "put-off", times, nil), nil
	})
	multiprolab.HandleCall(w, "fill", func(ctx context.Context, then string) (int, error) {
		return fillUp(ctx, w, then)
	})
	multiprolab.HandleCall(w, "plain", func(ctx context.Context, n int) (steps []string, err error) {
		return stepsOf[int](ctx, w, "plain", n, nil), nil
	})
	return nil
})

// fillUp ranges over a stream that takes most of the window, and has its worker do something else after
// the first piece.
func fillUp(ctx context.Context, p multiprolab.Process, then string) (n int, err error) {
	for _, err := range multiprolab.Stream[chunk](ctx, p, "fill", flow{Count: 9, Size: 6000, Then: then}, nil) {
		if again := (*multiprolab.RestartedError)(nil); errors.As(err, &again) {
			n = 0
			continue
		}
		if err != nil {
			return n, err
		}
		if n++; n == 1 {
			if _, err := multiprolab.Do[int](ctx, p, "shout", 30_000); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// stepsOf returns the steps of a range over a stream.
func stepsOf[R any](
	ctx context.Context, p multiprolab.Process, typ string, body any, o *multiprolab.TaskOptions,
) (steps []string) {
	for piece, err := range multiprolab.Stream[R](ctx, p, typ, body, o) {
		steps = append(steps, fmt.Sprint(piece, " ", err))
	}
	return steps
}

// When the worker that ranges over a stream dies, nobody takes pieces any more: the context of the
// handler ends, and its worker has time for others.
func TestStreamOfDeadSubmitterEnds(t *testing.T) {
	l := newLab(t, nil, workers("brook", 1), quickly("bather", 1))
	dried := make(chan string, 8)
	multiprolab.Handle(l, "dried", func(_ context.Context, why string) error { dried <- why; return nil })
	require.NoError(t, l.Start(t.Context()))
	g := newGate(t)
	require.NoError(t, multiprolab.Send(bounded(t), l, "bather", "listen", g.visit("full")))
	require.NoError(t, killProcess(g.expect(t, "full").pid))
	require.Contains(t, await(t, dried, "the end of the context"), "cancelled")
	got, err := multiprolab.Do[int](bounded(t), l, "plain", 7)
	require.NoError(t, err)
	require.Equal(t, 7, got)
}

// A run that the handler puts off in the middle begins again, and the range is told.
func TestStreamThatIsPutOffRestarts(t *testing.T) {
	for _, who := range []string{"main", "worker"} {
		t.Run(who, func(t *testing.T) {
			l := startLab(t, nil, workers("brook", 1), workers("bather", 1))
			var steps []string
			if who == "main" {
				steps = stepsOf[int](bounded(t), l, "put-off", 2, nil)
			} else {
				var err error
				steps, err = multiprolab.Call[[]string](bounded(t), l, "bather", "put-off", 2)
				require.NoError(t, err)
			}
			again := `0 multiprolab: task "put-off" begins again, with attempt %d: what came before is void`
			require.Equal(t, []string{"1 <nil>", "2 <nil>", fmt.Sprintf(again, 2), "1 <nil>", "2 <nil>", fmt.Sprintf(again, 3),
				"1 <nil>", "2 <nil>"}, steps)
		})
	}
}

// A task whose result does not come in pieces is none for Stream, and the other way round; the error
// says so.
func TestStreamOfPlainTaskFails(t *testing.T) {
	l := startLab(t, nil, workers("brook", 1), workers("bather", 1))
	steps := stepsOf[int](bounded(t), l, "plain", 7, nil)
	require.Len(t, steps, 1)
	require.Contains(t, steps[0], "HandleStream")
	steps, err := multiprolab.Call[[]string](bounded(t), l, "bather", "plain", 7)
	require.NoError(t, err)
	require.Len(t, steps, 1)
	require.Contains(t, steps[0], "HandleStream")
	_, err = multiprolab.Do[int](bounded(t), l, "put-off", 0)
	require.ErrorContains(t, err, "Stream")
	once := slices.Values([]int{0})
	for _, err = range multiprolab.Map[int](bounded(t), l, "put-off", once, nil) {
		require.ErrorContains(t, err, "submit it with Stream")
	}
	for _, err = range multiprolab.Map[any](bounded(t), l, "put-off", once, nil) {
		require.ErrorContains(t, err, "submit it with Stream")
	}
	alone := &multiprolab.MapConfig{Task: multiprolab.TaskOptions{Priority: 1}}
	for _, err = range multiprolab.Map[int](bounded(t), l, "put-off", once, alone) {
		require.ErrorContains(t, err, "submit it with Stream")
	}
}

// takenTwice is a middleware that takes the next step again, whatever becomes of it at first.
func takenTwice(next multiprolab.Step) multiprolab.Step {
	return func(ctx context.Context, op *multiprolab.Operation) error {
		if err := next(ctx, op); err != nil || op.Kind != "task" {
			return err
		}
		return next(ctx, op)
	}
}

// A middleware can take no step again by which pieces have come, because the range would get them
// twice.
func TestStreamHasNoSecondNext(t *testing.T) {
	l := newLab(t, nil, workers("brook", 1), workers("stubborn", 1))
	multiprolab.UseSend(l, takenTwice)
	require.NoError(t, l.Start(t.Context()))
	for _, most := range []int{1, 3} {
		var steps []string
		for piece, err := range multiprolab.Stream[int](bounded(t), l, "put-off", 0, nil) {
			steps = append(steps, fmt.Sprint(piece, " ", err))
			if len(steps) == most {
				break
			}
		}
		require.Equal(t, []string{"1 <nil>", "2 <nil>"}[:min(most, 2)], steps[:min(most, 2)])
		if most == 3 {
			require.Contains(t, steps[2], "a middleware has called next twice")
		}
	}
	steps := stepsOf[int](bounded(t), l, "stubborn", 0, nil)
	require.Equal(t, "1 <nil>", steps[0])
	require.Len(t, steps, 2)
	require.Contains(t, steps[1], "a middleware has called next twice")
}

var _ = worker("stubborn", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.UseHandle(w, takenTwice)
	multiprolab.HandleStream(w, "stubborn", func(ctx context.Context, _ int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) { yield(1, nil) }
	})
	return nil
})

// However a range over a stream is left, the context of its handler ends: by a panic of its body, by
// stop of iter.Pull2, or because a piece is of another type.
func TestStreamEndsHoweverItIsLeft(t *testing.T) {
	l := newLab(t, nil, workers("brook", 1))
	dried := make(chan string, 8)
	multiprolab.Handle(l, "dried", func(_ context.Context, why string) error { dried <- why; return nil })
	require.NoError(t, l.Start(t.Context()))
	for name, leave := range map[string]func(){
		"panic": func() {
			require.Panics(t, func() {
				for range multiprolab.Stream[int](bounded(t), l, "endless", struct{}{}, nil) {
					panic("enough")
				}
			})
		},
		"pull": func() {
			next, stop := iter.Pull2(multiprolab.Stream[int](bounded(t), l, "endless", struct{}{}, nil))
			n, err, ok := next()
			require.True(t, ok)
			require.NoError(t, err)
			require.Zero(t, n)
			stop()
		},
		"type": func() {
			steps := stepsOf[string](bounded(t), l, "endless", struct{}{}, nil)
			require.Len(t, steps, 1)
			require.Contains(t, steps[0], "endless")
		},
	} {
		leave()
		require.Contains(t, await(t, dried, name), "cancelled")
	}
}

// The pieces of a stream that has ended, or that begins again, hold up nothing else that its worker
// sends, however long the range is at one of them.
func TestStreamThatHasEndedHoldsNothingUp(t *testing.T) {
	l := newLab(t, &multiprolab.Config{Window: 64 << 10}, workers("brook", 1), workers("bather", 1))
	multiprolab.Handle(l, "shouted", func(context.Context, []byte) error { return nil })
	require.NoError(t, l.Start(t.Context()))
	for _, then := range []string{"", "again", "again"} {
		n, err := fillUp(bounded(t), l, then)
		require.NoError(t, err)
		require.Equal(t, 9, n)
		n, err = multiprolab.Call[int](bounded(t), l, "bather", "fill", then)
		require.NoError(t, err)
		require.Equal(t, 9, n)
	}
}

// Nor do the reports of a task that has ended, while its submitter is at one of them.
func TestReportsOfAnEndedTaskHoldNothingUp(t *testing.T) {
	l := newLab(t, &multiprolab.Config{Window: 64 << 10}, workers("brook", 1))
	multiprolab.Handle(l, "shouted", func(context.Context, []byte) error { return nil })
	require.NoError(t, l.Start(t.Context()))
	for range 3 {
		reports := 0
		o := &multiprolab.TaskOptions{OnProgress: func(ctx context.Context, _ *multiprolab.Message) {
			if reports++; reports == 1 {
				_, err := multiprolab.Do[int](ctx, l, "shout", 30_000)
				require.NoError(t, err)
			}
		}}
		n, err := multiprolab.DoWith[int](bounded(t), l, "report", flow{Count: 9, Size: 6000}, o)
		require.NoError(t, err)
		require.Equal(t, 9, n)
		require.Equal(t, 9, reports)
	}
}
