package queue

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// With each slot that is added to n, about 1 in n+1 of the keys moves, and only to the new slot; the
// keys are spread evenly, as far as chance does it.
func TestKeysMoveAsSlotsAreAdded(t *testing.T) {
	const keys = 100_000
	homes := func(n int) (all [keys]int) {
		seed := Seed("pool")
		var of [Buckets + 1]int
		for b := Bucket(1); b <= Buckets; b++ {
			for i := range n {
				if b.Draw(seed, i) > b.Draw(seed, of[b]) {
					of[b] = i
				}
			}
		}
		for k := range keys {
			all[k] = of[BucketOf(fmt.Sprint("customer ", k))]
		}
		return all
	}
	before := homes(1)
	for n := 1; n <= 16; n++ {
		after := homes(n + 1)
		moved, shares := 0, make([]int, n+1)
		for k, home := range after {
			shares[home]++
			if home != before[k] {
				if moved++; home != n {
					t.Fatalf("key %d moves from slot %d to slot %d when slot %d is added", k, before[k], home, n)
				}
			}
		}
		part := float64(moved) / keys * float64(n+1)
		if part < 0.6 || part > 1.4 {
			t.Errorf("%d to %d slots: %d of %d keys move", n, n+1, moved, keys)
		}
		most := float64(slices.Max(shares)) / keys * float64(n+1)
		if most > 1.5 {
			t.Errorf("%d slots: the busiest has %.2f times its share", n+1, most)
		}
		t.Logf("%2d to %2d slots: %4.1f %% of the keys move; the busiest slot has %.2f times its share",
			n, n+1, 100*float64(moved)/keys, most)
		before = after
	}
}

// A sticky task waits for its home while that is busy or being replaced, and moves when it is gone
// for good; what others can do is done meanwhile.
func TestStickyTasksWaitForTheirHome(t *testing.T) {
	s := newStage(t, Config{Limit: 100})
	s.addPool(PoolOptions{Queues: []string{"q"}, Prefetch: 64, Seed: 7}, "a/0", "a/1", "a/2")
	for _, slot := range []string{"a/0", "a/1", "a/2"} {
		s.enter(slot, []string{"t"}, nil)
	}
	to := Lane{Queue: "q", Type: "t"}
	sticky := &Options{Key: "k", Sticky: true}
	first, second := &Task{Options: sticky}, &Task{Options: sticky}
	s.submit(first, to)
	home := first.Holder()
	var at string
	for slot, w := range s.workers {
		if w == home {
			at = slot
		}
	}
	s.q.Began(home, first.id, s.now)
	s.submit(second, to)
	for range 2 {
		other := &Task{}
		s.submit(other, to)
		if other.Holder() == 0 || other.Holder() == home {
			t.Fatalf("a task for anybody is held up, or goes to who is busy: %d", other.Holder())
		}
	}
	if second.Holder() != 0 {
		t.Fatal("a key has two tasks at once")
	}
	s.pass(time.Second)
	s.die(at)
	if second.Holder() != 0 || len(s.outcomes[second]) > 0 {
		t.Fatal("it waits for the next life")
	}
	next := s.enter(at, []string{"t"}, nil)
	if second.Holder() != next {
		t.Fatalf("%d has it, and its home is %d", second.Holder(), next)
	}
	third := &Task{Options: sticky}
	s.q.Began(next, second.id, s.now)
	s.submit(third, to)
	s.die(at)
	s.q.Gone(s.slots[at], "broken")
	s.carryOut()
	if third.Holder() != 0 { // the others have the tasks for anybody
		t.Fatal("it goes to who is busy")
	}
	for slot, w := range s.workers {
		for s.q.Held(w) > 0 {
			held := s.q.workers[w].held.first
			s.q.Began(w, held.id, s.now)
			s.q.Ended(w, held.id, Verdict{}, s.now)
			s.carryOut()
			if third.Holder() == w || len(s.outcomes[third]) > 0 {
				return // its new home is slot
			}
		}
		_ = slot
	}
	t.Fatal("it has not moved")
}
