package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/codec"
)

// padded is a body that gob encodes.
type padded struct {
	N   int
	Pad []byte
}

// loose is one that gob sends with its type's definitions, each time.
type loose struct {
	Any any
	Pad []byte
}

// sized is a way to make bodies of a kind, and the way that they take.
type sized struct {
	kind string
	make func(size int) any // a body whose encoding takes so many bytes
	try  func(s sized, p multiprolab.Process, to string, size int) []trial
	on   func(s sized, p multiprolab.Process) // registers the handlers that try needs
}

// trial is one way to send a body to another process: it says what became of it.
type trial struct {
	name string
	run  func(ctx context.Context) error
}

var allSized = []sized{
	{"bytes", func(n int) any { return make([]byte, n) }, tryLimit[[]byte], onLimit[[]byte]},
	{"text", func(n int) any { return strings.Repeat("t", n) }, tryLimit[string], onLimit[string]},
	{"struct", padTo(func(pad []byte) any { return padded{1, pad} }), tryLimit[padded], onLimit[padded]},
	{"self-contained", padTo(func(pad []byte) any { return loose{7, pad} }), tryLimit[loose], onLimit[loose]},
}

var limitCodec codec.Codec

// gob numbers types in the order in which a process meets them, and a number takes a byte or more:
// each process of the tests meets these first, so that a body has the same size in all of them.
var _, _ = limitCodec.Encode(loose{7, nil})

// padTo makes a value as large as it is to be.
func padTo(with func(pad []byte) any) func(size int) any {
	return func(size int) any {
		pad := make([]byte, size)
		for range 3 {
			took := sizeOf(with(pad))
			if took == size {
				return with(pad)
			}
			pad = pad[:len(pad)+size-took]
		}
		panic(fmt.Sprintf("no value takes %d bytes", size))
	}
}

// sizesOf are the sizes of what sizeOf has encoded, by the type and the length of its padding, on
// which alone they depend: a table of this test meets few of them, and each very often.
var sizesOf sync.Map // [2]any: int

// sizeOf returns the size of a body's encoding.
func sizeOf(v any) int {
	var pad []byte
	switch v := v.(type) {
	case []byte:
		return len(v)
	case string:
		return len(v)
	case padded:
		pad = v.Pad
	case loose:
		pad = v.Pad
	}
	like := [2]any{reflect.TypeOf(v), len(pad)}
	if n, ok := sizesOf.Load(like); ok {
		return n.(int)
	}
	p, err := limitCodec.Encode(v)
	if err != nil {
		panic(err)
	}
	sizesOf.Store(like, len(p.Data))
	return len(p.Data)
}

// onLimit registers what tryLimit asks for.
func onLimit[T any](s sized, p multiprolab.Process) {
	size := func(_ context.Context, v T) (int, error) { return sizeOf(v), nil }
	grow := func(_ context.Context, n int) (T, error) { return s.make(n).(T), nil }
	var notes []int
	multiprolab.HandleCall(p, "limit-size-"+s.kind, size)
	multiprolab.HandleCall(p, "limit-grow-"+s.kind, grow)
	multiprolab.Handle(p, "limit-note-"+s.kind, func(_ context.Context, v T) error {
		notes = append(notes, sizeOf(v))
		return nil
	})
	multiprolab.HandleCall(p, "limit-notes-"+s.kind, func(context.Context, struct{}) ([]int, error) {
		defer func() { notes = nil }()
		return notes, nil
	})
	w, ok := p.(*multiprolab.Worker)
	if !ok {
		return
	}
	multiprolab.HandleTask(w, "limit-size-"+s.kind, size)
	multiprolab.HandleTask(w, "limit-grow-"+s.kind, grow)
	multiprolab.HandleTask(w, "limit-report-"+s.kind, func(ctx context.Context, n int) (bool, error) {
		err := multiprolab.Progress(ctx, s.make(n))
		if tooLarge(err) {
			return true, nil
		}
		return false, err
	})
	multiprolab.HandleCall(w, "limit-leave-"+s.kind, func(_ context.Context, n int) (bool, error) {
		err := w.SetExitValue(s.make(n))
		if tooLarge(err) {
			return true, nil
		}
		return false, err
	})
}

func tooLarge(err error) bool {
	var size *multiprolab.SizeError
	return errors.As(err, &size)
}

// The limit worker handles what tryLimit sends, and tries the same from where it is.
var _ = worker("limit", func(ctx context.Context, w *multiprolab.Worker) error {
	for _, s := range allSized {
		s.on(s, w)
	}
	fail := func(_ context.Context, n int) (int, error) {
		return 0, errors.New(strings.Repeat("\x01", n)) // a byte that may take some more on its way
	}
	multiprolab.HandleTask(w, "limit-fail", fail)
	multiprolab.HandleCall(w, "limit-fail", fail)
	multiprolab.Handle(w, "limit-fail-note", func(ctx context.Context, n int) error {
		_, err := fail(ctx, n)
		return err
	})
	return nil
})

// limitRow is a row of the table: a size of a kind of body, sent to another process.
type limitRow struct {
	Kind        string
	To          string
	Limit, Size int
}

var _ = worker("limit-prober", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "limit-probe", func(ctx context.Context, row limitRow) (string, error) {
		return row.run(ctx, w), nil
	})
	return nil
})

// run tries one row, and says what is wrong.
func (row limitRow) run(ctx context.Context, p multiprolab.Process) string {
	i := slices.IndexFunc(allSized, func(s sized) bool { return s.kind == row.Kind })
	var wrong []string
	for _, try := range allSized[i].try(allSized[i], p, row.To, row.Size) {
		if err := try.run(ctx); row.Size <= row.Limit && err != nil || row.Size > row.Limit && !tooLarge(err) {
			wrong = append(wrong, fmt.Sprintf("%s to %s, %s of %d bytes (limit%+d): %v",
				try.name, row.To, row.Kind, row.Size, row.Size-row.Limit, err))
		}
	}
	return strings.Join(wrong, "\n")
}

// aFew is how many small bodies go before the large one, and behind it.
const aFew = 40

// tryLimit is each way that a body of one size can take from p.
func tryLimit[T any](s sized, p multiprolab.Process, to string, size int) []trial {
	const small = 300                       // more than the definitions of the types
	among := func(yield func(n int) bool) { // sizes
		for i := range 2*aFew + 1 {
			n := small
			if i == aFew {
				n = size
			}
			if !yield(n) {
				return
			}
		}
	}
	mapped := func(ctx context.Context, results func(yield func(int, error) bool)) error {
		n := 0
		var found error
		for got, err := range results {
			switch {
			case n == aFew && err != nil:
				found = err
			case err != nil:
				return fmt.Errorf("small item %d: %v", n, err)
			case n == aFew && got != size, n != aFew && got != small:
				return fmt.Errorf("item %d: the size is %d", n, got)
			}
			n++
		}
		if n != 2*aFew+1 {
			return fmt.Errorf("%d results came", n)
		}
		return found
	}
	equal := func(got int, err error) error {
		if err == nil && got != size {
			err = fmt.Errorf("the size is %d", got)
		}
		return err
	}
	trials := []trial{
		{"Do, argument", func(ctx context.Context) error {
			var others []*multiprolab.Future[int]
			submit := func() error {
				for range aFew {
					f, err := multiprolab.Submit[int](ctx, p, "limit-size-"+s.kind, s.make(small), nil)
					if err != nil {
						return fmt.Errorf("a small one: %v", err)
					}
					others = append(others, f)
				}
				return nil
			}
			if err := submit(); err != nil {
				return err
			}
			large, err := multiprolab.Submit[int](ctx, p, "limit-size-"+s.kind, s.make(size), nil)
			if err := submit(); err != nil {
				return err
			}
			for _, f := range others {
				if _, err := f.Wait(ctx); err != nil {
					return fmt.Errorf("a small one: %v", err)
				}
			}
			if err != nil {
				return err
			}
			return equal(large.Wait(ctx))
		}},
		{"Do, result", func(ctx context.Context) error {
			v, err := multiprolab.Do[T](ctx, p, "limit-grow-"+s.kind, size)
			if err != nil {
				return err
			}
			return equal(sizeOf(v), nil)
		}},
		{"Map, argument", func(ctx context.Context) error {
			return mapped(ctx, multiprolab.Map[int](ctx, p, "limit-size-"+s.kind, func(yield func(T) bool) {
				for n := range among {
					if !yield(s.make(n).(T)) {
						return
					}
				}
			}, nil))
		}},
		{"Map, result", func(ctx context.Context) error {
			return mapped(ctx, func(yield func(int, error) bool) {
				for v, err := range multiprolab.Map[T](ctx, p, "limit-grow-"+s.kind, among, nil) {
					n := 0
					if err == nil {
						n = sizeOf(v)
					}
					if !yield(n, err) {
						return
					}
				}
			})
		}},
		{"Progress", func(ctx context.Context) error {
			got := 0
			o := &multiprolab.TaskOptions{OnProgress: func(_ context.Context, m *multiprolab.Message) {
				var v T
				if err := m.Decode(&v); err == nil {
					got = sizeOf(v)
				}
			}}
			refused, err := multiprolab.DoWith[bool](ctx, p, "limit-report-"+s.kind, size, o)
			if refused {
				return &multiprolab.SizeError{}
			}
			return equal(got, err)
		}},
	}
	if to == p.Name() {
		return trials
	}
	return append(trials,
		trial{"Call, argument", func(ctx context.Context) error {
			return equal(multiprolab.Call[int](ctx, p, to, "limit-size-"+s.kind, s.make(size)))
		}},
		trial{"Call, reply", func(ctx context.Context) error {
			v, err := multiprolab.Call[T](ctx, p, to, "limit-grow-"+s.kind, size)
			if err != nil {
				return err
			}
			return equal(sizeOf(v), nil)
		}},
		trial{"Send", func(ctx context.Context) error {
			var found error
			var want []int
			for n := range among {
				switch err := multiprolab.Send(ctx, p, to, "limit-note-"+s.kind, s.make(n)); {
				case err == nil:
					want = append(want, n)
				case n == size:
					found = err
				default:
					return fmt.Errorf("a small one: %v", err)
				}
			}
			got, err := multiprolab.Call[[]int](ctx, p, to, "limit-notes-"+s.kind, nil)
			if err == nil && !slices.Equal(want, got) {
				err = fmt.Errorf("of %d messages %d came: %v", len(want), len(got), got)
			}
			return errors.Join(err, found)
		}})
}

// mostLimit is the largest limit that is tried: of a body that has no room in the shared memory, and
// without the race detector, which looks at every byte many times, twice that.
var mostLimit = map[bool]int{false: 16 << 20, true: 8 << 20}[raceBuilt]

// TestHonestLimits: a body of exactly the limit passes, wherever it comes from and goes to, and
// whatever small ones are before and behind it; one byte more is a *SizeError. Nothing waits for
// ever.
func TestHonestLimits(t *testing.T) {
	kinds, all := []string{"bytes", "text", "struct", "self-contained"}, []string{"main", "limit/0", "limit/1"}
	around := []int{-100_000, -13, -5, -1, 0, 1}
	if raceBuilt {
		kinds, around = []string{"bytes", "struct"}, []int{-5, 0, 1}
	}
	for _, c := range []struct {
		limit, window int
		kinds         []string
		more          []int
		to            []string
	}{
		{64 << 10, 0, kinds, []int{-1, 0, 1}, all},
		{64 << 10, smallWindow, []string{"bytes", "struct"}, []int{0, 1}, all},
		{1 << 20, 0, kinds, around, all},
		{mostLimit, 0, []string{"bytes"}, []int{-1, 0, 1}, []string{"limit/0"}}, // they take their time
		{mostLimit, 0, []string{"struct"}, []int{0}, []string{"limit/1"}},
	} {
		t.Run(fmt.Sprintf("limit %d, window %d, %s", c.limit, c.window, c.kinds[0]), func(t *testing.T) {
			t.Parallel()
			both(t, func(t *testing.T, inProcess bool) {
				sizes := c.more
				if inProcess && c.limit > 64<<10 { // the edge itself: those around it are tried with the smallest limit
					sizes = []int{0, 1}
				}
				l := newLab(t, &multiprolab.Config{InProcess: inProcess, MaxMessageSize: c.limit, Window: c.window},
					workers("limit", 2), workers("limit-prober", 1))
				for _, s := range allSized {
					s.on(s, l)
				}
				require.NoError(t, l.Start(context.Background()))
				defer l.Close()
				for _, kind := range c.kinds {
					for _, more := range sizes {
						for _, to := range c.to {
							if more < -1 && to == "limit/1" {
								continue // a worker sends bodies of these sizes to main, and main to a worker
							}
							row := limitRow{kind, to, c.limit, c.limit + more}
							if to == "limit/0" || to == "main" && more >= -1 {
								require.Empty(t, row.run(bounded(t), l), "from main")
							}
							if to != "limit/0" {
								wrong, err := multiprolab.Do[string](bounded(t), l, "limit-probe", row)
								require.NoError(t, err)
								require.Empty(t, wrong, "from a worker")
							}
						}
					}
				}
			})
		})
	}
}

// TestHonestLimits_Errors: an error is an outcome, whatever its length, for a task, a call, a
// message and an item.
func TestHonestLimits_Errors(t *testing.T) {
	for _, limit := range []int{40, 64 << 10, 1 << 20, mostLimit} {
		t.Run(fmt.Sprint("limit ", limit), func(t *testing.T) {
			both(t, func(t *testing.T, inProcess bool) {
				l := startLab(t, &multiprolab.Config{InProcess: inProcess, MaxMessageSize: limit}, workers("limit", 1))
				for _, size := range []int{limit - 1, limit, limit + 1} {
					check := func(err error) {
						t.Helper()
						var remote *multiprolab.RemoteError
						require.ErrorAs(t, err, &remote)
						require.Contains(t, remote.Text, strings.Repeat("\x01", min(size, 1000)))
					}
					_, err := multiprolab.Do[int](bounded(t), l, "limit-fail", size)
					check(err)
					_, err = multiprolab.Call[int](bounded(t), l, "limit", "limit-fail", size)
					check(err)
					n := 0
					lengths := slices.Values([]int{1, 1, size, 1, size, size, size, 1})
					for _, err := range multiprolab.Map[int](bounded(t), l, "limit-fail", lengths, nil) {
						if n == 2 || n >= 4 && n < 7 {
							check(err)
						}
						require.ErrorContains(t, err, "\x01")
						n++
					}
					require.Equal(t, 8, n)
					reported := func() []*multiprolab.HandlerFailed { return eventsOf[*multiprolab.HandlerFailed](l) }
					failed := len(reported())
					require.NoError(t, multiprolab.Send(bounded(t), l, "limit", "limit-fail-note", size))
					eventually(t, "the failure to be reported", func() bool { return len(reported()) == failed+1 })
					check(reported()[failed].Err)
				}
			})
		})
	}
}

// TestHonestLimits_ExitValue: a worker leaves a value of the limit, and is told of one that is
// larger.
func TestHonestLimits_ExitValue(t *testing.T) {
	for _, limit := range []int{64 << 10, 1 << 20, mostLimit} {
		t.Run(fmt.Sprint("limit ", limit), func(t *testing.T) {
			both(t, func(t *testing.T, inProcess bool) {
				l := startLab(t, &multiprolab.Config{InProcess: inProcess, MaxMessageSize: limit}, workers("limit", 2))
				for i, kind := range []string{"bytes", "struct"} {
					for _, more := range []int{-1, 1, 0} { // the last that passes counts
						to := fmt.Sprint("limit/", i)
						refused, err := multiprolab.Call[bool](bounded(t), l, to, "limit-leave-"+kind, limit+more)
						require.NoError(t, err)
						require.Equal(t, more > 0, refused)
					}
				}
				require.NoError(t, l.Close())
				for _, e := range eventsOf[*multiprolab.WorkerStopped](l) {
					var got any = new([]byte)
					if e.Worker == "limit/1" {
						got = new(padded)
					}
					require.NoError(t, e.Decode(got))
					switch got := got.(type) {
					case *[]byte:
						require.Len(t, *got, limit)
					case *padded:
						require.Equal(t, limit, sizeOf(*got))
					}
				}
				require.Len(t, eventsOf[*multiprolab.WorkerStopped](l), 2)
			})
		})
	}
}

// TestMapOfLargeItems: items and results of a Map that are too large together pass one after the
// other, however they are mixed.
func TestMapOfLargeItems(t *testing.T) {
	const limit = 1 << 20
	sizes := []int{0, 100, 100, limit - 40_000, 30_000, 30_000, limit, 1, limit - 8, limit - 13, limit - 21, 64 << 10,
		64<<10 - 13, limit, limit, limit - 64<<10, 50_000, limit - 96<<10}
	want := slices.Repeat([]int{100}, 2000) // by the end of which they go many at a time
	for i := range 4 * len(sizes) {
		want = append(want, sizes[i*7%len(sizes)])
	}
	bodies := func(yield func([]byte) bool) {
		for _, n := range want {
			if !yield(make([]byte, n)) {
				return
			}
		}
	}
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess, MaxMessageSize: limit}, workers("limit", 2))
		for _, unordered := range []bool{false, true} {
			c := &multiprolab.MapConfig{Unordered: unordered}
			check := func(got []int) {
				t.Helper()
				want := slices.Clone(want)
				if unordered {
					slices.Sort(want)
					slices.Sort(got)
				}
				require.Equal(t, want, got)
			}
			var got []int
			for n, err := range multiprolab.Map[int](bounded(t), l, "limit-size-bytes", bodies, c) {
				require.NoError(t, err)
				got = append(got, n)
			}
			check(got)
			got = nil
			for b, err := range multiprolab.Map[[]byte](bounded(t), l, "limit-grow-bytes", slices.Values(want), c) {
				require.NoError(t, err)
				got = append(got, len(b))
			}
			check(got)
		}
		items := uint64(4 * len(want))
		require.Equal(t, multiprolab.TaskStats{Received: items, Succeeded: items}, l.Tasks().Stats())
	})
}
