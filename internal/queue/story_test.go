package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestStories plays the conversations in testdata. What is said in one is an event, and below it
// stands what the rules want done. With -rewrite the answers are written anew.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &story{tasks: map[string]*Task{}, names: map[*Task]string{}}
		datadriven.RunTest(t, path, s.tell)
	})
}

// story is a stage whose tasks have names.
type story struct {
	*stage
	tasks map[string]*Task
	names map[*Task]string
}

// tell has something happen, and returns what is to be done about it.
func (s *story) tell(t *testing.T, d *datadriven.TestData) string {
	if d.Cmd == "queue" {
		limit := 100
		d.MaybeScanArgs(t, "limit", &limit)
		s.stage = newStage(t, Config{Limit: limit, DeadLimit: 10})
		return ""
	}
	s.effects = nil
	lie := s.event(t, d)
	s.carryOut()
	var b strings.Builder
	if lie.Told() {
		fmt.Fprintf(&b, "a lie: %s\n", lieNames[lie.Kind])
	}
	for i := range s.effects {
		s.write(&b, &s.effects[i])
	}
	if b.Len() == 0 {
		return "ok\n"
	}
	return b.String()
}

// event is what happens.
func (s *story) event(t *testing.T, d *datadriven.TestData) Lie {
	arg := func(i int) string {
		if i < len(d.CmdArgs) {
			return d.CmdArgs[i].Key
		}
		return ""
	}
	task, w := s.tasks[arg(1)], s.workers[arg(0)]
	switch d.Cmd {
	case "pool":
		s.pool(t, d)
	case "ready":
		var handles, pulls []string
		for _, a := range d.CmdArgs {
			switch a.Key {
			case "takes":
				handles = a.Vals
			case "asks-for":
				pulls = a.Vals
			}
		}
		s.lives++
		s.workers[arg(0)] = s.lives
		return s.q.Enter(s.lives, s.slots[arg(0)], handles, pulls)
	case "submit":
		return s.asks(t, d)
	case "begins":
		return s.q.Began(w, task.id, s.now)
	case "ends":
		v := Verdict{Kind: Done}
		switch arg(2) {
		case "failed":
			v.Kind = Failed
		case "cancelled":
			v.Kind = Cancelled
		}
		v.Final = arg(3) == "for-good"
		if task.Items > 0 && v.Kind == Done {
			v.Batch, v.Items = true, Tally{OK: task.Items}
		}
		return s.q.Ended(w, task.id, v, s.now)
	case "returns":
		return s.q.Returned(w, task.id)
	case "splits":
		var from uint64
		d.ScanArgs(t, "behind", &from)
		return s.q.Split(w, task.id, from)
	case "asks":
		return s.q.Fetch(w, 1, slices.Values([]string{arg(1)}), true)
	case "dies":
		delete(s.workers, arg(0))
		if s.q.Leave(w, Death{}, s.now) {
			s.effects = append(s.effects, Effect{})
		}
	case "gone":
		s.q.Gone(s.slots[arg(0)], nil)
	case "retire":
		s.q.Retire(w)
	case "cancel":
		s.q.Cancel(s.tasks[arg(0)], false, s.now)
	case "pause":
		s.q.Pause(arg(0), true)
	case "resume":
		s.q.Pause(arg(0), false)
	case "pause-for":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			t.Fatal(err)
		}
		s.q.PauseUntil(strings.TrimPrefix(arg(0), "every"), s.now+d, s.now)
	case "stop":
		s.q.Stop(arg(0) == "drain")
	case "retry-dead":
		s.q.RetryDead(nil, func(*Task, Refusal) {})
	case "pass":
		passed, err := time.ParseDuration(arg(0))
		if err != nil {
			t.Fatal(err)
		}
		s.pass(passed)
	default:
		t.Fatalf("%s: nobody knows what %s is", d.Pos, d.Cmd)
	}
	return Lie{}
}

// pool adds a pool.
func (s *story) pool(t *testing.T, d *datadriven.TestData) {
	o := PoolOptions{Prefetch: 64, Queues: []string{"default"}}
	d.MaybeScanArgs(t, "prefetch", &o.Prefetch)
	d.MaybeScanArgs(t, "max-tasks", &o.MaxTasks)
	var slots []string
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "slots":
			slots = a.Vals
		case "queues":
			o.Queues = a.Vals
		}
	}
	s.addPool(o, slots...)
}

// asks submits a task.
func (s *story) asks(t *testing.T, d *datadriven.TestData) Lie {
	o, to := &Options{First: time.Second}, Lane{Queue: "default", Type: "work"}
	task := &Task{Options: o}
	var key, timeout, grace, priority string
	var items int
	for name, to := range map[string]any{
		"queue": &to.Queue, "type": &to.Type, "attempts": &o.Attempts, "key": &key, "timeout": &timeout,
		"grace": &grace, "priority": &priority, "items": &items,
	} {
		if d.HasArg(name) {
			d.ScanArgs(t, name, to)
		}
	}
	o.Key = key
	o.Timeout, _ = time.ParseDuration(timeout)
	o.Grace, _ = time.ParseDuration(grace)
	task.Items = int32(items)
	to.Priority = map[string]Priority{"high": High, "low": Low}[priority]
	var waiting []Slot
	for _, a := range d.CmdArgs {
		if a.Key == "waited-for-by" {
			for _, name := range a.Vals {
				waiting = append(waiting, s.slots[name])
			}
		}
	}
	name := d.CmdArgs[0].Key
	s.tasks[name], s.names[task] = task, name
	r, lie := s.q.Submit(task, to, waiting, !d.HasArg("at-once"), s.now)
	if r.Refused() {
		s.effects = append(s.effects, Effect{Task: task, N: uint64(r.Kind)})
	}
	return lie
}

var lieNames = map[LieKind]string{
	NotHeld: "it does not have that task", BegunTwice: "it began with it twice", NotBegun: "it had not begun with it",
	ReturnedBegun: "it had begun with it", NotRecalled: "it was not asked to", SplitTwice: "it has split it",
	SplitBeyond: "there are not so many items", NotDeclared: "it has not declared the type",
}

var kindNames = [...]string{
	Done: "done", Failed: "failed", Died: "its worker died", TimedOut: "its time was over", Cancelled: "cancelled",
	Stopped: "the program ends", NoWorker: "the workers that took it are gone", Unknown: "no worker takes it",
	Cycle: "who takes it waits for it",
}

// write writes down an effect.
func (s *story) write(b *strings.Builder, e *Effect) {
	name, w := s.names[e.Task], ""
	for slot, id := range s.workers {
		if id == e.Worker {
			w = slot
		}
	}
	say := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	switch e.Kind {
	case 0:
		if e.Task == nil {
			say("it is to blame")
		} else {
			say("%s is refused: %s", name, refusalNames[RefusalKind(e.N)])
		}
	case Admitted:
		say("%s is in the queue", name)
	case Assign:
		how := ""
		if e.N != 0 {
			how = ", who has asked"
		}
		say("%s -> %s%s (attempt %d)", name, w, how, e.Task.Attempt())
	case Recall:
		say("%s, give %s back", w, name)
	case Cancel:
		say("%s, %s is cancelled", w, name)
	case Dump:
		say("%s, where are you?", w)
	case Kill:
		say("kill %s, for %s does not end", w, name)
	case NoTask:
		say("%s, there is no task", w)
	case Retired:
		say("%s may go", w)
	case Shrunk:
		say("%s has %d items now", name, e.N)
	case Again:
		say("%s is tried again in %v: %s", name, e.After, kindNames[e.Verdict.Kind])
	case Outcome:
		letter := [...]string{NewLetter: ", and is a dead letter", OldLetter: ", and is a dead letter again"}
		say("%s has ended: %s%s", name, kindNames[e.Verdict.Kind], letter[e.Letter])
	case Idle:
		say("nothing is left")
	}
}

var refusalNames = map[RefusalKind]string{
	RefusedStop: "the program ends", RefusedFull: "the queue is full", RefusedLost: kindNames[NoWorker],
	RefusedType: kindNames[Unknown], RefusedCircle: kindNames[Cycle],
}
