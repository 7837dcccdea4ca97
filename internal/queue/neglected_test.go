package queue

import "testing"

// A task that waits beside a worker that could have it is found, were the rules to leave one there;
// TestSimulation finds none.
func TestNeglected(t *testing.T) {
	q := worked(1, PoolOptions{})
	if q.Neglected() != nil {
		t.Fatal("there is no task")
	}
	q.halted = true // so that nothing is handed out
	task := &Task{}
	q.Submit(task, laneT, nil, true, 0)
	if q.Neglected() != nil {
		t.Fatal("nothing is to be handed out")
	}
	q.halted = false
	if q.Neglected() != task {
		t.Fatal("the task is not found")
	}
}

// A task that waits for a token holds up those behind it in its lane. With its end one that has its
// token from before goes to a worker that has nothing to do.
func TestTaskWithTokenGoesOutWhenTheOneBeforeItEnds(t *testing.T) {
	s := newStage(t, Config{Limit: 9})
	s.addPool(PoolOptions{Queues: []string{"q"}}, "a/0", "a/1", "a/2")
	s.q.Throttle(Throttle{Queue: "q"}, Limits{Rate: 0.001, Burst: 2})
	first, second := &Task{Options: &Options{Attempts: 2, First: 1}}, &Task{}
	a := s.enter("a/0", []string{"t"}, nil)
	s.submit(first, laneT)
	s.enter("a/1", []string{"t"}, nil)
	s.submit(second, laneT)
	s.honest(s.q.Began(a, first.id, s.now)) // it needs another token for its next attempt
	s.die("a/0")
	s.die("a/1")
	s.enter("a/2", []string{"t"}, nil)
	if first.State() != "queued" || second.State() != "queued" {
		t.Fatalf("the tasks are %s and %s", first.State(), second.State())
	}
	s.q.Cancel(first, false, s.now)
	s.carryOut()
	if second.State() != "assigned" || s.q.Neglected() != nil {
		t.Errorf("the second task is %s", second.State())
	}
}
