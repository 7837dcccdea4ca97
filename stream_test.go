package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// flow says what a streamer yields.
type flow struct {
	Count int    // how many pieces; less than 0 for no end
	Size  int    // of each piece, in bytes
	Then  string // how it ends: "" , "fail", "panic", "die-once", or "hang"
	Gate  bool   // it tells main what it has yielded after each piece, with a message "yielded"
}

// chunk is one piece.
type chunk struct {
	N    int
	Data []byte
}

// flowing is how many pieces the streamers of this process have yielded.
var flowing atomic.Int64

// The streamer yields pieces.
var _ = worker("streamer", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleStream(w, "flow", func(ctx context.Context, f flow) iter.Seq2[chunk, error] {
		return func(yield func(chunk, error) bool) {
			for n := 0; n != f.Count; n++ {
				if !yield(chunk{n, make([]byte, f.Size)}, nil) {
					return
				}
				flowing.Add(1)
				if f.Gate {
					_ = multiprolab.Progress(ctx, n) // an error: the pieces take its place
				}
			}
			switch f.Then {
			case "fail":
				yield(chunk{}, errors.New("no more water"))
			case "panic":
				panic("dry")
			case "die-once":
				if multiprolab.TaskFrom(ctx).Attempt == 1 {
					os.Exit(7)
				}
			case "hang":
				<-ctx.Done()
			}
		}
	})
	multiprolab.HandleStream(w, "only-first", func(ctx context.Context, f flow) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			if multiprolab.TaskFrom(ctx).Attempt == 1 {
				yield(1, nil)
				os.Exit(7)
			}
		}
	})
	return nil
})

// drawn is what a range has got.
type drawn struct {
	Pieces   []int // the numbers of the pieces
	Restarts []int // how many pieces there were before each new attempt
	Err      string
}

// draw ranges over a stream, and takes at most some pieces; 0 means all.
func draw(ctx context.Context, p multiprolab.Process, f flow, most int, o *multiprolab.TaskOptions) (got drawn, err error) {
	for piece, err := range multiprolab.Stream[chunk](ctx, p, "flow", f, o) {
		var again *multiprolab.RestartedError
		switch {
		case errors.As(err, &again):
			got.Restarts = append(got.Restarts, len(got.Pieces))
		case err != nil:
			got.Err = err.Error()
			return got, err
		default:
			got.Pieces = append(got.Pieces, piece.N)
		}
		if most > 0 && len(got.Pieces) == most {
			break
		}
	}
	return got, nil
}

// thirst is what a drinker is to do.
type thirst struct {
	Flow     flow
	Most     int
	Attempts int
	Slow     bool // it calls main between two pieces
}

// The drinker is a worker that submits streams.
var _ = worker("drinker", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "draw", func(ctx context.Context, o thirst) (drawn, error) {
		got, _ := draw(ctx, w, o.Flow, o.Most, &multiprolab.TaskOptions{Attempts: o.Attempts})
		return got, nil
	})
	multiprolab.HandleCall(w, "sip", func(ctx context.Context, o thirst) (n int, err error) {
		for _, err := range multiprolab.Stream[chunk](ctx, w, "flow", o.Flow, nil) {
			if err != nil {
				return n, err
			}
			if n++; n == o.Most {
				if _, err := multiprolab.Call[bool](ctx, w, "main", "full", n); err != nil {
					return n, err
				}
			}
		}
		return n, nil
	})
	return nil
})

// firstOnes are the numbers up to n.
func firstOnes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// submitters runs a test with main as the submitter, and with a worker.
func submitters(t *testing.T, test func(t *testing.T, l *lab, draw func(o thirst) drawn)) {
	for _, inProcess := range []bool{false, true} {
		for _, who := range []string{"main", "worker"} {
			t.Run(fmt.Sprintf("%s, in process %v", who, inProcess), func(t *testing.T) {
				l := startLab(t, &multiprolab.Config{InProcess: inProcess, Window: 64 << 10}, workers("streamer", 1), workers("drinker", 1))
				test(t, l, func(o thirst) drawn {
					if who == "main" {
						got, _ := draw(bounded(t), l, o.Flow, o.Most, &multiprolab.TaskOptions{Attempts: o.Attempts})
						return got
					}
					got, err := multiprolab.Call[drawn](bounded(t), l, "drinker", "draw", o)
					require.NoError(t, err)
					return got
				})
			})
		}
	}
}

// All pieces come, in order, also many more than the window has room for, and then the end.
func TestStreamComesWhole(t *testing.T) {
	submitters(t, func(t *testing.T, l *lab, draw func(o thirst) drawn) {
		for _, f := range []flow{{}, {Count: 1}, {Count: 3000, Size: 100}, {Count: 50, Size: 20000}} {
			got := draw(thirst{Flow: f})
			require.Empty(t, got.Err)
			require.Equal(t, firstOnes(f.Count), append([]int{}, got.Pieces...))
		}
		got := draw(thirst{Flow: flow{Count: 5, Then: "fail"}})
		require.Equal(t, firstOnes(5), got.Pieces)
		require.Contains(t, got.Err, "no more water")
		got = draw(thirst{Flow: flow{Count: 3, Gate: true}})
		require.Equal(t, drawn{Pieces: firstOnes(3)}, got)
	})
}

// Who leaves the range ends the task, and what was on its way holds nothing: the worker yields to
// others, again and again.
func TestStreamIsLeft(t *testing.T) {
	submitters(t, func(t *testing.T, l *lab, draw func(o thirst) drawn) {
		for range 20 {
			got := draw(thirst{Flow: flow{Count: -1, Size: 5000}, Most: 3})
			require.Equal(t, drawn{Pieces: firstOnes(3)}, got)
		}
		got := draw(thirst{Flow: flow{Count: 100, Size: 5000}})
		require.Equal(t, drawn{Pieces: firstOnes(100)}, got)
	})
}

// A worker that dies in the middle ends the range after all pieces that came before; with another
// attempt, the range is told that the pieces come again.
func TestStreamOfDeadWorker(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"main", "worker"} {
		t.Run(who, func(t *testing.T) {
			l := startLab(t, &multiprolab.Config{Window: 64 << 10}, workers("streamer", 1), workers("drinker", 1))
			draw := func(o thirst) (got drawn) {
				if who == "main" {
					got, _ = draw(bounded(t), l, o.Flow, o.Most, &multiprolab.TaskOptions{Attempts: o.Attempts})
					return got
				}
				got, err := multiprolab.Call[drawn](bounded(t), l, "drinker", "draw", o)
				require.NoError(t, err)
				return got
			}
			got := draw(thirst{Flow: flow{Count: 100, Size: 3000, Then: "panic"}})
			require.Equal(t, firstOnes(100), got.Pieces)
			require.Contains(t, got.Err, "panic: dry")
			got = draw(thirst{Flow: flow{Count: 100, Size: 3000, Then: "die-once"}, Attempts: 2})
			require.Empty(t, got.Err)
			require.Equal(t, append(firstOnes(100), firstOnes(100)...), got.Pieces)
			require.Equal(t, []int{100}, got.Restarts)
			got = draw(thirst{Flow: flow{Count: 2, Then: "panic"}, Attempts: 3})
			require.Equal(t, []int{2, 4}, got.Restarts)
			require.Contains(t, got.Err, "panic: dry")
		})
	}
}

// An attempt without a piece is seen as well, because what came before is void.
func TestStreamRestartsWithoutPiece(t *testing.T) {
	l := startLab(t, nil, workers("streamer", 1))
	var steps []string
	for piece, err := range multiprolab.Stream[int](bounded(t), l, "only-first", flow{}, &multiprolab.TaskOptions{Attempts: 2}) {
		steps = append(steps, fmt.Sprint(piece, " ", err))
	}
	require.Equal(t, []string{"1 <nil>", `0 multiprolab: task "only-first" begins again, with attempt 2: what came before is void`}, steps)
}

// The end of the context ends the range and the task; so does its timeout.
func TestStreamEndsWithContext(t *testing.T) {
	l := startLab(t, nil, workers("streamer", 1))
	ctx, cancel := context.WithCancelCause(bounded(t))
	defer cancel(nil)
	why := errors.New("thirst is gone")
	n := 0
	var last error
	for _, err := range multiprolab.Stream[chunk](ctx, l, "flow", flow{Count: -1}, nil) {
		if n++; n == 3 {
			cancel(why)
		}
		last = err
	}
	require.ErrorIs(t, last, why)
	require.Less(t, n, 6)
	got, err := draw(bounded(t), l, flow{Count: 2, Then: "hang"}, 0, &multiprolab.TaskOptions{Timeout: 20 * time.Millisecond})
	var late *multiprolab.TimeoutError
	require.ErrorAs(t, err, &late)
	require.Equal(t, firstOnes(2), got.Pieces)
	_, err = draw(ctx, l, flow{}, 0, nil)
	require.ErrorIs(t, err, why)
	_, err = draw(bounded(t), l, flow{}, 0, &multiprolab.TaskOptions{OnProgress: func(context.Context, *multiprolab.Message) {}})
	require.ErrorContains(t, err, "TaskOptions.OnProgress")
	for _, err = range multiprolab.Stream[chunk](bounded(t), l, "none", nil, nil) {
	}
	var unknown *multiprolab.UnknownTypeError
	require.ErrorAs(t, err, &unknown)
}

// A range that takes nothing more makes the handler wait: with what is on the way, in main and in
// the submitter, there is no more than the window has room for.
func TestStreamWaitsForSlowRange(t *testing.T) {
	const size, window = 4000, 64 << 10
	for _, who := range []string{"main", "worker"} {
		t.Run(who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, &multiprolab.Config{InProcess: true, Window: window}, workers("streamer", 1), workers("drinker", 1))
				full := make(chan struct{})
				multiprolab.HandleCall(l, "full", func(context.Context, int) (bool, error) { <-full; return true, nil })
				require.NoError(t, l.Start(t.Context()))
				flowing.Store(0)
				ended := make(chan int, 1)
				f := flow{Count: 1000, Size: size}
				go func() { // ends with the stream
					n := 0
					if who == "worker" {
						n, _ = multiprolab.Call[int](t.Context(), l, "drinker", "sip", thirst{Flow: f, Most: 2})
					} else {
						for range multiprolab.Stream[chunk](t.Context(), l, "flow", f, nil) {
							if n++; n == 2 {
								<-full
							}
						}
					}
					ended <- n
				}()
				synctest.Wait()
				require.Greater(t, flowing.Load(), int64(3), "the handler works ahead")
				require.LessOrEqual(t, flowing.Load(), int64(window/size+4))
				close(full)
				require.Equal(t, f.Count, <-ended)
				require.EqualValues(t, f.Count, flowing.Load())
				require.NoError(t, l.Close())
			})
		})
	}
}
