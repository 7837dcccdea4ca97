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
