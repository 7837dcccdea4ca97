package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/backend"
)

// climb says how far a climber is to get, and in checkpoints of how many bytes more each.
type climb struct{ Steps, Size int }

// height is the checkpoint of a climber.
type height struct {
	At  int
	Pad []byte
}

// killSelf ends this process as kill -9 does, and does not return.
func killSelf() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	fmt.Println("not killed:", err)
	select {}
}

var _ = worker("climber", func(_ context.Context, w *multiprolab.Worker) error {
	// climb gets one step further in each attempt, and is killed at once.
	multiprolab.HandleTask(w, "climb", func(ctx context.Context, c climb) (int, error) {
		last, ok, err := multiprolab.Last[height](ctx)
		if err != nil || ok != (multiprolab.TaskFrom(ctx).Attempt > 1) || len(last.Pad) != last.At*c.Size {
			return last.At, multiprolab.NoRetry(fmt.Errorf("the last checkpoint: %v, %v, %d bytes", ok, err, len(last.Pad)))
		}
		if last.At == c.Steps {
			return last.At, nil
		}
		next := height{last.At + 1, make([]byte, (last.At+1)*c.Size)}
		if err := multiprolab.Checkpoint(ctx, height{-1, nil}); err != nil { // which does not count
			return 0, err
		}
		if err := multiprolab.Checkpoint(ctx, next); err != nil {
			return 0, err
		}
		killSelf()
		return 0, nil
	})
	// spin saves a number, and then ignores everything, until an attempt finds the number.
	multiprolab.HandleTask(w, "spin", func(ctx context.Context, n int) (string, error) {
		last, ok, err := multiprolab.Last[int](ctx)
		if ok || err != nil {
			return fmt.Sprint("went on from ", last), err
		}
		if err := multiprolab.Checkpoint(ctx, n); err != nil {
			return "", err
		}
		for {
			runtime.Gosched()
		}
	})
	// fail saves one more in each attempt, and fails.
	multiprolab.HandleTask(w, "fail", func(ctx context.Context, _ int) (int, error) {
		last, _, err := multiprolab.Last[int](ctx)
		if err != nil || last == 4 {
			return last, err
		}
		if err := multiprolab.Checkpoint(ctx, last+1); err != nil {
			return 0, err
		}
		if again, _, _ := multiprolab.Last[int](ctx); again != last {
			return 0, multiprolab.NoRetry(errors.New("what Last says has changed within an attempt"))
		}
		return 0, errors.New("not yet")
	})
	multiprolab.HandleTask(w, "often", func(ctx context.Context, n int) (int, error) {
		if last, ok, err := multiprolab.Last[height](ctx); ok || err != nil {
			return last.At, err
		}
		for i := range n {
			if err := multiprolab.Checkpoint(ctx, height{i + 1, make([]byte, 32<<10)}); err != nil {
				return 0, err
			}
		}
		return 0, errors.New("not yet")
	})
	multiprolab.HandleTask(w, "misuse", func(ctx context.Context, _ int) ([]string, error) {
		var texts []string
		if _, ok, err := multiprolab.Last[string](ctx); ok {
			return nil, multiprolab.NoRetry(errors.New("a number is no text"))
		} else if err != nil {
			return []string{err.Error()}, nil
		}
		task := multiprolab.TaskFrom(ctx)
		go func() { // it is over before the next attempt, or the worker is
			for task.Checkpoint(-1) == nil {
				runtime.Gosched()
			}
		}()
		if err := multiprolab.Checkpoint(ctx, func() {}); err == nil {
			return nil, multiprolab.NoRetry(errors.New("a function was saved"))
		}
		err := multiprolab.Checkpoint(ctx, make([]byte, multiprolab.MaxCheckpoint+1))
		var size *multiprolab.SizeError
		if !errors.As(err, &size) || size.Limit != multiprolab.MaxCheckpoint || size.Size != multiprolab.MaxCheckpoint+1 {
			texts = append(texts, fmt.Sprint("too large: ", err))
		}
		if err := multiprolab.Checkpoint(ctx, make([]byte, multiprolab.MaxCheckpoint)); err != nil {
			texts = append(texts, err.Error())
		}
		if err := multiprolab.Checkpoint(context.Background(), 1); err == nil {
			texts = append(texts, "saved without a task")
		}
		if _, _, err := multiprolab.Last[int](context.Background()); err == nil {
			texts = append(texts, "read without a task")
		}
		if len(texts) > 0 {
			return texts, nil
		}
		return nil, errors.New("not yet")
	})
	// resume waits to be stopped, unless it was stopped before.
	multiprolab.HandleTask(w, "resume", func(ctx context.Context, _ int) (string, error) {
		last, ok, err := multiprolab.Last[string](ctx)
		if ok || err != nil {
			return "", errors.Join(err, multiprolab.Send(ctx, w, "main", "resumed", last))
		}
		for _, text := range []string{"a", "ab", "abc"} {
			if err := multiprolab.Checkpoint(ctx, text); err != nil {
				return "", err
			}
		}
		if err := multiprolab.Send(ctx, w, "main", "saved", nil); err != nil {
			return "", err
		}
		<-ctx.Done()
		killSelf()
		return "", nil
	})
	return nil
})

// quick is a retry without pauses.
func quick(attempts int) *multiprolab.TaskOptions {
	return &multiprolab.TaskOptions{Attempts: attempts,
		Retry: multiprolab.RetryPolicy{First: time.Millisecond, Max: time.Millisecond}}
}

// What Checkpoint has returned for is never lost, though the process is killed at the next step:
// in the pipe, in the black box, in shared memory, however long it is.
func TestCheckpointsSurviveTheKill(t *testing.T) {
	l := startLab(t, nil, workers("climber", 2))
	for _, c := range []climb{{40, 0}, {25, 30}, {20, 3000}} {
		at, err := multiprolab.DoWith[int](bounded(t), l, "climb", c, quick(c.Steps+1))
		require.NoError(t, err)
		require.Equal(t, c.Steps, at)
	}
	text, err := multiprolab.DoWith[string](bounded(t), l, "spin", 42, &multiprolab.TaskOptions{Attempts: 2,
		Timeout: 20 * time.Millisecond, Grace: time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, "went on from 42", text)
}

// The last checkpoint is that of the last attempt, with each its own, and main keeps no other.
func TestLastCheckpoint(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("climber", 2))
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		n, err := multiprolab.DoWith[int](ctx, l, "fail", 0, quick(5))
		require.NoError(t, err)
		require.Equal(t, 4, n)

		const often = 2000 // 64 MB
		before := heapInUse()
		n, err = multiprolab.DoWith[int](ctx, l, "often", often, quick(2))
		require.NoError(t, err)
		require.Equal(t, often, n)
		require.Less(t, heapInUse(), before+16<<20)

		texts, err := multiprolab.DoWith[[]string](ctx, l, "misuse", 0, quick(2))
		require.NoError(t, err)
		require.Len(t, texts, 1)
		require.Contains(t, texts[0], "string is wanted")

		// A dead letter has its checkpoint, and goes on from it when it is retried.
		_, err = multiprolab.DoWith[int](ctx, l, "fail", 0, quick(3))
		var attempts *multiprolab.AttemptsError
		require.ErrorAs(t, err, &attempts)
		dead := l.Tasks().Dead()
		require.Len(t, dead, 1)
		var saved int
		ok, err := dead[0].Checkpoint(&saved)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, 3, saved)
		_, err = dead[0].Checkpoint(new(string))
		require.Error(t, err)
		retried, err := l.Tasks().RetryDead(dead[0].ID)
		require.NoError(t, err)
		require.Equal(t, 1, retried)
		require.NoError(t, l.Tasks().Join(ctx))
		require.Equal(t, uint64(4), l.Tasks().Stats().Succeeded)
	})
}

// lasting is a Backend that outlives a main.
type lasting struct{ backend.Backend }

func (lasting) Close(context.Context) error { return nil }

// A Backend whose leases are Checkpointers has the last checkpoint, for the main that comes next.
func TestCheckpointsInABackend(t *testing.T) {
	stored := lasting{backend.NewMemory()}
	for run, want := range []string{"", "abc"} {
		l := newLab(t, &multiprolab.Config{Backend: stored, ShutdownTimeout: 100 * time.Millisecond}, workers("climber", 1))
		saved, resumed := make(chan struct{}, 1), make(chan string, 1)
		multiprolab.Handle(l, "saved", func(context.Context, struct{}) error { saved <- struct{}{}; return nil })
		multiprolab.Handle(l, "resumed", func(_ context.Context, text string) error { resumed <- text; return nil })
		require.NoError(t, l.Start(t.Context()))
		if run == 0 {
			_, err := multiprolab.Submit[string](bounded(t), l, "resume", 0, quick(5))
			require.NoError(t, err)
			await(t, saved, "the checkpoints")
		} else {
			require.Equal(t, want, await(t, resumed, "the attempt of the second main"))
			require.NoError(t, l.Tasks().Join(bounded(t)))
		}
		_ = l.Close() // the first main says that its worker was killed
	}
}

// A task goes on where it was when its worker died.
func ExampleCheckpoint() {
	setup := func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "sum", func(ctx context.Context, n int) (int, error) {
			type state struct{ Next, Sum int }
			s, again, err := multiprolab.Last[state](ctx)
			if err != nil {
				return 0, err
			}
			if again {
				fmt.Println("goes on at", s.Next)
			}
			for ; s.Next <= n; s.Next++ {
				if s.Next == 5 && !again {
					return 0, errors.New("something has gone wrong") // or the worker is killed
				}
				s.Sum += s.Next
				if err := multiprolab.Checkpoint(ctx, state{s.Next + 1, s.Sum}); err != nil {
					return 0, err
				}
			}
			return s.Sum, nil
		})
		return nil
	}
	run(setup, func(ctx context.Context, app *multiprolab.Main) error {
		sum, err := multiprolab.DoWith[int](ctx, app, "sum", 10, &multiprolab.TaskOptions{Attempts: 2})
		fmt.Println(sum, err)
		return nil
	})
	// Output:
	// goes on at 5
	// 55 <nil>
}
