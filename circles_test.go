package multiprolab

import (
	"errors"
	"testing"
	"time"

	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/wire"
)

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
	gone := errors.New("not replaced")
	s.gone.Store(&gone)
	endsSoon(t, "main is in an endless loop, with the broker's mutex", func() {
		w.say(&wire.Frame{Kind: wire.Await, ID: a.id})
	})
	w.hear()
	if err := w.refused(a.id); err != nil || !th.broker.loops.waits.IsWaiting("p/0") {
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
	if n := th.broker.loops.waits.Count("p/0"); n > mail.MaxWaits {
		t.Errorf("%d waits are looked at", n)
	}
}
