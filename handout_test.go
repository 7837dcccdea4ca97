package multiprolab

import (
	"testing"
	"testing/synctest"
	"time"
)

// These tests are about tasks that one worker has been given and does not begin, while another one
// has nothing to do.

// A task that a worker does not begin, since a message keeps it busy, goes to one that has nothing
// to do; it does not go to and fro without end if none begins with it.
func TestTaskIsTakenFromABusyWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t, nil, map[string]WorkerConfig{"p": {Count: 2}})
		w0 := th.enter("p/0", "t")
		a := th.sized(1, nil)
		w1 := th.enter("p/1", "t")
		moves := 0
		for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(4 * time.Millisecond) {
			for _, w := range []*puppet{w0, w1} { // both handle messages; who reads the wire answers
				w.hear()
				if w.recalled[a.taskID()] {
					moves++
					w.obey()
					th.check("a move")
				}
			}
			if moves == 1 && !w1.has(a) {
				t.Fatal("the worker that has nothing to do does not get it")
			}
		}
		if moves < 9 || moves > 80 {
			t.Errorf("it went %d times to and fro in a minute", moves)
		}
		th.settle("t")
	})
}

// quick has a worker be done with a task in no time, so that it is handed further ones ahead.
func (w *puppet) quick(a *asked) {
	w.th.t.Helper()
	w.hear()
	w.start(a.taskID())
	time.Sleep(time.Microsecond)
	w.end(a.taskID(), nil)
}

// A task that a worker does not begin is taken from it for one with nothing to do, also if a third
// one looked better than that when the task was handed out.
func TestIdleWorkerIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t, nil, map[string]WorkerConfig{"p": {Count: 3}})
		w0, w1 := th.enter("p/0", "t"), th.enter("p/1", "t")
		first := th.must("t")
		time.Sleep(2 * sitTime) // w0 handles a message, and gives it back
		w0.obey()
		if !w1.has(first) {
			t.Fatal("w1 does not get the first task")
		}
		w1.quick(first)
		second := th.must("t")
		w1.hear()
		w1.start(second.taskID()) // it has room beside it
		w2 := th.enter("p/2", "t")
		third := th.must("t")
		if !w2.has(third) {
			t.Fatal("w2 does not get the third task")
		}
		time.Sleep(3 * sitTime)
		if w2.hear(); !w2.recalled[third.taskID()] {
			t.Error("w2 keeps a task that it does not begin, and w0 has nothing to do")
		}
		th.settle("t")
	})
}

// A worker with nothing to do gets another task if the one that was taken back for it has begun in
// the same moment.
func TestRecallThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t, nil, map[string]WorkerConfig{"p": {Count: 3}})
		w0 := th.enter("p/0", "t")
		w0.quick(th.must("t"))
		w2 := th.enter("p/2", "t")
		first := th.must("t")
		w0.hear()
		w0.start(first.taskID())
		sits := th.must("t")
		if !w2.has(sits) { // and handles a message
			t.Fatal("w2 does not get the task")
		}
		ahead := th.must("t")
		th.enter("p/1", "t")
		if w0.hear(); !w0.recalled[ahead.taskID()] {
			t.Fatal("nothing is taken back for p/1")
		}
		w0.end(first.taskID(), nil)
		w0.start(ahead.taskID()) // it had not heard
		time.Sleep(3 * sitTime)
		if w2.hear(); !w2.recalled[sits.taskID()] {
			t.Error("w2 keeps a task that it does not begin, and p/1 has nothing to do")
		}
		th.settle("t")
	})
}
