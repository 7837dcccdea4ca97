package multiprolab_test

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// talk says how many reports of how many bytes a talker makes.
type talk struct{ Count, Size int }

// The talker reports numbers, in bodies of some size.
var _ = worker("talker", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "talk", func(ctx context.Context, t talk) (int, error) {
		for i := range t.Count {
			b := make([]byte, 8+t.Size)
			binary.LittleEndian.PutUint64(b, uint64(i))
			if err := multiprolab.Progress(ctx, b); err != nil {
				return i, err
			}
		}
		return t.Count, nil
	})
	multiprolab.HandleTask(w, "talk-and-wait", func(ctx context.Context, v visit) (string, error) {
		if err := multiprolab.Progress(ctx, make([]byte, 8)); err != nil {
			return "", err
		}
		return v.wait()
	})
	return nil
})

// The listener has a talker talk, and returns what it heard.
var _ = worker("listener", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "listen", func(ctx context.Context, t talk) ([]int, error) {
		var got []int
		_, err := multiprolab.DoWith[int](ctx, w, "talk", t, &multiprolab.TaskOptions{OnProgress: hear(&got, nil)})
		return got, err
	})
	return nil
})

// hear returns an OnProgress that notes the numbers of reports, and what they say was missed.
func hear(got, missed *[]int) func(context.Context, *multiprolab.Message) {
	return func(_ context.Context, m *multiprolab.Message) {
		var b []byte
		if err := m.Decode(&b); err == nil {
			*got = append(*got, int(binary.LittleEndian.Uint64(b)))
		}
		if missed != nil {
			*missed = append(*missed, m.Missed)
		}
	}
}

// countFrom returns those from n up to, but not, m.
func countFrom(n, m int) []int {
	var all []int
	for i := n; i < m; i++ {
		all = append(all, i)
	}
	return all
}

// TestProgressIsWhole: while somebody waits for the outcome, every report arrives, in order and
// before the outcome, however many and large they are.
func TestProgressIsWhole(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(
			t,
			&multiprolab.Config{InProcess: inProcess, Window: smallWindow},
			workers("talker", 2),
			workers("listener", 1),
		)
		for _, of := range []talk{{5000, 0}, {3000, 1000}, {10, 3 * smallWindow}} {
			t.Run("Do", func(t *testing.T) {
				var got, missed []int
				n, err := multiprolab.DoWith[int](
					bounded(t),
					l,
					"talk",
					of,
					&multiprolab.TaskOptions{OnProgress: hear(&got, &missed)},
				)
				require.NoError(t, err)
				require.Equal(t, of.Count, n)
				require.Equal(t, countFrom(0, of.Count), got)
				require.Zero(t, slices.Max(missed))
			})
			t.Run("Submit and Wait", func(t *testing.T) {
				var got, missed []int
				f, err := multiprolab.Submit[int](
					bounded(t),
					l,
					"talk",
					of,
					&multiprolab.TaskOptions{OnProgress: hear(&got, &missed)},
				)
				require.NoError(t, err)
				_, err = f.Wait(bounded(t))
				require.NoError(t, err)
				require.Equal(t, countFrom(missed[0], of.Count), got, "but for what came before Wait")
			})
			t.Run("Map", func(t *testing.T) {
				var got []int
				o := &multiprolab.MapConfig{Task: multiprolab.TaskOptions{OnProgress: hear(&got, nil)}}
				for n, err := range multiprolab.Map[int](bounded(t), l, "talk", slices.Values([]talk{of}), o) {
					require.NoError(t, err)
					require.Equal(t, of.Count, n)
				}
				require.Equal(t, of.Count-1, got[len(got)-1])
			})
			t.Run("in a worker", func(t *testing.T) {
				got, err := multiprolab.Call[[]int](bounded(t), l, "listener", "listen", of)
				require.NoError(t, err)
				require.Equal(t, countFrom(0, of.Count), got)
			})
		}
	})
}

// TestProgressThatNobodyWaitsFor: reports hold nobody up while nobody waits; the newest are kept,
// and who waits later is told how many came before.
func TestProgressThatNobodyWaitsFor(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess, Window: smallWindow}, workers("talker", 1))
		var got, missed []int
		f, err := multiprolab.Submit[int](
			bounded(t),
			l,
			"talk",
			talk{5000, 100},
			&multiprolab.TaskOptions{OnProgress: hear(&got, &missed)},
		)
		require.NoError(t, err)
		await(t, f.Done(), "the outcome")
		_, err = f.Wait(bounded(t))
		require.NoError(t, err)
		require.Equal(t, countFrom(5000-1024, 5000), got)
		require.Equal(t, 5000-1024, missed[0])
		require.Zero(t, slices.Max(missed[1:]))
	})
}

// TestProgressWhenTheWaitEnds: a handler that waits because OnProgress is slow goes on when nobody
// waits any more.
func TestProgressWhenTheWaitEnds(t *testing.T) {
	l := startLab(t, &multiprolab.Config{Window: smallWindow}, workers("talker", 1))
	ctx, cancel := context.WithCancel(bounded(t))
	var once sync.Once
	f, err := multiprolab.Submit[int](
		bounded(t),
		l,
		"talk",
		talk{5000, 100},
		&multiprolab.TaskOptions{OnProgress: func(context.Context, *multiprolab.Message) {
			once.Do(func() {
				time.Sleep(50 * time.Millisecond) // so that the handler has no room left, mostly
				cancel()
			})
		}},
	)
	require.NoError(t, err)
	_, err = f.Wait(ctx)
	require.ErrorIs(t, err, context.Canceled)
	await(t, f.Done(), "the outcome")
}

// TestProgressBeforeTheWait: what was reported before somebody waits is handed on when the wait
// begins, and not only with the next report or the outcome.
func TestProgressBeforeTheWait(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("talker", 1))
		g := newGate(t)
		var v *visitor
		f, err := multiprolab.Submit[string](bounded(t), l, "talk-and-wait", g.visit("here"), &multiprolab.TaskOptions{
			OnProgress: func(context.Context, *multiprolab.Message) { v.tell("go on") }})
		require.NoError(t, err)
		v = g.expect(t, "here")
		got, err := f.Wait(bounded(t))
		require.NoError(t, err)
		require.Equal(t, "go on", got)
	})
}
