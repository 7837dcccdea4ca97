package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The table of states and events in task.go, cell by cell: what each event makes of a task in each
// state. A cell is the next state, or the outcome; "." is that nothing changes, "lie" that the
// worker is accused, and what becomes of the task then follows. Marks of a state are r for
// recalled, c for condemned, x for cut and k for a holder that is being killed.
var tables = []string{`
               blocked    delayed    queued     parked     ended
cancel         cancelled  cancelled  cancelled  cancelled  .
refuse         circle     circle     circle     circle     .
cancelPending  cancelled  cancelled  cancelled  cancelled  .
anHour         .          queued     .          .          .
start          lie/.      lie/.      lie/.      lie/.      lie/.
ok             lie/.      lie/.      lie/.      lie/.      lie/.
tooMany        lie/.      lie/.      lie/.      lie/.      lie/.
nothing        lie/.      lie/.      lie/.      lie/.      lie/.
error          lie/.      lie/.      lie/.      lie/.      lie/.
isCancelled    lie/.      lie/.      lie/.      lie/.      lie/.
retryAfter     lie/.      lie/.      lie/.      lie/.      lie/.
returned       lie/.      lie/.      lie/.      lie/.      lie/.
checkpoint     lie/.      lie/.      lie/.      lie/.      lie/.
split          lie/.      lie/.      lie/.      lie/.      lie/.
splitAtNone    lie/.      lie/.      lie/.      lie/.      lie/.
splitBeyond    lie/.      lie/.      lie/.      lie/.      lie/.
splitAtAll     lie/.      lie/.      lie/.      lie/.      lie/.
recovered      .          .          .          .          .
unsent         .          .          .          .          .
dies           .          .          .          assign     .
retires        .          .          .          .          .
fillerEnds     queued     .          assign     assign     .
anotherComes   queued     .          assign     .          .
anotherWaits   queued     .          assign     .          .
pause          .          .          .          .          .
pauseOther     .          .          .          .          .
resume         .          .          .          .          .
allGone        none       none       none       none       .
otherTypes     unknown    unknown    unknown    unknown    .
removed        none       none       none       none       .
stop           stopped    stopped    stopped    stopped    .
stopAndDie     stopped    stopped    stopped    stopped    .
drain          .          .          .          .          .
end            stopped    stopped    stopped    stopped    .
`, `
               assigned   recalled   cancelled  both
cancel         assign+c   assign+rc  .          .
refuse         assign+c   assign+rc  .          .
cancelPending  .          .          .          .
anHour         .          .          .          .
start          run        run+r      run+c      run+rc
ok             lie/run    lie/run+r  lie/run+c  lie/run+rc
tooMany        lie/run    lie/run+r  lie/run+c  lie/run+rc
nothing        lie/run    lie/run+r  lie/run+c  lie/run+rc
error          lie/run    lie/run+r  lie/run+c  lie/run+rc
isCancelled    lie/run    lie/run+r  cancelled  cancelled
retryAfter     lie/run    lie/run+r  lie/run+c  lie/run+rc
returned       lie/.      assign     lie/.      cancelled
checkpoint     lie/.      lie/.      lie/.      lie/.
split          lie/.      lie/.      lie/.      lie/.
splitAtNone    lie/.      lie/.      lie/.      lie/.
splitBeyond    lie/.      lie/.      lie/.      lie/.
splitAtAll     lie/.      lie/.      lie/.      lie/.
recovered      run        run+r      run+c      run+rc
unsent         error      error      error      error
dies           queued     assign     cancelled  cancelled
retires        assign+r   .          assign+rc  .
fillerEnds     .          .          .          .
anotherComes   .          .          .          .
anotherWaits   assign+r   .          .          .
pause          assign+r   .          assign+rc  .
pauseOther     .          .          .          .
resume         assign+r   .          assign+rc  .
allGone        none       none       cancelled  cancelled
otherTypes     unknown    unknown    cancelled  cancelled
removed        assign+r   .          assign+rc  .
stop           .          .          .          .
stopAndDie     stopped    stopped    cancelled  cancelled
drain          .          .          .          .
end            stopped    stopped    stopped    stopped
`, `
               running    again      pausing    doomed     killed     late       batch      asked      cut
cancel         run+c      run+c      run+c      .          .          .          run+c      run+rc     run+rxc
refuse         .          .          .          .          .          .          .          .          .
cancelPending  .          .          .          .          .          .          .          .          .
anHour         .          .          .          run+ck     .          run+ck     .          .          .
start          lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.
ok             ok         ok         ok         cancelled  .          timeout    ok         ok         ok
tooMany        lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.
nothing        lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.
error          error      assign     delayed    cancelled  .          timeout    error      error      error
isCancelled    cancelled  cancelled  cancelled  cancelled  .          timeout    cancelled  cancelled  cancelled
retryAfter     delayed    delayed    delayed    cancelled  .          timeout    delayed    delayed    delayed
returned       lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.
checkpoint     .          .          .          .          .          .          .          .          .
split          lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      run+rx     lie/.
splitAtNone    lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.
splitBeyond    lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.
splitAtAll     lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      run+rx     lie/.
recovered      .          .          .          .          .          .          .          .          .
unsent         .          .          .          .          .          .          .          .          .
dies           died       queued     delayed    cancelled  cancelled  timeout    died       died       died
retires        .          .          .          .          .          .          .          .          .
fillerEnds     .          .          .          .          .          .          .          .          .
anotherComes   .          .          .          .          .          .          .          .          .
anotherWaits   .          .          .          .          .          .          run+r      .          .
pause          .          .          .          .          .          .          .          .          .
pauseOther     .          .          .          .          .          .          .          .          .
resume         .          .          .          .          .          .          .          .          .
allGone        died       none       none       cancelled  cancelled  timeout    died       died       died
otherTypes     died       unknown    unknown    cancelled  cancelled  timeout    died       died       died
removed        .          .          .          .          .          .          .          .          .
stop           .          .          .          .          .          .          .          .          .
stopAndDie     died       died       died       cancelled  cancelled  timeout    died       died       died
drain          .          .          .          .          .          .          .          .          .
end            stopped    stopped    stopped    stopped    stopped    stopped    stopped    stopped    stopped
`}

// The table with a Backend, which is told what is behind the slash about the lease, if the task has
// one.
const storeTable = `
              stored        later         leased        assigned      running       again         last          ended
cancel        cancelled     cancelled     cancelled/ack assign+c      run+c         run+c         run+c         .
cancelPending cancelled     cancelled     cancelled/ack .             .             .             .             .
anHour        .             .             .             .             .             .             .             .
ok            -             -             -             -             ok/ack        ok/ack        ok/ack        -
error         -             -             -             -             error/ack     assign/retry  error/dead    -
retryAfter    -             -             -             -             delayed/retry delayed/retry delayed/retry -
dies          .             .             .             queued        died/ack      stored/retry  died/dead     .
resume        .             .             assign        assign+r      .             .             .             .
fillerEnds    assign        .             .             .             .             .             .             .
allGone       none          none          none/ack      none/ack      died/ack      none/retry    died/dead     .
stop          stopped       stopped       stopped/back  .             .             .             .             .
stopAndDie    stopped       stopped       stopped/back  stopped/back  died/ack      died/retry    died/dead     .
stopAndFail   stopped       stopped       stopped/back  .             error/ack     error/retry   error/dead    .
stopAndDelay  stopped       stopped       stopped/back  .             error/retry   error/retry   error/retry   .
end           stopped       stopped       stopped/back  stopped/back  stopped/retry stopped/retry stopped/retry .
leaseLost     -             -             .             .             .             .             .             -
noRetry       error         error         .             .             .             .             .             .
`

// scene is a task in one of its states, and who is around: the worker p/0, which has the task or
// does something else, and perhaps p/1.
type scene struct {
	*stage
	w      Worker
	filler *Task // what w does instead
	t      *Task
}

var laneT = Lane{Queue: "q", Type: "t"}

// ask submits the task of the scene.
func (s *scene) ask(items int32, o *Options) {
	s.t = &Task{Items: items, Options: o}
	s.submit(s.t, laneT)
}

// fill gives w something else to do.
func (s *scene) fill(o *Options) {
	s.filler = &Task{Options: o}
	s.submit(s.filler, laneT)
	s.honest(s.q.Began(s.w, s.filler.id, s.now))
}

func (s *scene) run() { s.honest(s.q.Began(s.w, s.t.id, s.now)) }

func (s *scene) another() { s.enter("p/1", []string{"t"}, nil) }

// cutShort has the batch of the scene be asked to split.
func (s *scene) cutShort() {
	s.another()
	s.pass(2 * splitTime)
}

// ends ends the filler.
func (s *scene) ends() {
	if s.filler != nil && s.filler.state == running {
		s.honest(s.q.Ended(s.w, s.filler.id, Verdict{}, s.now))
	}
}

var (
	twice   = &Options{Attempts: 2, First: 1}
	pausing = &Options{Attempts: 2, First: time.Minute, Max: time.Hour}
	patient = &Options{Grace: time.Minute}
	keyed   = &Options{Key: "k"}
)

var scenes = map[string]func(s *scene){
	"blocked": func(s *scene) { s.fill(nil); s.submit(&Task{}, laneT); s.ask(0, nil) },
	"delayed": func(s *scene) { s.fill(nil); s.ask(0, &Options{Delay: 30 * time.Minute}) },
	"queued":  func(s *scene) { s.fill(nil); s.ask(0, nil) },
	"parked":  func(s *scene) { s.fill(keyed); s.another(); s.ask(0, keyed) },
	"ended":   func(s *scene) { s.ask(0, nil); s.run(); s.honest(s.q.Ended(s.w, s.t.id, Verdict{}, s.now)) },

	"assigned": func(s *scene) { s.ask(0, nil) },
	"recalled": func(s *scene) {
		s.fill(nil)
		s.pass(time.Microsecond)
		s.ends() // it is a quick one, and gets tasks ahead
		s.fill(nil)
		s.ask(0, nil)
		s.another()
	},
	"cancelled": func(s *scene) { s.ask(0, nil); s.cancel() },
	"both": func(s *scene) {
		s.ask(0, nil)
		s.cancel()
		s.q.Pause("q", true)
		s.q.Pause("q", false)
	},

	"running": func(s *scene) { s.ask(0, nil); s.run() },
	"again":   func(s *scene) { s.ask(0, twice); s.run() },
	"pausing": func(s *scene) { s.ask(0, pausing); s.run() },
	"doomed":  func(s *scene) { s.ask(0, patient); s.run(); s.cancel() },
	"killed":  func(s *scene) { s.ask(0, patient); s.run(); s.cancel(); s.pass(time.Hour) },
	"late": func(s *scene) {
		s.ask(0, &Options{Timeout: time.Minute, Grace: time.Minute})
		s.run()
		s.pass(time.Minute + time.Second)
	},
	"batch": func(s *scene) { s.ask(8, nil); s.run() },
	"asked": func(s *scene) { s.ask(8, nil); s.run(); s.cutShort() },
	"cut":   func(s *scene) { s.ask(8, nil); s.run(); s.cutShort(); s.honest(s.q.Split(s.w, s.t.id, 3)) },
}

var storeScenes = map[string]func(s *scene){
	"stored":   func(s *scene) { s.fill(nil); s.ask(0, nil) },
	"later":    func(s *scene) { s.fill(nil); s.ask(0, &Options{Delay: 30 * time.Minute}) },
	"assigned": func(s *scene) { s.ask(0, nil) },
	"running":  func(s *scene) { s.ask(0, nil); s.run() },
	"again":    func(s *scene) { s.ask(0, twice); s.run() },
	"leased": func(s *scene) {
		s.ask(0, nil)
		s.q.Pause("q", true)
		s.honest(s.q.Returned(s.w, s.t.id))
	},
	"last": func(s *scene) {
		s.ask(0, twice)
		s.run()
		s.honest(s.q.Ended(s.w, s.t.id, Verdict{Kind: Failed}, s.now))
		s.run()
	},
	"ended": scenes["ended"],
}

func (s *scene) cancel() { s.q.Cancel(s.t, false, s.now); s.carryOut() }

// result is what w says of the task.
func (s *scene) result(v Verdict) Lie {
	lie := s.q.Ended(s.w, s.t.id, v, s.now)
	s.carryOut()
	return lie
}

// success is a result with outcomes for so many items more than there are.
func (s *scene) success(more int32) Verdict {
	if s.t.Items == 0 && more == 0 {
		return Verdict{}
	}
	return Verdict{Batch: true, Items: Tally{OK: s.t.Items + more}}
}

func (s *scene) splits(from uint64) Lie {
	lie := s.q.Split(s.w, s.t.id, from)
	s.carryOut()
	return lie
}

func nothing(fn func(s *scene)) func(s *scene) Lie {
	return func(s *scene) Lie {
		fn(s)
		s.carryOut()
		return Lie{}
	}
}

// happenings are the events. What they return is what a worker is accused of.
var happenings = map[string]func(s *scene) Lie{
	"cancel":        nothing(func(s *scene) { s.cancel() }),
	"refuse":        nothing(func(s *scene) { s.q.Refuse(s.t, s.now) }),
	"cancelPending": nothing(func(s *scene) { s.q.CancelPending("q") }),
	"anHour":        nothing(func(s *scene) { s.pass(time.Hour) }),
	"start":         func(s *scene) Lie { lie := s.q.Began(s.w, s.t.id, s.now); s.carryOut(); return lie },
	"ok":            func(s *scene) Lie { return s.result(s.success(0)) },
	"tooMany":       func(s *scene) Lie { return s.result(s.success(1)) },
	"nothing":       func(s *scene) Lie { return s.result(Verdict{Batch: true}) },
	"error":         func(s *scene) Lie { return s.result(Verdict{Kind: Failed}) },
	"isCancelled":   func(s *scene) Lie { return s.result(Verdict{Kind: Cancelled}) },
	"retryAfter":    func(s *scene) Lie { return s.result(Verdict{Kind: Failed, After: time.Minute}) },
	"returned":      func(s *scene) Lie { lie := s.q.Returned(s.w, s.t.id); s.carryOut(); return lie },
	"checkpoint":    func(s *scene) Lie { _, lie := s.q.Checkpoint(s.w, s.t.id, 1000); s.carryOut(); return lie },
	"split":         func(s *scene) Lie { return s.splits(3) },
	"splitAtNone":   func(s *scene) Lie { return s.splits(0) },
	"splitAtAll":    func(s *scene) Lie { return s.splits(8) }, // it has begun with all of them
	"splitBeyond":   func(s *scene) Lie { return s.splits(9) },
	"recovered":     nothing(func(s *scene) { s.q.Recovered(s.w, s.t.id, s.now) }),
	"unsent":        nothing(func(s *scene) { s.q.Unsent(s.w, s.t.id, "too large") }),
	"dies":          nothing(func(s *scene) { s.die("p/0") }),
	"retires":       nothing(func(s *scene) { s.q.Retire(s.w) }),
	"fillerEnds":    nothing(func(s *scene) { s.ends() }),
	"anotherComes":  nothing(func(s *scene) { s.comes() }),
	"anotherWaits":  nothing(func(s *scene) { s.comes(); s.pass(3 * sitTime) }),
	"pause":         nothing(func(s *scene) { s.q.Pause("q", true) }),
	"pauseOther":    nothing(func(s *scene) { s.q.Pause("other", true) }),
	"resume":        nothing(func(s *scene) { s.q.Pause("", true); s.q.Pause("", false) }),
	"allGone": nothing(func(s *scene) {
		for _, name := range []string{"p/1", "p/0"} {
			s.die(name)
			s.q.Gone(s.slots[name], "it is not replaced")
		}
	}),
	"otherTypes": nothing(func(s *scene) {
		s.die("p/1")
		s.die("p/0")
		s.enter("p/1", []string{"other"}, nil)
		s.enter("p/0", []string{"another"}, nil)
	}),
	"removed": nothing(func(s *scene) { // the pool is to be empty: its workers end between two tasks
		s.q.Gone(s.slots["p/1"], "it is not replaced")
		s.q.Last(s.slots["p/0"])
		for _, name := range []string{"p/1", "p/0"} {
			s.q.Retire(s.workers[name])
		}
	}),
	"stop":       nothing(func(s *scene) { s.q.Stop(false) }),
	"stopAndDie": nothing(func(s *scene) { s.q.Stop(false); s.die("p/0") }),
	"drain":      nothing(func(s *scene) { s.q.Stop(true) }),
	"end":        nothing(func(s *scene) { s.q.End() }),
	"stopAndFail": nothing(func(s *scene) {
		s.q.Stop(false)
		if s.t.state == running {
			s.result(Verdict{Kind: Failed})
		}
	}),
	"stopAndDelay": nothing(func(s *scene) {
		s.q.Stop(false)
		if s.t.state == running {
			s.result(Verdict{Kind: Failed, After: time.Minute})
		}
	}),
	"leaseLost": nothing(func(s *scene) {
		if !s.q.Arrived(s.t) {
			s.Errorf("the new lease does not take the place of the old one")
		}
	}),
	"noRetry": nothing(func(s *scene) { s.q.Unstored(s.t, "the disk is full") }),
}

// comes has another worker become ready, if it is not there.
func (s *scene) comes() {
	if s.workers["p/1"] == 0 {
		s.another()
	}
}

// state is the state of the task as the table says it, or its outcome.
func (s *scene) state() string {
	t := s.t
	if v := s.outcomes[t]; len(v) > 0 {
		return [...]string{
			Done: "ok", Failed: "error", Died: "died", TimedOut: "timeout", Cancelled: "cancelled", Stopped: "stopped",
			NoWorker: "none", Unknown: "unknown", Cycle: "circle",
		}[v[0].Kind]
	}
	return strings.NewReplacer("assigned", "assign", "running", "run", "ended", "?").Replace(t.State())
}

// rows yields the cells of a table.
func rows(t *testing.T, table string, cell func(state, event, want string)) {
	var states []string
	for line := range strings.SplitSeq(strings.TrimSpace(table), "\n") {
		cells := strings.Fields(line)
		if states == nil {
			states = cells
			continue
		}
		if len(cells) != len(states)+1 || happenings[cells[0]] == nil {
			t.Fatalf("the row of %s is not like the others", cells[0])
		}
		for i, want := range cells[1:] {
			if want != "-" {
				cell(states[i], cells[0], want)
			}
		}
	}
}

// newScene brings a task into a state.
func newScene(t *testing.T, scenes map[string]func(s *scene), state string, c Config) *scene {
	s := &scene{stage: newStage(t, c)}
	s.addPool(PoolOptions{Queues: []string{"q"}, Prefetch: 64}, "p/0", "p/1")
	s.w = s.enter("p/0", []string{"t"}, nil)
	scenes[state](s)
	s.carryOut()
	return s
}

func TestTable(t *testing.T) {
	tried := map[string]bool{}
	for _, table := range tables {
		rows(t, table, func(state, event, want string) {
			tried[state+event] = true
			t.Run(fmt.Sprintf("%s/%s", event, state), func(t *testing.T) {
				s := newScene(t, scenes, state, Config{Limit: 1, DeadLimit: 9})
				before := s.state()
				lie := happenings[event](s)
				what, isLie := strings.CutPrefix(want, "lie/")
				if isLie != lie.Told() {
					t.Errorf("the worker is accused of %d", lie.Kind)
				}
				if what == "." {
					what = before
				}
				if now := s.state(); now != what || len(s.outcomes[s.t]) > 1 {
					t.Errorf("it was %s and is %s (%v), and should be %s", before, now, s.outcomes[s.t], what)
				}
			})
		})
	}
	if want := len(scenes) * 34; len(tried) != want {
		t.Errorf("%d cells were tried, and there are %d", len(tried), want)
	}
}

func TestTableOfTheBackend(t *testing.T) {
	rows(t, storeTable, func(state, event, want string) {
		t.Run(fmt.Sprintf("%s/%s", event, state), func(t *testing.T) {
			s := newScene(t, storeScenes, state, Config{Limit: 9, DeadLimit: 9, Stored: true})
			it := s.store[slices.IndexFunc(s.store, func(it *storedTask) bool { return it.Task == s.t })]
			before := s.state()
			it.told = nil
			happenings[event](s)
			now := s.state()
			if len(it.told) > 0 {
				now += "/" + strings.Join(it.told, ",")
			}
			if want == "." {
				want = before
			}
			if now != want {
				t.Errorf("it was %s and is %s, and should be %s", before, now, want)
			}
		})
	})
}
