package multiprolab

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// These tests are about tasks for whose outcome the loop of a worker waits, so that the worker must
// not get them.

// waitsFor submits a task of main for which workers wait, as its chain says.
func (th *theatre) waitsFor(chain string) *asked {
	th.t.Helper()
	a := &asked{what: "t"}
	th.wait(chain)
	if err := th.offer(a, codec.Payload{}, &meta.Task{Waits: true, Chain: chain}, 0, "t"); err != nil {
		th.t.Fatal(err)
	}
	return a
}

// wait has the workers of a chain wait for main.
func (th *theatre) wait(chain string) {
	for _, name := range strings.Split(chain, ",") {
		if name == MainName {
			continue
		}
		if err := th.broker.beginWait(name, 1<<40, mail.For(MainName), "it"); err != nil {
			th.t.Fatal(err)
		}
	}
}

// has reports whether the worker has been sent the task.
func (w *puppet) has(a *asked) bool {
	w.hear()
	for _, f := range w.waiting {
		if f.ID == a.taskID() {
			return true
		}
	}
	return false
}

func TestWaitedForTask(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, th *theatre, w0, w1 *puppet){
		"goes to another worker": func(t *testing.T, th *theatre, w0, w1 *puppet) {
			a := th.waitsFor("main,p/0")
			if w0.has(a) || !w1.has(a) {
				t.Error("it went to the worker that waits for it")
			}
		},
		"holds up no task behind it": func(t *testing.T, th *theatre, w0, w1 *puppet) {
			busy := th.must("t")
			w0.hear()
			w0.start(busy.taskID())
			also := th.must("t")
			w1.hear()
			w1.start(also.taskID())
			a, behind := th.waitsFor("p/0"), th.must("t")
			w0.end(busy.taskID(), nil)
			if w0.has(a) || !w0.has(behind) {
				t.Error("the task behind it waits beside a worker that could have it")
			}
			w1.end(also.taskID(), nil)
			if !w1.has(a) {
				t.Error("it was not handed out, and is the oldest")
			}
		},
		"is a circle when the last other one has gone for good": func(t *testing.T, th *theatre, w0, w1 *puppet) {
			a := th.stuck(w1)
			w1.die(w1.death())
			if a.outcomes > 0 {
				t.Error("it ended while another worker may come")
			}
			th.bury(w1.slot(), errors.New("not replaced"))
			if !errors.Is(a.err, ErrCallCycle) {
				t.Errorf("its outcome is %v", a.err)
			}
		},
		"is a circle when the one that comes takes other types": func(t *testing.T, th *theatre, w0, w1 *puppet) {
			a := th.stuck(w1)
			w1.die(w1.death())
			th.enter("p/1", "other")
			if !errors.Is(a.err, ErrCallCycle) {
				t.Errorf("its outcome is %v", a.err)
			}
		},
		"is a circle also if the worker that waits is to be replaced": func(t *testing.T, th *theatre, w0, w1 *puppet) {
			a := th.stuck(w1)
			th.broker.retire(w0.peer) // after what it does now, which is waiting
			w1.die(nil)
			th.bury(w1.slot(), ErrStopped)
			if !errors.Is(a.err, ErrCallCycle) {
				t.Errorf("its outcome is %v", a.err)
			}
		},
		"waits on while the last other one retires, and is replaced": func(t *testing.T, th *theatre, w0, w1 *puppet) {
			a := th.stuck(w1)
			th.broker.retire(w1.peer)
			w1.obey()
			w1.end(w1.active[0].ID, nil)
			w1.die(nil)
			if w1 = th.enter("p/1", "t"); !w1.has(a) {
				t.Error("it was not handed out")
			}
		},
		"is in a circle of others when the last worker that is free has gone for good": func(t *testing.T, th *theatre, w0, w1 *puppet) {
			other := th.enter("q/0", "nothing")
			if err := th.broker.beginWait("p/0", 1<<40, mail.For("q/0"), "it"); err != nil {
				t.Fatal(err)
			}
			for len(w1.active) == 0 { // it is busy, but goes on some time
				a := th.must("t")
				if w1.has(a) {
					w1.start(a.taskID())
				}
			}
			other.lastID++
			f := &wire.Frame{Kind: wire.Submit, ID: other.lastID, Type: "t", Flags: wire.FlagWait, Meta: meta.Task{Waits: true, Chain: "q/0"}.Marshal()}
			other.say(f)
			other.hear()
			if err := other.refused(f.ID); err != nil {
				t.Fatal(err)
			}
			w1.die(w1.death())
			th.bury(w1.slot(), errors.New("not replaced"))
			other.hear()
			if err := other.refused(f.ID); !errors.Is(err, ErrCallCycle) {
				t.Errorf("its outcome is %v", err)
			}
			th.broker.endWaits("p/0")
		},
		"goes to the next life of the worker that waited for it": func(t *testing.T, th *theatre, w0, w1 *puppet) {
			a := th.stuck(w1)
			w0.die(w0.death())
			if w0 = th.enter("p/0", "t"); !w0.has(a) {
				t.Error("it was not handed out: its name is taken for the life that has ended")
			}
		},
		"is refused if nobody else takes it": func(t *testing.T, th *theatre, w0, w1 *puppet) {
			w1.die(w1.death())
			th.bury(w1.slot(), errors.New("not replaced"))
			th.wait("p/0")
			err := th.offer(&asked{what: "t"}, codec.Payload{}, &meta.Task{Waits: true, Chain: "p/0"}, 0, "t")
			if !errors.Is(err, ErrCallCycle) {
				t.Errorf("it was taken: %v", err)
			}
		},
		"may be in a chain that names nobody": func(t *testing.T, th *theatre, w0, w1 *puppet) {
			for _, chain := range []string{",,,", "p/9", "p/-1", "p/0/0", "nobody/0,", "p", "p/99999999999999999999"} {
				if a := th.waitsFor(chain); a.outcomes > 0 {
					t.Errorf("chain %q: %v", chain, a.err)
				}
			}
		},
		"is pulled by another worker": func(t *testing.T, th *theatre, w0, w1 *puppet) {
			p0, p1 := th.enter("q/0", "pull"), th.enter("q/1", "pull")
			p0.ask(true, "pull")
			a := &asked{what: "pull"}
			th.wait("q/0")
			m := &meta.Task{Waits: true, Chain: "q/0", Queue: "q"}
			if err := th.offer(a, codec.Payload{}, m, 0, "pull"); err != nil {
				t.Fatal(err)
			}
			p0.hear()
			p1.ask(true, "pull")
			p1.hear()
			if len(p0.active) != 0 || len(p1.active) != 1 {
				t.Errorf("the one that waits got %d, the other one %d", len(p0.active), len(p1.active))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pools := map[string]WorkerConfig{"p": {Count: 2}, "q": {Count: 2, Queues: []string{"q"}}}
				th := newTheatre(t, nil, pools)
				run(t, th, th.enter("p/0", "t"), th.enter("p/1", "t"))
				th.check("it")
				th.settle("t", "pull")
			})
		})
	}
}

// must submits a task of main.
func (th *theatre) must(typ string) *asked {
	th.t.Helper()
	a, err := th.submit(nil, typ, 0, nil)
	if err != nil {
		th.t.Fatal(err)
	}
	return a
}

// stuck submits a task for which p/0 waits, while w1, the only other one, does something else.
func (th *theatre) stuck(w1 *puppet) *asked {
	th.t.Helper()
	for len(w1.active) == 0 {
		a := th.must("t")
		for _, w := range th.puppets {
			if w.has(a) {
				w.start(a.taskID())
			}
		}
	}
	a := th.waitsFor("main,p/0")
	if state := th.stateOf(a.job); state != "queued" {
		th.t.Fatalf("it is %s", state)
	}
	return a
}
