package batch_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/multiprolab/multiprolab/internal/batch"
)

const us, ms = time.Microsecond, time.Millisecond

// room is for how many bytes of outcomes there is room in these tests.
const room = 64 << 10

// size returns how many items the next batches have.
func size(p *batch.Pace) (n int) {
	for n = 1; !p.Full(n, 0); n++ {
	}
	return n
}

// How many items travel together, and how many are under way, follows from how long they take.
func TestPace(t *testing.T) {
	type seen struct{ size, window int }
	for _, c := range []struct {
		name    string
		workers int
		window  int           // that the user wants
		took    time.Duration // of each item
		bytes   int           // of each outcome
		want    []seen        // at first, and after each full batch
	}{
		{"short items", 2, 0, us, 10, []seen{
			{1, 64}, {4, 64}, {16, 112}, {64, 448}, {256, 1792}, {1024, 7168}, {2730, 16384}, {2730, 16384},
		}},
		{"items of some time", 2, 0, ms, 10, []seen{{1, 64}, {4, 64}, {10, 70}, {10, 70}}},
		{"long items", 2, 0, 6 * ms, 10, []seen{{1, 64}, {1, 64}, {1, 64}}},
		{"large outcomes", 2, 0, us, 1 << 10, []seen{{1, 64}, {4, 64}, {16, 112}, {64, 448}, {64, 448}}},
		{"outcomes larger than the room", 2, 0, us, 1 << 20, []seen{{1, 64}, {1, 64}}},
		{"many workers", 100, 0, us, 10, []seen{{1, 64}, {4, 1204}, {16, 4816}, {54, 16254}, {54, 16254}}},
		{"many workers and long items", 100, 0, 6 * ms, 10, []seen{{1, 64}, {1, 64}, {1, 64}}},
		{"a window", 2, 60, us, 10, []seen{{1, 60}, {4, 60}, {10, 60}, {10, 60}}},
		{"a window of one", 2, 1, us, 10, []seen{{1, 1}, {1, 1}}},
		{"a large window", 2, 1 << 20, us, 10, []seen{
			{1, 1 << 20}, {4, 1 << 20}, {16, 1 << 20}, {64, 1 << 20}, {256, 1 << 20}, {1024, 1 << 20}, {4096, 1 << 20},
			{4096, 1 << 20},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := batch.NewPace(c.workers, c.window, room)
			var got []seen
			for range c.want {
				n := size(&p)
				got = append(got, seen{n, p.Window()})
				p.Measure(time.Duration(n)*c.took, n, n*c.bytes)
			}
			require.Equal(t, c.want, got)
		})
	}
}

// Without batches a pace never changes, and what is no measurement changes none.
func TestPaceOfNothing(t *testing.T) {
	for _, c := range []struct {
		workers int
		took    time.Duration
		items   int
		bytes   int
	}{{0, us, 1, 10}, {2, 0, 1, 10}, {2, -us, 1, 10}, {2, us, 0, 8}, {2, us, 0, 0}, {2, us, 1, 0}, {2, us, -1, -1}} {
		p := batch.NewPace(c.workers, 0, room)
		was := p
		p.Measure(c.took, c.items, c.bytes)
		require.Equal(t, was, p, "%+v", c)
	}
}

// paceModel is what a pace is to do, found by trying all sizes.
type paceModel struct {
	workers, window int
	took            time.Duration
	size            int
}

// next returns the largest size that the next batches may have.
func (m *paceModel) next(took time.Duration, most int, fits func(n int) bool) int {
	window := m.window
	if window == 0 {
		window = 16384
	}
	best := 1
	for n := 2; n <= min(4096, most); n++ {
		if time.Duration(n)*took <= 10*ms && n*3*m.workers <= window && fits(n) {
			best = n
		}
	}
	return best
}

// A pace is the model's, whatever workers say that they needed.
func TestPaceModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := paceModel{size: 1}
		m.workers = rapid.IntRange(1, 300).Draw(t, "workers")
		m.window = rapid.SampledFrom([]int{0, 0, 1, 7, 64, 1000, 100000}).Draw(t, "window")
		p := batch.NewPace(m.workers, m.window, room)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				require.True(t, p.Full(m.size, 0), "a batch is larger than %d items", m.size)
				require.True(t, m.size == 1 || !p.Full(m.size-1, 0), "a batch is smaller than %d items", m.size)
				require.True(t, p.Full(1, batch.MaxSize))
				if m.window > 0 {
					require.Equal(t, m.window, p.Window())
				} else {
					require.GreaterOrEqual(t, p.Window(), 64)
					require.LessOrEqual(t, p.Window(), 16384)
				}
			},
			"measure": func(t *rapid.T) {
				items := rapid.IntRange(1, 2*m.size).Draw(t, "items")
				took := time.Duration(rapid.Int64Range(1, int64(rapid.SampledFrom(
					[]time.Duration{us, ms, time.Second, 1 << 62}).Draw(t, "scale"))).Draw(t, "took"))
				bytes := rapid.IntRange(1, 1<<20).Draw(t, "bytes")
				p.Measure(took, items, bytes)
				each := min(max(1, took/time.Duration(items)), time.Second)
				if m.took == 0 {
					m.took = each
				} else {
					m.took += (each - m.took) / 4
				}
				m.size = m.next(m.took, 4*m.size, func(n int) bool { return n*bytes <= room*items })
			},
			"cut": func(t *rapid.T) {
				items := rapid.IntRange(1, 4096).Draw(t, "items")
				n := p.Parts(items)
				require.GreaterOrEqual(t, n, 1)
				require.LessOrEqual(t, n, m.workers)
				if m.took > 0 && n > 1 {
					require.GreaterOrEqual(t, time.Duration(items)*m.took/time.Duration(n), ms, "parts are too short")
				}
			},
		})
	})
}

// A part is hurried while each worker has less than one batch to work on and one to follow.
func TestHungry(t *testing.T) {
	for _, c := range []struct {
		sent, workers int
		want          bool
	}{{0, 1, true}, {1, 1, true}, {2, 1, false}, {5, 3, true}, {6, 3, false}, {0, 0, false}} {
		require.Equal(t, c.want, batch.Hungry(c.sent, c.workers), fmt.Sprintf("%+v", c))
	}
}

// A worker looks at the clock seldom while items are short, and at once when one was not; it stops
// in time, and sooner if something else waits.
func TestTurn(t *testing.T) {
	for _, c := range []struct {
		name  string
		each  time.Duration
		other bool  // something else waits
		looks []int // the first items before which the worker looks
		ends  int   // the item that is not worked on any more
	}{
		{"short items", us, false, []int{1, 3, 7, 15, 31, 47, 63}, 20015},
		{"short items, and others wait", us, true, []int{1, 3, 7}, 4015},
		{"items of some time", 150 * us, false, []int{1, 2, 3, 4}, 134},
		{"items of some time, and others wait", 150 * us, true, []int{1, 2, 3, 4}, 27},
		{"a long item", 50 * ms, false, []int{1}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			turn := batch.NewTurn()
			var looks []int
			n := 0
			for busy := time.Duration(0); ; busy, n = busy+c.each, n+1 {
				if !turn.Due(uint64(n)) {
					continue
				}
				looks = append(looks, n)
				if turn.Over(busy) || c.other && turn.Yields(busy) {
					break
				}
				turn.Looked(uint64(n), busy)
			}
			require.Equal(t, c.ends, n)
			require.Equal(t, c.looks, looks[:min(len(looks), len(c.looks))])
		})
	}
}

// Whatever the items take, between two looks there are at most 16 of them, and behind a look that
// came late the next is at the next item.
func TestTurnModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		turn := batch.NewTurn()
		var busy, seen time.Duration
		last, late := 0, false
		times := rapid.SampledFrom([]time.Duration{0, us, 20 * us, 99 * us, 101 * us, ms})
		for n, each := range rapid.SliceOfN(times, 1, 200).Draw(t, "items") {
			if turn.Due(uint64(n)) {
				require.Positive(t, n, "it ends before it has begun")
				late = busy-seen > 100*us
				turn.Looked(uint64(n), busy)
				last, seen = n, busy
			} else {
				require.LessOrEqual(t, n-last, 15)
				require.False(t, late && n-last == 1)
			}
			busy += each
		}
	})
}
