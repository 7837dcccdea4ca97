package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The worker of the tests of Map.
var _ = worker("mapper", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "square", func(_ context.Context, n int) (int, error) {
		if n < 0 {
			return 0, fmt.Errorf("%d is negative", n)
		}
		return n * n, nil
	})
	// nap waits, and says when it is told to stop.
	multiprolab.HandleTask(w, "nap", func(ctx context.Context, d time.Duration) (time.Duration, error) {
		if d < 0 {
			return 0, errors.New("no such nap")
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return d, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	})
	return nil
})

// counted counts what is pulled from a sequence.
func counted[T any](items iter.Seq[T], pulled *atomic.Int64) iter.Seq[T] {
	return func(yield func(T) bool) {
		for item := range items {
			pulled.Add(1)
			if !yield(item) {
				return
			}
		}
	}
}

func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// F01: an ordered map keeps the order of its input for any window, an unordered one yields the same
// results.
func TestF01_Map(t *testing.T) {
	const n = 20
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("mapper", 3))
		var squares []int
		for i := range n {
			squares = append(squares, i*i)
		}
		for _, size := range []int{0, 1, n} {
			for _, window := range []int{0, 1, 2, n - 1, n, n + 10} {
				for _, unordered := range []bool{false, true} {
					var got []int
					for r, err := range multiprolab.Map[int](bounded(t), l, "square", upTo(size), &multiprolab.MapConfig{Window: window, Unordered: unordered}) {
						require.NoError(t, err)
						got = append(got, r)
					}
					if unordered {
						slices.Sort(got)
					}
					require.Equal(
						t,
						append([]int(nil), squares[:size]...),
						got,
						"window %d, unordered %v",
						window,
						unordered,
					)
				}
			}
		}
		for range multiprolab.Map[int](bounded(t), l, "square", upTo(5), nil) { // nil is the defaults
		}
		require.EqualValues(t, 12*(1+n)+5, l.Tasks().Stats().Succeeded)
	})
}

// F01: a window below zero is an error that names the field, and nothing is pulled.
func TestF01_BadWindow(t *testing.T) {
	l := startLab(t, &multiprolab.Config{InProcess: true}, workers("mapper", 1))
	var pulled atomic.Int64
	errs := 0
	for _, err := range multiprolab.Map[int](bounded(t), l, "square", counted(upTo(9), &pulled), &multiprolab.MapConfig{Window: -1}) {
		errs++
		var config *multiprolab.ConfigError
		require.ErrorAs(t, err, &config)
		require.Equal(t, "MapConfig.Window", config.Field)
	}
	require.Equal(t, 1, errs)
	require.Zero(t, pulled.Load())
	for _, err := range multiprolab.Map[int](bounded(t), l, "square", upTo(1), &multiprolab.MapConfig{Task: multiprolab.TaskOptions{Attempts: -1}}) {
		require.ErrorContains(t, err, "TaskOptions.Attempts")
		errs++
	}
	require.Equal(t, 2, errs)
}

// F01: an unordered map yields nine fast results while a slow task still runs; an ordered one waits
// for it.
func TestF01_UnorderedDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLab(t, &multiprolab.Config{InProcess: true}, workers("mapper", 2))
		naps := slices.Values(append([]time.Duration{time.Hour}, slices.Repeat([]time.Duration{time.Second}, 9)...))
		for _, unordered := range []bool{true, false} {
			begun := time.Now()
			n := 0
			for nap, err := range multiprolab.Map[time.Duration](t.Context(), l, "nap", naps, &multiprolab.MapConfig{Unordered: unordered}) {
				require.NoError(t, err)
				n++
				if unordered && n < 10 {
					require.Equal(t, time.Second, nap)
					require.Equal(t, time.Duration(n)*time.Second, time.Since(begun))
				} else if n == 10 {
					require.Equal(t, time.Hour, time.Since(begun))
				}
			}
			require.Equal(t, 10, n)
		}
	})
}

// F02: item window+1 is pulled only after a result was taken; an endless source does not run ahead.
func TestF02_Window(t *testing.T) {
	endless := func(yield func(int) bool) {
		for i := 0; yield(i); i++ {
		}
	}
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("mapper", 2))
		for _, window := range []int{1, 5, 64} {
			for _, unordered := range []bool{false, true} {
				var pulled atomic.Int64
				taken := 0
				for _, err := range multiprolab.Map[int](bounded(t), l, "square", counted(endless, &pulled), &multiprolab.MapConfig{Window: window, Unordered: unordered}) {
					require.NoError(t, err)
					require.EqualValues(t, window+taken, pulled.Load()) // exactly: the result is being taken now
					if taken++; taken == 200 {
						break
					}
				}
			}
		}
		require.NoError(t, l.Tasks().Join(bounded(t))) // what was left is cancelled or done
		stats := l.Tasks().Stats()
		require.Equal(t, stats.Received, stats.Succeeded+stats.Cancelled)
	})
}

// F03: a source that panics takes the panic to who ranges; what was left is cancelled, and the pool
// is usable again.
func TestF03_SourcePanics(t *testing.T) {
	for _, unordered := range []bool{false, true} {
		l := startLab(t, &multiprolab.Config{InProcess: true}, workers("mapper", 2))
		source := func(yield func(int) bool) {
			for i := range 10 {
				if !yield(i) {
					return
				}
			}
			panic("the source is broken")
		}
		got := 0
		require.PanicsWithValue(t, "the source is broken", func() {
			for r, err := range multiprolab.Map[int](bounded(t), l, "square", source, &multiprolab.MapConfig{Window: 3, Unordered: unordered}) {
				require.NoError(t, err)
				if !unordered {
					require.Equal(t, got*got, r)
				}
				got++
			}
		})
		require.Equal(t, 8, got) // with a window of three the source is asked for an eleventh once eight were taken
		require.NoError(t, l.Tasks().Join(bounded(t)))
		r, err := multiprolab.Do[int](bounded(t), l, "square", 12)
		require.NoError(t, err)
		require.Equal(t, 144, r)
	}
}

// F03: a source that stops early is no error: what it gave is worked on to the end, and its
// clean-up has run.
func TestF03_SourceStops(t *testing.T) {
	l := startLab(t, &multiprolab.Config{InProcess: true}, workers("mapper", 2))
	failed := errors.New("the file ends here")
	var sourceErr error
	source := func(yield func(int) bool) {
		for i := range 10 {
			if i == 7 {
				sourceErr = failed
				return
			}
			if !yield(i) {
				return
			}
		}
	}
	var got []int
	for r, err := range multiprolab.Map[int](bounded(t), l, "square", source, nil) {
		require.NoError(t, err)
		got = append(got, r)
	}
	require.Equal(t, []int{0, 1, 4, 9, 16, 25, 36}, got)
	require.Equal(t, failed, sourceErr)
}

// F04: to collect, one bad element is one error and the rest go on; to fail fast, the first error
// ends it all.
func TestF04_Errors(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("mapper", 2))
		items := []int{1, 2, -3, 4, -5, 6}
		for _, unordered := range []bool{false, true} {
			var got []int
			errs := 0
			for r, err := range multiprolab.Map[int](bounded(t), l, "square", slices.Values(items), &multiprolab.MapConfig{Unordered: unordered}) {
				if err != nil {
					require.ErrorContains(t, err, "is negative")
					errs++
					continue
				}
				got = append(got, r)
			}
			slices.Sort(got)
			require.Equal(t, []int{1, 4, 16, 36}, got)
			require.Equal(t, 2, errs)
		}
		var got []int
		var last error
		for r, err := range multiprolab.Map[int](bounded(t), l, "square", slices.Values(items), &multiprolab.MapConfig{FailFast: true}) {
			require.NoError(t, last, "something came after the error")
			if last = err; err == nil {
				got = append(got, r)
			}
		}
		require.Equal(t, []int{1, 4}, got)
		require.ErrorContains(t, last, "-3 is negative")
	})
}

// F04: one bad item among a hundred that take ten seconds each: the others are cancelled, and
// nothing waits for them.
func TestF04_FailFastIsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLab(t, &multiprolab.Config{InProcess: true}, workers("mapper", 4))
		naps := slices.Values(
			append(
				slices.Repeat([]time.Duration{10 * time.Second}, 3),
				append([]time.Duration{-1}, slices.Repeat([]time.Duration{10 * time.Second}, 97)...)...),
		)
		begun := time.Now()
		n := 0
		for _, err := range multiprolab.Map[time.Duration](t.Context(), l, "nap", naps, &multiprolab.MapConfig{FailFast: true, Unordered: true, Window: 101}) {
			require.ErrorContains(t, err, "no such nap")
			n++
		}
		require.Equal(t, 1, n)
		require.NoError(t, l.Tasks().Join(t.Context()))
		require.Zero(t, time.Since(begun))
		stats := l.Tasks().Stats()
		require.Equal(t, multiprolab.TaskStats{Received: 101, Failed: 1, Cancelled: 100}, stats)
	})
}

// The end of the context ends a map with its cause, once and last, at once, and cancels what is
// left.
func TestMapCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLab(t, &multiprolab.Config{InProcess: true}, workers("mapper", 2))
		enough := errors.New("enough")
		for _, unordered := range []bool{false, true} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(1500*time.Millisecond, func() { cancel(enough) })
			begun := time.Now()
			var errs []error
			for _, err := range multiprolab.Map[time.Duration](ctx, l, "nap", slices.Values(slices.Repeat([]time.Duration{time.Second}, 50)), &multiprolab.MapConfig{Unordered: unordered}) {
				errs = append(errs, err)
			}
			require.Len(t, errs, 3)
			require.NoError(t, errs[0])
			require.NoError(t, errs[1])
			require.ErrorIs(t, errs[2], enough)
			require.Equal(t, 1500*time.Millisecond, time.Since(begun))
			require.NoError(t, l.Tasks().Join(t.Context()))
			require.Equal(t, 1500*time.Millisecond, time.Since(begun))
		}
		// A context that has ended before: nothing is pulled.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var pulled atomic.Int64
		n := 0
		for _, err := range multiprolab.Map[int](ctx, l, "square", counted(upTo(9), &pulled), nil) {
			require.ErrorIs(t, err, context.Canceled)
			n++
		}
		require.Equal(t, 1, n)
		require.Zero(t, pulled.Load())
	})
}

// Leaving the loop early stops the source and cancels what is not done.
func TestMapLeftEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLab(t, &multiprolab.Config{InProcess: true}, workers("mapper", 2))
		stopped := false
		source := func(yield func(time.Duration) bool) {
			defer func() { stopped = true }()
			for yield(time.Second) {
			}
		}
		for _, unordered := range []bool{false, true} {
			stopped = false
			begun := time.Now()
			for range multiprolab.Map[time.Duration](t.Context(), l, "nap", source, &multiprolab.MapConfig{Unordered: unordered, Window: 10}) {
				break
			}
			require.True(t, stopped)
			require.NoError(t, l.Tasks().Join(t.Context()))
			require.Equal(t, time.Second, time.Since(begun))
		}
	})
}

// A map of a type that nobody handles yields the error for each item, and a map through a queue
// that is shorter than its window goes on.
func TestMapAtTheLimits(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(
			t,
			&multiprolab.Config{InProcess: inProcess, QueueLimit: 2},
			workers("mapper", 2),
			workers("prog", 1),
		)
		n := 0
		for _, err := range multiprolab.Map[int](bounded(t), l, "cube", upTo(3), nil) {
			require.ErrorContains(t, err, "HandleTask")
			n++
		}
		require.Equal(t, 3, n)
		n = 0
		for r, err := range multiprolab.Map[int](bounded(t), l, "square", upTo(300), &multiprolab.MapConfig{Window: 50}) {
			require.NoError(t, err)
			require.Equal(t, n*n, r)
			n++
		}
		require.Equal(t, 300, n)
		got, err := runProgram(t, l, "map", "") // the same from a worker
		require.NoError(t, err)
		require.Equal(t, "328350", got)
	})
}

// TestMapWithoutRoom: while the queue has no room, a map yields what is there, and takes nothing
// in; leaving it, and the end of its context, wait for nothing. Once there is room it goes on:
// nothing is lost, nothing comes twice, and the order is kept.
func TestMapWithoutRoom(t *testing.T) {
	const items = 500
	naps := func(n int) iter.Seq[time.Duration] { // of which each is another
		return func(yield func(time.Duration) bool) {
			for i := range n {
				if !yield(100*time.Microsecond + time.Duration(i)) {
					return
				}
			}
		}
	}
	for _, unordered := range []bool{false, true} {
		for _, end := range []string{"break", "panic", "context", "room"} {
			t.Run(fmt.Sprintf("unordered %v, %s", unordered, end), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := startLab(t, &multiprolab.Config{InProcess: true, QueueLimit: 1}, workers("mapper", 2))
					for range multiprolab.Map[time.Duration](t.Context(), l, "nap", naps(items), nil) {
					} // now it is known how long one takes: they travel many at a time
					c := &multiprolab.MapConfig{Window: 60, Unordered: unordered}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					var pulled atomic.Int64
					var got []time.Duration
					var filler *multiprolab.Future[time.Duration]
					there := 0 // items that are done with when the queue is filled
					var received uint64
					var last error
					begun := time.Now()
					loop := func() {
						for nap, err := range multiprolab.Map[time.Duration](ctx, l, "nap", counted(naps(items), &pulled), c) {
							if last = err; err != nil {
								continue
							}
							switch got = append(got, nap); {
							case filler == nil:
								time.Sleep(time.Second) // the workers have done all that was taken in
								there = int(pulled.Load())
								l.Tasks().Pause(multiprolab.DefaultQueue)
								filler, err = multiprolab.Submit[time.Duration](ctx, l, "nap", time.Duration(0), nil)
								require.NoError(t, err)
								received = l.Tasks().Stats().Received
							case len(got) == 2:
								time.Sleep(time.Second) // what was taken in since does not wait for more
								require.Greater(t, l.Tasks().Stats().Received, received)
								begun = time.Now()
								switch end {
								case "break":
									return
								case "panic":
									panic("enough")
								case "context":
									cancel()
								}
							case len(got) == there:
								l.Tasks().Resume(multiprolab.DefaultQueue)
							}
						}
					}
					if end == "panic" {
						require.PanicsWithValue(t, "enough", loop)
					} else {
						loop()
					}
					if end != "room" {
						require.Zero(t, time.Since(begun))
					}
					if end == "context" {
						require.ErrorIs(t, last, context.Canceled)
					} else {
						require.NoError(t, last)
					}
					l.Tasks().Resume(multiprolab.DefaultQueue)
					_, err := filler.Wait(t.Context())
					require.NoError(t, err)
					require.NoError(t, l.Tasks().Join(t.Context()))
					s := l.Tasks().Stats()
					require.Equal(t, s.Received, s.Succeeded+s.Cancelled)
					if end != "room" {
						require.EqualValues(t, s.Received-received, s.Cancelled) // no worker was given any of it
						return
					}
					require.Zero(t, s.Cancelled)
					if unordered {
						slices.Sort(got)
					}
					require.Equal(t, slices.Collect(naps(items)), got)
				})
			})
		}
	}
}

// The map-given worker is given tasks, the map-asker asks for them one at a time.
var _ = worker("map-given", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "asked", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	return nil
})

var _ = worker("map-asker", func(ctx context.Context, w *multiprolab.Worker) error {
	w.PullTasks("asked", "pulled-only")
	w.Action(0, func(ctx context.Context) error {
		t, err := w.Tasks().Get(ctx)
		if err != nil {
			return nil // it is time to exit
		}
		var n int
		if err := t.Decode(&n); err != nil {
			return t.Fail(err)
		}
		return t.Done(2 * n)
	})
	return nil
})

// TestMapOfPulledTasks: the items of a map are tasks like any other for workers that ask for them.
func TestMapOfPulledTasks(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("map-given", 2), workers("map-asker", 2))
		for _, typ := range []string{"asked", "pulled-only"} {
			n := 0
			for r, err := range multiprolab.Map[int](bounded(t), l, typ, upTo(500), nil) {
				require.NoError(t, err)
				require.Equal(t, 2*n, r)
				n++
			}
			require.Equal(t, 500, n)
		}
		require.Equal(t, multiprolab.TaskStats{Received: 1000, Succeeded: 1000}, l.Tasks().Stats())
	})
}

var _ = program("map", func(ctx context.Context, w *multiprolab.Worker, _ string) (string, error) {
	sum := 0
	for r, err := range multiprolab.Map[int](ctx, w, "square", upTo(100), &multiprolab.MapConfig{Window: 20, Unordered: true}) {
		if err != nil {
			return "", err
		}
		sum += r
	}
	return fmt.Sprint(sum), nil
})

// A Map of another type than the handler takes says both names, as Do does, at both ends, and for
// the first batch as for the next.
func TestMapOfAnotherType(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("zoo", 1))
		ctx := bounded(t)
		for range 3 {
			n := 0
			for _, err := range multiprolab.Map[point](ctx, l, "point", slices.Values(slices.Repeat([]place{{1, 2}}, 100)), nil) {
				require.ErrorContains(
					t,
					err,
					"it holds github.com/multiprolab/multiprolab_test.place, and github.com/multiprolab/multiprolab_test.point is wanted",
				)
				n++
			}
			for _, err := range multiprolab.Map[place](ctx, l, "point", slices.Values(slices.Repeat([]point{{1, 2}}, 100)), nil) {
				require.ErrorContains(
					t,
					err,
					"it holds github.com/multiprolab/multiprolab_test.point, and github.com/multiprolab/multiprolab_test.place is wanted",
				)
				n++
			}
			for _, err := range multiprolab.Map[point](ctx, l, "point", slices.Values(slices.Repeat([]any{place{1, 2}, tree{N: 1}, 7}, 100)), nil) {
				require.ErrorContains(t, err, []string{"place", "tree", "it holds int"}[(n-200)%3])
				n++
			}
			require.Equal(t, 500, n)
		}
	})
}
