package contexts

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var errBored = errors.New("bored")

// A function that never asks how its context ends costs nothing for it.
func TestUnaskedContextIsNotMade(t *testing.T) {
	parent := t.Context()
	var f *Function
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		f = &Function{Parent: parent}
		f.Return()
		f.End()
	}), 1.0)
	require.Nil(t, f.end.Load())
	require.Equal(t, context.Canceled, f.Err())
	<-f.Done() // it has ended also for who asks late
	require.Equal(t, context.Canceled, context.Cause(f))
}

// Who asks while the function returns is told of the end all the same, and everybody of one end.
func TestContextEndsWithItsFunction(t *testing.T) {
	for range 100 {
		f := &Function{Parent: context.Background()}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { <-f.Done() })
		}
		f.Return()
		f.End()
		all.Wait()
		require.Equal(t, context.Canceled, f.Err())
	}
}

// A context ends by the first of its limits, for those that are derived from it as well.
func TestContextEndsAtItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		above, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		f := &Function{Parent: above, Limit: Within(time.Minute).Sooner(time.Now().Add(time.Second), errBored)}
		due, ok := f.Deadline()
		require.True(t, ok)
		require.Equal(t, time.Now().Add(time.Second), due)
		require.NoError(t, f.Err())
		child, stop := context.WithCancel(f)
		defer stop()
		<-child.Done()
		require.Equal(t, context.DeadlineExceeded, f.Err())
		require.Equal(t, errBored, context.Cause(child))
		f.Return()
		f.End()
	})
}

// A deadline that has passed elsewhere ends a context here at once, unless it is about to pass here.
func TestGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			left  time.Duration
			soft  bool
			after time.Duration
			want  error
		}{
			{0, true, 0, context.DeadlineExceeded},
			{time.Minute, true, 0, context.DeadlineExceeded},
			{nearTime, true, nearTime, context.DeadlineExceeded},
			{nearTime, false, 0, errBored},
			{0, false, 0, errBored},
		} {
			f := &Function{Parent: context.Background(), Limit: Within(c.left)}
			begun := time.Now()
			f.GiveUp(c.soft, errBored)
			<-f.Done()
			require.Equal(t, c.after, time.Since(begun))
			require.Equal(t, c.want, context.Cause(f))
		}
	})
}

// The time that is left is never none as long as there is a deadline, for that would be no deadline.
func TestTimeThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.Zero(t, Left(context.Background()))
		require.Zero(t, Within(0).Left())
		require.Equal(t, time.Second, Within(time.Second).Left())
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		require.Equal(t, time.Second, Left(ctx))
		require.False(t, Overtaken(ctx))
		<-ctx.Done()
		require.EqualValues(t, 1, Left(ctx))
		require.True(t, Overtaken(ctx))
		require.True(t, Expired(ctx))
	})
}

// The error of a wait matches all that it has ended with, and says it once.
func TestCauses(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	require.Equal(t, errBored, AlsoEnded(ctx, errBored))
	cancel(errors.New("multiprolab: why"))
	for _, err := range []error{CauseOf(ctx), AlsoEnded(ctx, errBored)} {
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, context.Cause(ctx))
	}
	require.EqualError(t, CauseOf(ctx), "multiprolab: why")
	require.EqualError(t, AlsoEnded(ctx, errBored), "bored: why")
	require.ErrorIs(t, AlsoEnded(ctx, errBored), errBored)
	plain, end := context.WithCancel(context.Background())
	end()
	require.Equal(t, context.Canceled, CauseOf(plain))
}
