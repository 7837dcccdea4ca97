package multiprolab

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// TestWaiting: a wait is refused exactly if, in a model in which everything that does not wait
// ends, and with it every wait that it suffices for, the process would never go on.
func TestWaiting(t *testing.T) {
	refused := 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		n := 1 + r.IntN(8)
		var g waiting[int]
		model := map[int]map[uint64][]int{} // alternatives of each wait
		for id := range uint64(60) {
			by := r.IntN(n)
			switch r.IntN(10) {
			case 0:
				g.endAll(by)
				delete(model, by)
				continue
			case 1, 2, 3:
				for id := range model[by] {
					g.end(by, id)
					delete(model[by], id)
					break
				}
				continue
			}
			var any []int
			for range 1 + r.IntN(3) {
				any = append(any, r.IntN(n))
			}
			if model[by] == nil {
				model[by] = map[uint64][]int{}
			}
			model[by][id] = any
			ok := g.begin(by, id, want[int](slices.Values(any)))
			require.Equal(t, modelGoesOn(model, n, by), ok, "seed %d, wait %d", seed, id)
			if !ok {
				refused++
				path := g.path(by, want[int](slices.Values(any)))
				require.Equal(t, by, path[0])
				require.Contains(t, path[:len(path)-1], path[len(path)-1], "it is a circle: %v", path)
				delete(model[by], id)
			}
			for p := range n {
				require.True(t, modelGoesOn(model, n, p), "nobody is ever stuck")
				require.Equal(t, len(model[p]) > 0, g.isWaiting(p))
			}
		}
	}
	require.Greater(t, refused, 1000)
}

// modelGoesOn plays what happens, step by step: whoever waits for nothing goes on, and ends the
// waits that it suffices for.
func modelGoesOn(model map[int]map[uint64][]int, n, p int) bool {
	left := map[int]map[uint64][]int{}
	for q, waits := range model {
		left[q] = maps.Clone(waits)
	}
	for range n {
		for q := range n {
			if len(left[q]) > 0 {
				continue
			}
			for _, waits := range left {
				for id, any := range waits {
					if slices.Contains(any, q) {
						delete(waits, id)
					}
				}
			}
		}
	}
	return len(left[p]) == 0
}

// endsSoon fails if fn hangs.
func endsSoon(t *testing.T, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); fn() }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal(what)
	}
}

// TestWaitForNobody: the last worker that takes a task has ended for good, and the broker does not
// know yet: a wait for the task is none in a circle.
func TestWaitForNobody(t *testing.T) {
	th := newTheatre(t, nil, map[string]WorkerConfig{"p": {}, "q": {Queues: []string{"q"}}})
	w := th.enter("p/0", "t")
	a, err := th.submit(w, "u", 0, &TaskOptions{Queue: "q"})
	if err != nil {
		t.Fatal(err)
	}
	s := th.slot("q/0")
	s.mu.Lock()
	s.gone = errors.New("not replaced")
	s.mu.Unlock()
	endsSoon(t, "main is in an endless loop, with the broker's mutex", func() {
		w.say(&wire.Frame{Kind: wire.Await, ID: a.id})
	})
	w.hear()
	if err := w.refused(a.id); err != nil || !th.broker.waits.isWaiting("p/0") {
		t.Fatalf("the wait was not noted: %v", err)
	}
}

// TestManyWaits: a worker that waits for very many tasks does not make it slow to look for a
// circle.
func TestManyWaits(t *testing.T) {
	th := newTheatre(t, nil, map[string]WorkerConfig{"p": {Count: 2}})
	w0, w1 := th.enter("p/0", "t"), th.enter("p/1", "t")
	th.broker.pause("", true)
	for range 1000 {
		a, err := th.submit(w0, "t", 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		w0.say(&wire.Frame{Kind: wire.Await, ID: a.id})
	}
	a, err := th.submit(w1, "t", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	w1.say(&wire.Frame{Kind: wire.Await, ID: a.id})
	w1.hear()
	if w1.refusals != 1 {
		t.Error("both wait for tasks that only they take, and the second was not refused")
	}
	if n := len(th.broker.waits.waits["p/0"]); n > maxWaits {
		t.Errorf("%d waits are looked at", n)
	}
}
