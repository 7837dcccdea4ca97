package queue

import "testing"

// A task that comes back goes before the younger ones of its key and lane, though these have waited
// for the key before it does so again.
func TestTaskThatComesBackGoesBeforeThoseOfItsKey(t *testing.T) {
	s := newStage(t, Config{Limit: 100})
	s.addPool(PoolOptions{Queues: []string{"q"}, Prefetch: 64}, "a/0", "a/1")
	key := &Options{Key: "k"}
	first, second, urgent := &Task{Options: key}, &Task{Options: key}, &Task{Options: key}
	s.enter("a/0", []string{"t"}, nil)
	s.submit(first, Lane{Queue: "q", Type: "t"})
	s.enter("a/1", []string{"t"}, nil) // has room for the others, so that they wait for the key
	s.submit(second, Lane{Queue: "q", Type: "t"})
	s.submit(urgent, Lane{Queue: "q", Type: "t", Priority: High})
	if first.Holder() == 0 || second.state != parked || urgent.state != parked {
		t.Fatal("the first task of a key does not go out alone")
	}
	s.die("a/0") // it has not begun the task
	s.enter("a/0", []string{"t"}, nil)
	for _, next := range []*Task{urgent, first, second} {
		w := next.Holder()
		if w == 0 {
			t.Fatalf("task %d is not the next one", next.id)
		}
		s.q.Began(w, next.id, s.now)
		s.q.Ended(w, next.id, Verdict{}, s.now)
		s.carryOut()
	}
}
