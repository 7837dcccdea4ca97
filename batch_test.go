package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

const tinyVar = "MULTIPROLAB_TEST_TINY"

// tiny is an item that takes next to no time: its number, and what becomes of it.
type tiny struct {
	N     int
	How   string
	Visit visit
}

// tinyResult is the result of one.
type tinyResult struct {
	N    int
	Pad  []byte
	Sour moody
}

// moody is a value that may refuse to be encoded.
type moody struct{ Bad bool }

func (m moody) GobEncode() ([]byte, error) {
	if m.Bad {
		return nil, errors.New("it is in a bad mood")
	}
	return []byte{0}, nil
}

func (m *moody) GobDecode([]byte) error { return nil }

// The tiny worker notes each item in a file before it works on it.
var _ = worker("tiny", func(ctx context.Context, w *multiprolab.Worker) error {
	var file *os.File
	if path := os.Getenv(tinyVar); path != "" {
		var err error
		if file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return err
		}
		w.OnExit(func(context.Context) error { return file.Close() })
	}
	multiprolab.HandleTask(w, "tiny", func(ctx context.Context, item tiny) (tinyResult, error) {
		if file != nil {
			if _, err := fmt.Fprintln(file, item.N); err != nil {
				return tinyResult{}, err
			}
		}
		r := tinyResult{N: item.N}
		switch item.How {
		case "die":
			die("exit 3")
		case "panic":
			panic("out of the batch")
		case "goexit":
			goexit("")
		case "fail":
			return r, fmt.Errorf("item %d fails", item.N)
		case "sour":
			r.Sour.Bad = true
		case "large":
			r.Pad = make([]byte, 300<<10)
		case "visit":
			_, err := item.Visit.waitSoft(ctx)
			return r, err
		}
		return r, nil
	})
	return nil
})

// tinies are items of which some come to a bad end.
func tinies(n int, how func(n int) string) func(yield func(tiny) bool) {
	return func(yield func(tiny) bool) {
		for i := range n {
			if !yield(tiny{N: i, How: how(i)}) {
				return
			}
		}
	}
}

// TestBatch: items that travel in batches have their own outcomes. A death costs the item that was
// running: those before it keep their results, those behind it run elsewhere, and none runs twice.
func TestBatch(t *testing.T) {
	const items = 20000
	how := func(n int) string {
		switch {
		case n%1999 == 1000:
			return "die"
		case n%501 == 500:
			return "fail"
		case n%1777 == 600:
			return "sour"
		case n%3001 == 2000:
			return "large"
		}
		return ""
	}
	for _, unordered := range []bool{false, true} {
		t.Run(fmt.Sprint("unordered ", unordered), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "items")
			l := startLab(
				t,
				nil,
				pool{"tiny", &multiprolab.WorkerConfig{Count: 2, Process: multiprolab.ProcessConfig{Env: []string{tinyVar + "=" + path}}}},
			)
			seen := make([]int, items)
			next := 0
			for r, err := range multiprolab.Map[tinyResult](bounded(t), l, "tiny", tinies(items, how), &multiprolab.MapConfig{Unordered: unordered}) {
				n := r.N
				if err != nil {
					var of *multiprolab.MapError
					require.ErrorAs(t, err, &of)
					n = of.Index
				}
				if !unordered {
					require.Equal(t, next, n)
					next++
				}
				seen[n]++
				switch how(n) {
				case "die":
					var died *multiprolab.WorkerDiedError
					require.ErrorAs(t, err, &died, "item %d", n)
					require.Equal(t, 3, died.ExitCode)
				case "fail":
					var remote *multiprolab.RemoteError
					require.ErrorAs(t, err, &remote, "item %d", n)
					require.Equal(t, fmt.Sprintf("item %d fails", n), remote.Text)
					require.Contains(t, remote.Worker, "tiny/")
				case "sour":
					var encode *multiprolab.EncodeError
					require.ErrorAs(t, err, &encode, "item %d", n)
					require.ErrorContains(t, err, "bad mood")
				case "large":
					require.NoError(t, err)
					require.Len(t, r.Pad, 300<<10)
				default:
					require.NoError(t, err, "item %d", n)
				}
			}
			runs := make([]int, items)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			for line := range strings.Lines(string(text)) {
				var n int
				_, err := fmt.Sscan(line, &n)
				require.NoError(t, err)
				runs[n]++
			}
			for n := range items {
				require.Equal(t, 1, seen[n], "outcomes of item %d", n)
				require.Equal(t, 1, runs[n], "runs of item %d", n)
			}
			s := l.Tasks().Stats()
			failed := 0
			for n := range items {
				if h := how(n); h != "" && h != "large" {
					failed++
				}
			}
			require.Equal(
				t,
				multiprolab.TaskStats{Received: items, Succeeded: uint64(items - failed), Failed: uint64(failed)},
				s,
			)
		})
	}
}

// A death that unwinds the stack of the worker costs the item that was running, too, and no other
// of its batch: what was finished stands.
func TestBatchUnwound(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for _, how := range []string{"panic", "goexit"} {
			if inProcess && how == "panic" {
				continue // it ends the program
			}
			const items = 6000
			dies := func(n int) string {
				if n%1000 == 700 {
					return how
				}
				return ""
			}
			l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("tiny", 2))
			next := 0
			for r, err := range multiprolab.Map[tinyResult](bounded(t), l, "tiny", tinies(items, dies), nil) {
				if dies(next) == "" {
					require.NoError(t, err, "item %d", next)
					require.Equal(t, next, r.N)
				} else {
					var died *multiprolab.WorkerDiedError
					require.ErrorAs(t, err, &died, "item %d", next)
					require.Equal(t, 2, died.ExitCode)
				}
				next++
			}
			require.Equal(t, items, next)
			require.NoError(t, l.Close())
		}
	})
}

// A worker that is killed at any moment of a batch costs one item at most: also between two batches,
// and when it has just begun with one.
func TestBatchKilled(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		cfg := &multiprolab.WorkerConfig{Count: 2, RestartDelay: time.Millisecond, RestartMaxDelay: time.Millisecond,
			RestartLimit: multiprolab.RestartLimit{Restarts: -1}}
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, pool{"tiny", cfg})
		const items = 20000
		kills, deaths, next := 0, 0, 0
		for r, err := range multiprolab.Map[tinyResult](bounded(t), l, "tiny",
			tinies(items, func(int) string { return "" }), nil) {
			if err == nil {
				require.Equal(t, next, r.N)
			} else {
				var died *multiprolab.WorkerDiedError
				require.ErrorAs(t, err, &died, "item %d", next)
				deaths++
			}
			if next++; next%500 == 0 && l.Kill(fmt.Sprint("tiny/", next/500%2)) == nil {
				kills++
			}
		}
		require.Equal(t, items, next)
		require.LessOrEqual(t, deaths, kills)
	})
}

// CancelPending returns the number of items, in however few batches they travel.
func TestBatchCancelPending(t *testing.T) {
	l := startLab(t, nil, workers("tiny", 1))
	told, cancelled, next := 0, 0, 0
	for _, err := range multiprolab.Map[tinyResult](bounded(t), l, "tiny",
		tinies(20000, func(int) string { return "" }), nil) {
		if err != nil {
			require.ErrorIs(t, err, multiprolab.ErrCancelled)
			cancelled++
		}
		if next++; next%1000 == 0 {
			told += l.Tasks().CancelPending("")
		}
	}
	require.Equal(t, cancelled, told)
	require.Equal(t, uint64(cancelled), l.Tasks().Stats().Cancelled)
}

// The mixed worker says what type a body has.
var _ = worker("mixed", func(ctx context.Context, w *multiprolab.Worker) error {
	w.HandleTask("mixed", func(ctx context.Context, t *multiprolab.Task) (any, error) {
		var n int
		if t.Decode(&n) == nil {
			return n, nil
		}
		var text string
		if t.Decode(&text) == nil {
			return "text " + text, nil
		}
		var item tiny
		if t.Decode(&item) != nil {
			return nil, nil
		}
		if item.How == "die" {
			die("exit 3")
		}
		return item, nil
	})
	return nil
})

// TestBatchMixed: the items of a batch, and their results, need not be of one type.
func TestBatchMixed(t *testing.T) {
	l := startLab(t, nil, workers("mixed", 2))
	const items = 5000
	source := func(yield func(any) bool) {
		for n := range items {
			var item any = n
			switch n % 4 {
			case 1:
				item = fmt.Sprint(n)
			case 2:
				item = tiny{N: n}
				if n%1000 == 998 {
					item = tiny{N: n, How: "die"}
				}
			case 3:
				item = nil
			}
			if !yield(item) {
				return
			}
		}
	}
	n := 0
	for _, err := range multiprolab.Map[int](bounded(t), l, "mixed", source, nil) {
		var of *multiprolab.MapError
		var died *multiprolab.WorkerDiedError
		switch {
		case n%4 == 0:
			require.NoError(t, err)
		case n%1000 == 998:
			require.ErrorAs(t, err, &died, "item %d", n)
		default:
			require.ErrorAs(t, err, &of, "item %d", n)
			require.NotErrorAs(t, err, &died, "item %d", n)
			require.Equal(t, n, of.Index)
			require.ErrorContains(t, err, []string{1: "string", 2: "tiny", 3: "no body"}[n%4])
		}
		n++
	}
	require.Equal(t, items, n)
}

// The turns worker counts the turns of its action.
var _ = worker("turns", func(ctx context.Context, w *multiprolab.Worker) error {
	turns := 0
	w.Action(time.Millisecond, func(context.Context) error { turns++; return nil })
	multiprolab.HandleCall(w, "turns", func(context.Context, struct{}) (int, error) { return turns, nil })
	multiprolab.HandleTask(w, "turn", func(_ context.Context, n int) (int, error) { return n, nil })
	return nil
})

// TestBatchTurns: messages and actions have their turn while batches never end.
func TestBatchTurns(t *testing.T) {
	l := startLab(t, nil, workers("turns", 2))
	ctx, cancel := context.WithCancel(bounded(t))
	var got atomic.Int64
	mapped := make(chan struct{})
	go func() { // ends with ctx
		defer close(mapped)
		endless := func(yield func(int) bool) {
			for n := 0; yield(n); n++ {
			}
		}
		for range multiprolab.Map[int](ctx, l, "turn", endless, nil) {
			got.Add(1)
		}
	}()
	for name, seen := range map[string]int64{"turns/0": 20000, "turns/1": 40000} {
		for first := -1; ; {
			turns, err := multiprolab.Call[int](bounded(t), l, name, "turns", struct{}{})
			require.NoError(t, err)
			if first < 0 {
				first = turns
			}
			if turns > first+3 && got.Load() > seen {
				break
			}
		}
	}
	cancel()
	await(t, mapped, "the end of the map")
}

// TestBatchSplit: an item that takes long holds up none of its batch: they run on the worker that
// has nothing to do.
func TestBatchSplit(t *testing.T) {
	const items = 5000
	for _, c := range []struct {
		unordered bool
		slow      int
	}{{false, 3000}, {true, 3000}, {false, items - 100}, {true, items - 100}} {
		unordered, slow := c.unordered, c.slow
		t.Run(fmt.Sprintf("unordered %v, item %d", unordered, slow), func(t *testing.T) {
			g := newGate(t)
			path := filepath.Join(t.TempDir(), "items")
			l := startLab(
				t,
				nil,
				pool{"tiny", &multiprolab.WorkerConfig{Count: 2, Process: multiprolab.ProcessConfig{Env: []string{tinyVar + "=" + path}}}},
			)
			source := func(yield func(tiny) bool) {
				for n := range items {
					item := tiny{N: n}
					if n == slow {
						item.How, item.Visit = "visit", g.visit("slow")
					}
					if !yield(item) {
						return
					}
				}
			}
			opened := make(chan struct{})
			go func() { // ends with the test, when all others have run
				defer close(opened)
				v := <-g.visitors
				for {
					text, _ := os.ReadFile(path)
					// In order the window bounds what is taken behind the slow one: its batch at
					// least must have run.
					lines := strings.Fields(string(text))
					if !unordered && slices.Contains(lines, fmt.Sprint(slow+1)) || unordered && len(lines) == items {
						break
					}
				}
				v.tell("go on")
			}()
			got := 0
			for _, err := range multiprolab.Map[tinyResult](bounded(t), l, "tiny", source, &multiprolab.MapConfig{Unordered: unordered}) {
				require.NoError(t, err)
				got++
			}
			require.Equal(t, items, got)
			await(t, opened, "the others to run")
			require.Equal(t, uint64(items), l.Tasks().Stats().Succeeded)
			require.Equal(t, uint64(items), l.Tasks().Stats().Received)
		})
	}
}

// TestBatchSlowSource: an item does not wait for a batch to fill.
func TestBatchSlowSource(t *testing.T) {
	g := newGate(t)
	l := startLab(t, nil, workers("tiny", 2))
	source := func(yield func(tiny) bool) {
		for n := range 2000 {
			if !yield(tiny{N: n}) {
				return
			}
		}
		if !yield(tiny{N: 2000, How: "visit", Visit: g.visit("lone")}) {
			return
		}
		// it has come to a worker although its batch is not full, and the sequence goes on only now
		v := g.expect(t, "lone")
		v.tell("go on")
	}
	got := 0
	for _, err := range multiprolab.Map[tinyResult](bounded(t), l, "tiny", source, nil) {
		require.NoError(t, err)
		got++
	}
	require.Equal(t, 2001, got)
}

// TestBatchCancel: leaving the loop cancels what is left; the pool goes on, and the counters add
// up.
func TestBatchCancel(t *testing.T) {
	l := startLab(t, nil, workers("tiny", 2))
	for _, failFast := range []bool{false, true} {
		got := 0
		for _, err := range multiprolab.Map[tinyResult](bounded(t), l, "tiny", tinies(1<<30, func(n int) string {
			if failFast && n == 5000 {
				return "fail"
			}
			return ""
		}), &multiprolab.MapConfig{FailFast: failFast}) {
			if got++; err != nil || !failFast && got == 5000 {
				break
			}
		}
		require.GreaterOrEqual(t, got, 5000)
	}
	require.NoError(t, l.Tasks().Join(bounded(t)))
	s := l.Tasks().Stats()
	require.Equal(t, s.Received, s.Succeeded+s.Failed+s.Cancelled)
	require.Zero(t, s.Queued+s.Running)
	_, err := multiprolab.Do[tinyResult](bounded(t), l, "tiny", tiny{N: 1})
	require.NoError(t, err)
}

// TestBatchStopped: items that have no outcome when the program ends get that as their outcome.
func TestBatchStopped(t *testing.T) {
	l := startLab(t, nil, workers("tiny", 2))
	got, stopped := 0, 0
	for _, err := range multiprolab.Map[tinyResult](bounded(t), l, "tiny", tinies(100000, func(int) string { return "" }), nil) {
		if got++; got == 20000 {
			l.Exit()
		}
		if err != nil {
			require.ErrorIs(t, err, multiprolab.ErrStopped)
			stopped++
		}
	}
	require.Equal(t, 100000, got)
	require.Positive(t, stopped)
	require.NoError(t, l.Close())
}

// The steered worker handles items in all the ways in which a handler can say what becomes of a
// task.
var _ = worker("steered", func(ctx context.Context, w *multiprolab.Worker) error {
	tried := map[int]int{}
	work := func(ctx context.Context, n int) (int, error) {
		t := multiprolab.TaskFrom(ctx)
		time.Sleep(10 * time.Microsecond) // of the test's own clock, by which it is known how many may travel together
		switch tried[n]++; {
		case n%5 == 1 && tried[n] <= n%3:
			return 0, multiprolab.RetryAfter(time.Hour, nil)
		case n%7 == 2:
			if err := t.Done(-n); err != nil {
				return 0, err
			}
			if err := t.Done("again"); err == nil {
				return 0, errors.New("a second end is no error")
			}
			return 4711, nil // does not count
		case n%7 == 3:
			return 4711, t.Fail(fmt.Errorf("item %d failed", n))
		}
		return n, nil
	}
	multiprolab.HandleTask(w, "steered", work)
	w.HandleTask("steered-untyped", func(ctx context.Context, t *multiprolab.Task) (any, error) {
		var n int
		if err := t.Decode(&n); err != nil {
			return nil, err
		}
		return work(ctx, n)
	})
	return nil
})

// TestBatchSteered: an item that travels with others is steered by its handler like any task: with
// Done, Fail and RetryAfter.
func TestBatchSteered(t *testing.T) {
	const items = 500
	for _, typ := range []string{"steered", "steered-untyped"} {
		for _, unordered := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, unordered %v", typ, unordered), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := startLab(t, &multiprolab.Config{InProcess: true}, workers("steered", 1))
					got := map[int]int{}
					begun := time.Now()
					place := 0
					c := &multiprolab.MapConfig{Unordered: unordered}
					for r, err := range multiprolab.Map[int](t.Context(), l, typ, upTo(items), c) {
						n := max(r, -r)
						if err != nil {
							var of *multiprolab.MapError
							require.ErrorAs(t, err, &of)
							n = of.Index
						}
						got[n]++
						if !unordered {
							require.Equal(t, place, n)
						}
						place++
						switch {
						case n%7 == 3:
							require.ErrorContains(t, err, fmt.Sprintf("item %d failed", n))
						case n%7 == 2:
							require.NoError(t, err)
							require.Equal(t, -n, r)
						default:
							require.NoError(t, err)
							require.Equal(t, n, r)
						}
					}
					require.Len(t, got, items)
					require.Equal(t, items, place)
					require.GreaterOrEqual(t, time.Since(begun), 2*time.Hour)
					const failed = (items + 3) / 7
					want := multiprolab.TaskStats{Received: items, Succeeded: items - failed, Failed: failed}
					require.Equal(t, want, l.Tasks().Stats())
				})
			})
		}
	}
}
