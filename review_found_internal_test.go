package multiprolab

import (
	"testing"
	"time"

	"github.com/multiprolab/multiprolab/internal/wire"
)

func TestReviewAwaitCost(t *testing.T) {
	th := newTheatre(t, nil, map[string]WorkerConfig{"p": {Count: 2}})
	w0, w1 := th.enter("p/0", "t"), th.enter("p/1", "t")
	th.broker.pause("", true)
	for range 50000 {
		w0.lastID++
		w0.say(&wire.Frame{Kind: wire.Submit, ID: w0.lastID, Type: "t", Flags: wire.FlagWait, Body: []byte("x")})
		w0.say(&wire.Frame{Kind: wire.Await, ID: w0.lastID})
	}
	a, err := th.submit(w1, "t", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	const n = 100
	for range n {
		w1.say(&wire.Frame{Kind: wire.Await, ID: a.id})
	}
	t.Logf("an Await takes %v, with the broker's mutex", time.Since(begun)/n)
	begun = time.Now()
	for range n {
		_ = th.broker.beginWait(MainName, 1<<50, forProcess("p/0"), "x")
		th.broker.endWait(MainName, 1<<50)
	}
	t.Logf("a call of main to p/0 takes %v", time.Since(begun)/n)
	if each := time.Since(begun) / n; each > 100*time.Microsecond {
		t.Errorf("too slow")
	}
}
