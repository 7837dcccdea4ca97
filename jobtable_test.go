package multiprolab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// The table of states and events in internal/queue, cell by cell, as workers and submitters see it:
// what each event makes of a job in each state. A cell is the next state and, if that is ended, the
// outcome; "." is that nothing changes, "lie" that main accuses the worker, and what becomes of the
// job then follows. What the states are is in scenes, what the events are in happenings; who
// submits the job makes no difference.
var jobTables = []string{`
               blocked    delayed    queued     parked     ended
cancel         cancelled  cancelled  cancelled  cancelled  .
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
split          lie/.      lie/.      lie/.      lie/.      lie/.
splitAtNone    lie/.      lie/.      lie/.      lie/.      lie/.
splitBeyond    lie/.      lie/.      lie/.      lie/.      lie/.
splitAtAll     lie/.      lie/.      lie/.      lie/.      lie/.
progress       .          .          .          .          .
checkpoint     lie/.      lie/.      lie/.      lie/.      lie/.
dies           .          .          .          assign     .
leaves         .          .          .          assign     .
retires        .          .          .          .          .
fillerEnds     queued     .          assign     assign     .
anotherComes   queued     .          assign     .          .
anotherWaits   queued     .          assign     .          .
pause          .          .          .          .          .
pauseOther     .          .          .          .          .
resume         .          .          .          .          .
allGone        none       none       none       none       .
otherTypes     unknown    unknown    unknown    unknown    .
stop           stopped    stopped    stopped    stopped    .
stopAndDie     stopped    stopped    stopped    stopped    .
drain          .          .          .          .          .
submitterDies  .          .          .          .          .
end            stopped    stopped    stopped    stopped    .
`, `
               assigned   recalled   cancelled  both
cancel         assign+c   assign+rc  .          .
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
split          lie/.      lie/.      lie/.      lie/.
splitAtNone    lie/.      lie/.      lie/.      lie/.
splitBeyond    lie/.      lie/.      lie/.      lie/.
splitAtAll     lie/.      lie/.      lie/.      lie/.
progress       .          .          .          .
checkpoint     lie/.      lie/.      lie/.      lie/.
dies           queued     assign     cancelled  cancelled
leaves         queued     assign     cancelled  cancelled
retires        assign+r   .          assign+rc  .
fillerEnds     .          .          .          .
anotherComes   .          .          .          .
anotherWaits   assign+r   .          .          .
pause          assign+r   .          assign+rc  .
pauseOther     .          .          .          .
resume         assign+r   .          assign+rc  .
allGone        none       none       cancelled  cancelled
otherTypes     unknown    unknown    cancelled  cancelled
stop           .          .          .          .
stopAndDie     stopped    stopped    cancelled  cancelled
drain          .          .          .          .
submitterDies  .          .          .          .
end            stopped    stopped    stopped    stopped
`, `
               running    again      pausing    doomed     killed     late       batch      asked      cut
cancel         run+c      run+c      run+c      .          .          .          run+c      run+rc     run+rxc
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
split          lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      run+rx     lie/.
splitAtNone    lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.
splitBeyond    lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.
splitAtAll     lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      lie/.      run+rx     lie/.
progress       .          .          .          .          .          .          .          .          .
checkpoint     .          .          .          .          .          .          .          .          .
dies           died       queued     delayed    cancelled  cancelled  timeout    died       died       died
leaves         died       queued     delayed    cancelled  cancelled  timeout    died       died       died
retires        .          .          .          .          .          .          .          .          .
fillerEnds     .          .          .          .          .          .          .          .          .
anotherComes   .          .          .          .          .          .          .          .          .
anotherWaits   .          .          .          .          .          .          run+r      .          .
pause          .          .          .          .          .          .          .          .          .
pauseOther     .          .          .          .          .          .          .          .          .
resume         .          .          .          .          .          .          .          .          .
allGone        died       none       none       cancelled  cancelled  timeout    died       died       died
otherTypes     died       unknown    unknown    cancelled  cancelled  timeout    died       died       died
stop           .          .          .          .          .          .          .          .          .
stopAndDie     died       died       died       cancelled  cancelled  timeout    died       died       died
drain          .          .          .          .          .          .          .          .          .
submitterDies  .          .          .          .          .          .          .          .          .
end            stopped    stopped    stopped    stopped    stopped    stopped    stopped    stopped    stopped
`}

// scene is a job in one of its states, and who is around: w, which has the job or does something
// else, and perhaps another worker.
type scene struct {
	*theatre
	w      *puppet
	by     *puppet // the submitter, if it is not main
	filler *asked  // what w does instead
	a      *asked  // the job
	j      *job
	items  int
	paused bool // the queue is
}

// ask submits the job of the scene.
func (s *scene) ask(items int, o *TaskOptions) {
	s.t.Helper()
	by := s.by
	if items > 0 { // only main has batches
		by = nil
	}
	s.items = items
	s.a = s.submits(by, items, o)
	s.j = s.a.job
}

func (s *scene) submits(by *puppet, items int, o *TaskOptions) *asked {
	s.t.Helper()
	a, err := s.submit(by, "t", items, o)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// fill gives w something else to do.
func (s *scene) fill(o *TaskOptions) {
	s.filler = s.submits(nil, 0, o)
	s.w.hear()
	s.w.start(s.filler.taskID())
}

// run has w start with the job.
func (s *scene) run() {
	s.w.hear()
	s.w.start(s.a.taskID())
}

// another has another worker become ready.
func (s *scene) another() { s.enter("p/1", "t") }

const (
	// sitTime is how long a task sits with a worker that does not begin with it, for the first
	// time.
	sitTime = 2 * time.Millisecond
	// splitTime is how long a batch runs before it is split.
	splitTime = 2 * time.Millisecond
)

// cutShort has the batch of the scene be asked to split.
func (s *scene) cutShort() {
	s.another()
	time.Sleep(2 * splitTime)
	s.w.hear()
}

var scenes = map[string]func(s *scene){
	"blocked": func(s *scene) { s.fill(nil); s.submits(nil, 0, nil); s.ask(0, nil) },
	"delayed": func(s *scene) { s.fill(nil); s.ask(0, &TaskOptions{Delay: 30 * time.Minute}) },
	"queued":  func(s *scene) { s.fill(nil); s.ask(0, nil) },
	"parked": func(s *scene) {
		s.fill(&TaskOptions{Key: "k"})
		s.another()
		s.ask(0, &TaskOptions{Key: "k"})
	},
	"assigned": func(s *scene) { s.ask(0, nil) },
	"recalled": func(s *scene) {
		s.fill(nil)
		time.Sleep(time.Microsecond)
		s.w.end(s.filler.taskID(), nil) // it is a quick one, and gets tasks ahead
		s.fill(nil)
		s.ask(0, nil)
		s.another()
	},
	"cancelled": func(s *scene) { s.ask(0, nil); s.a.cancel() },
	"both": func(s *scene) {
		s.ask(0, nil)
		s.a.cancel()
		s.broker.pause(DefaultQueue, true)
		s.broker.pause(DefaultQueue, false)
	},
	"running": func(s *scene) { s.ask(0, nil); s.run() },
	"again":   func(s *scene) { s.ask(0, &TaskOptions{Attempts: 2, Retry: RetryPolicy{First: 1}}); s.run() },
	"pausing": func(s *scene) {
		s.ask(0, &TaskOptions{Attempts: 2, Retry: RetryPolicy{First: time.Minute, Max: time.Hour}})
		s.run()
	},
	"doomed": func(s *scene) { s.ask(0, &TaskOptions{Grace: time.Minute}); s.run(); s.a.cancel() },
	"killed": func(s *scene) {
		s.ask(0, &TaskOptions{Grace: time.Minute})
		s.run()
		s.a.cancel()
		time.Sleep(time.Hour)
	},
	"late": func(s *scene) {
		s.ask(0, &TaskOptions{Timeout: time.Minute, Grace: time.Minute})
		s.run()
		time.Sleep(time.Minute + time.Second)
	},
	"batch": func(s *scene) { s.ask(8, nil); s.run() },
	"asked": func(s *scene) { s.ask(8, nil); s.run(); s.cutShort() },
	"cut": func(s *scene) {
		s.ask(8, nil)
		s.run()
		s.cutShort()
		if err := s.splits(3); err != nil {
			s.t.Fatal(err)
		}
		s.items = 3
	},
	"ended": func(s *scene) { s.ask(0, nil); s.run(); s.w.end(s.a.taskID(), nil) },
}

// result is what w says of the job.
func (s *scene) result(items int, err error) error {
	f := resultFrame(s.a.taskID(), items, err)
	s.w.hear()
	s.w.drop(s.a.taskID())
	return s.w.try(f)
}

// splits is what w says when it gives items of the job back.
func (s *scene) splits(from uint64) error {
	s.w.hear()
	delete(s.w.recalled, s.a.taskID())
	return s.w.try(wire.NewSplit(s.a.taskID(), from))
}

// happenings are the events. What they return is why a worker is accused.
var happenings = map[string]func(s *scene) error{
	"cancel":        func(s *scene) error { s.a.cancel(); return nil },
	"cancelPending": func(s *scene) error { s.Tasks().CancelPending(DefaultQueue); return nil },
	"anHour":        func(s *scene) error { time.Sleep(time.Hour); return nil },
	"start": func(s *scene) error {
		s.w.hear()
		if slices.ContainsFunc(s.w.waiting, func(f wire.Frame) bool { return f.ID == s.a.taskID() }) {
			s.w.start(s.a.taskID())
			return nil
		}
		return s.w.try(&wire.Frame{Kind: wire.Start, ID: s.a.taskID()})
	},
	"ok":      func(s *scene) error { return s.result(s.items, nil) },
	"tooMany": func(s *scene) error { return s.result(s.items+1, nil) },
	"nothing": func(s *scene) error {
		s.w.hear()
		s.w.drop(s.a.taskID())
		return s.w.try(&wire.Frame{Kind: wire.Result, ID: s.a.taskID(), Flags: wire.FlagBatch})
	},
	"error":       func(s *scene) error { return s.result(0, &RemoteError{Text: "no"}) },
	"isCancelled": func(s *scene) error { return s.result(0, ErrCancelled) },
	"retryAfter":  func(s *scene) error { return s.result(0, &RemoteError{Text: "not yet", after: time.Minute}) },
	"returned": func(s *scene) error {
		s.w.hear()
		s.w.drop(s.a.taskID())
		return s.w.try(&wire.Frame{Kind: wire.Returned, ID: s.a.taskID()})
	},
	"split":       func(s *scene) error { return s.splits(3) },
	"splitAtNone": func(s *scene) error { return s.splits(0) },
	"splitAtAll":  func(s *scene) error { return s.splits(8) }, // it has begun with all of them
	"splitBeyond": func(s *scene) error { return s.splits(9) },
	"checkpoint":  func(s *scene) error { return s.w.try(&wire.Frame{Kind: wire.Checkpoint, ID: s.a.taskID()}) },
	"progress":    func(s *scene) error { return s.w.try(&wire.Frame{Kind: wire.Progress, ID: s.a.taskID(), Type: "t"}) },
	"dies":        func(s *scene) error { s.w.die(s.w.death()); return nil },
	"leaves":      func(s *scene) error { s.w.die(nil); return nil },
	"retires":     func(s *scene) error { s.broker.retire(s.w.peer); return nil },
	"fillerEnds": func(s *scene) error {
		if s.filler != nil && s.stateOf(s.filler.job) == "running" {
			s.w.end(s.filler.taskID(), nil)
		}
		return nil
	},
	"anotherComes": func(s *scene) error { s.comes(); return nil },
	"anotherWaits": func(s *scene) error { s.comes(); time.Sleep(3 * sitTime); return nil },
	"pause":        func(s *scene) error { s.Tasks().Pause(DefaultQueue); return nil },
	"pauseOther":   func(s *scene) error { s.Tasks().Pause("other"); return nil },
	"resume":       func(s *scene) error { s.Tasks().Pause(""); s.Tasks().Resume(""); return nil },
	"allGone": func(s *scene) error {
		for _, name := range []string{"p/1", "p/0"} {
			s.lives(name, func(w *puppet) { w.die(w.death()) })
			s.bury(s.slot(name), errors.New("it is not replaced"))
		}
		return nil
	},
	"otherTypes": func(s *scene) error {
		for _, name := range []string{"p/1", "p/0"} {
			s.lives(name, func(w *puppet) { w.die(w.death()) })
		}
		s.enter("p/1", "other")
		s.enter("p/0", "another")
		return nil
	},
	"stop": func(s *scene) error { s.broker.stop(ErrStopped, false); return nil },
	"stopAndDie": func(s *scene) error {
		s.broker.stop(ErrStopped, false)
		s.w.die(s.w.death())
		return nil
	},
	"drain": func(s *scene) error { s.broker.stop(ErrStopped, true); return nil },
	"submitterDies": func(s *scene) error {
		if s.by != nil {
			s.by.die(s.by.death())
		}
		return nil
	},
	"end": func(s *scene) error { // no worker is left by then
		s.broker.end(ErrStopped)
		if s.by != nil {
			s.by.hear()
		}
		s.puppets = nil
		return nil
	},
}

// comes has another worker become ready, if it is not there.
func (s *scene) comes() {
	there := false
	s.lives("p/1", func(*puppet) { there = true })
	if !there {
		s.another()
	}
}

// lives calls fn with the puppet of an instance, if it lives.
func (s *scene) lives(name string, fn func(w *puppet)) {
	for _, w := range slices.Clone(s.puppets) {
		if w.slot().name == name {
			fn(w)
		}
	}
}

// stateOf is the state of a job, without what is to become of it.
func (th *theatre) stateOf(j *job) string {
	th.broker.mu.Lock()
	defer th.broker.mu.Unlock()
	state, _, _ := strings.Cut(j.State(), "+")
	return state
}

// state is the state of the job as the table says it.
func (s *scene) state() string {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	return strings.NewReplacer("assigned", "assign", "running", "run").Replace(s.j.State())
}

// outcome names the outcome of the job.
func outcomeOf(err error) string {
	var died *WorkerDiedError
	var timeout *TimeoutError
	var none *NoWorkerError
	var unknown *UnknownTypeError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrCancelled):
		return "cancelled"
	case errors.Is(err, ErrStopped):
		return "stopped"
	case errors.As(err, &none):
		return "none"
	case errors.As(err, &unknown):
		return "unknown"
	case errors.As(err, &died):
		return "died"
	case errors.As(err, &timeout):
		return "timeout"
	}
	return "error"
}

// newScene brings a job into a state.
func newScene(t *testing.T, state string, byWorker bool) *scene {
	pools := map[string]WorkerConfig{"p": {Count: 2}, "sub": {Queues: []string{"none"}}}
	s := &scene{theatre: newTheatre(t, &Config{QueueLimit: 1}, pools)}
	if byWorker {
		s.by = s.enter("sub/0", "nothing")
	}
	s.w = s.enter("p/0", "t")
	scenes[state](s)
	s.check("the making of the scene")
	return s
}

func TestJobTable(t *testing.T) {
	var states []string
	tried := 0
	for line := range strings.SplitSeq(strings.Join(jobTables, ""), "\n") {
		cells := strings.Fields(line)
		switch {
		case len(cells) == 0:
			states = nil
			continue
		case states == nil:
			states = cells
			continue
		}
		event := cells[0]
		if len(cells) != len(states)+1 || happenings[event] == nil {
			t.Fatalf("the row of %s is not like the others", event)
		}
		for i, want := range cells[1:] {
			for _, by := range []string{"main", "a worker"} {
				tried++
				t.Run(fmt.Sprintf("%s/%s/of %s", event, states[i], by), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						tryCell(t, newScene(t, states[i], by != "main"), event, want)
					})
				})
			}
		}
	}
	if want := 2 * len(scenes) * len(happenings); tried != want {
		t.Errorf("%d cells were tried, and there are %d", tried, want)
	}
}

// tryCell has an event happen in a scene.
func tryCell(t *testing.T, s *scene, event, want string) {
	before := s.state()
	had, _ := s.a.look()
	lie := happenings[event](s)
	synctest.Wait()
	what, isLie := strings.CutPrefix(want, "lie/")
	if isLie != (lie != nil) {
		t.Errorf("the worker is accused: %v", lie)
	}
	now := s.state()
	if what == "." {
		if now != before {
			t.Errorf("it is %s now, and was %s", now, before)
		}
	} else if got := now; got == "ended" && had == 0 {
		n, err := s.a.look()
		if got = outcomeOf(err); got != what || n != 1 {
			t.Errorf("its outcome is %s (%v), %d times; it should be %s", got, err, n, what)
		}
	} else if got != what {
		t.Errorf("it is %s, and should be %s", got, what)
	}
	if t.Failed() {
		return
	}
	if event != "end" {
		s.check(event)
	}
	if lie != nil {
		s.w.die(s.w.death())
		s.check("the end of the liar")
	}
	s.settle("t")
}
