package queue

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// These tests are about what the table and the simulation do not say by name.

// players is a stage with two pools, of which that of "a" takes "t" and asks for "p".
func players(t *testing.T, c Config) *stage {
	if c.Limit == 0 {
		c.Limit = 100
	}
	s := newStage(t, c)
	s.addPool(PoolOptions{Queues: []string{"q"}, Prefetch: 64}, "a/0", "a/1")
	s.addPool(PoolOptions{Queues: []string{"other"}}, "b/0")
	return s
}

func helpers(all func(yield func(Helper) bool)) string {
	var b strings.Builder
	for h := range iter.Seq[Helper](all) {
		fmt.Fprintf(&b, "%d", h.Slot)
		if h.Pulled != nil {
			b.WriteByte('p')
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

// Who looks for circles of waits is told who could bring a task further.
func TestHelpers(t *testing.T) {
	s := players(t, Config{})
	a0 := s.enter("a/0", []string{"t"}, []string{"p"})
	key := &Options{Key: "k"}
	first, second, pulled := &Task{Options: key}, &Task{Options: key}, &Task{}
	of := func(t *Task) string {
		return helpers(func(yield func(Helper) bool) { s.q.Helpers(t, yield) })
	}
	s.q.Pause("", true)
	s.submit(first, laneT)
	if got := of(first); got != "1 2" { // the second is still to come, and may take it
		t.Errorf("any of the pool may get it, and it is %q", got)
	}
	s.q.Pause("", false)
	s.carryOut()
	s.submit(second, laneT)
	s.q.Began(a0, first.id, s.now)
	if got := of(second); got != "1" {
		t.Errorf("it waits for who has its key, and that is %q", got)
	}
	s.submit(pulled, Lane{Queue: "q", Type: "p"})
	if got := of(pulled); got != "0" {
		t.Errorf("anybody may ask for it, and it is %q", got)
	}
	s.q.Fetch(a0, 1, slices.Values([]string{"p"}), true)
	s.carryOut()
	s.q.Began(a0, pulled.id, s.now)
	if got := of(pulled); got != "1p" {
		t.Errorf("who has asked for it works on it, and that is %q", got)
	}
	would := func(waiting ...Slot) string {
		return helpers(func(yield func(Helper) bool) { s.q.WouldHelp(nil, laneT, waiting, yield) })
	}
	if got := would(1); got != "2" {
		t.Errorf("who waits for it does not get it, and it is %q", got)
	}
	s.enter("a/1", []string{"u"}, nil)
	if got := would(1); got != "0" {
		t.Errorf("nobody takes it, so that it is refused, and it is %q", got)
	}
	if got := helpers(s.q.RoomHelpers); got != "1 2 3" {
		t.Errorf("any worker makes room, and it is %q", got)
	}
	if got := helpers(func(yield func(Helper) bool) { s.q.SlotHelpers(1, yield) }); got != "1" {
		t.Errorf("its tasks are brought further by %q", got)
	}
	if got := helpers(func(yield func(Helper) bool) { s.q.PoolHelpers(1, yield) }); got != "1" {
		t.Errorf("the first that waits there is brought further by who has its key, and it is %q", got)
	}
	if n, ask := s.q.Takers(1, "p"); n != 1 || !ask {
		t.Errorf("%d take it, and one asks: %v", n, ask)
	}
	if got := fmt.Sprint(s.q.Known("q")); got != "[p t u]" {
		t.Errorf("known are %v", got)
	}
	if got, _ := s.q.Running(a0, second.id); got != nil {
		t.Errorf("%v runs", got)
	}
}

// A task that only workers take that wait for it is refused, or ends once it is so.
func TestCircle(t *testing.T) {
	s := players(t, Config{})
	s.enter("a/0", []string{"t"}, nil)
	task := &Task{}
	if r := s.submit(task, laneT, s.slots["a/0"]); r.Refused() {
		t.Fatalf("a/1 may take it, and it is refused: %v", r.Kind)
	}
	s.enter("a/1", []string{"other"}, nil)
	if v := s.outcomes[task]; len(v) != 1 || v[0].Kind != Cycle {
		t.Errorf("its outcome is %v", v)
	}
	if r := s.submit(&Task{}, laneT, s.slots["a/0"]); r.Kind != RefusedCircle || len(r.Waiting) != 1 {
		t.Errorf("it is refused with %v", r)
	}
	if r := s.submit(&Task{}, laneT); r.Refused() {
		t.Errorf("nobody waits, and it is refused: %v", r.Kind)
	}
}

// A worker cannot have the rules keep what it says without end.
func TestRequestsAreBounded(t *testing.T) {
	s := players(t, Config{})
	a := s.enter("a/0", []string{"t"}, []string{"p", "r"})
	endless := func(yield func(string) bool) {
		for yield("p") {
		}
	}
	if lie := s.q.Fetch(a, 1, endless, true); lie.Kind != AskedForMany || lie.N != 3 {
		t.Errorf("it is accused of %+v", lie)
	}
	for i := range MaxFetches {
		s.honest(s.q.Fetch(a, FetchID(i+1), slices.Values([]string{"p"}), true))
	}
	if lie := s.q.Fetch(a, MaxFetches+1, slices.Values([]string{"p"}), true); lie.Kind != AskedTooOften {
		t.Errorf("it is accused of %+v", lie)
	}
	many := make([]string, MaxTypes+1)
	if lie := s.q.Enter(99, s.slots["a/1"], many, nil); lie.Kind != TooManyTypes {
		t.Errorf("it is accused of %+v", lie)
	}
	if lie := s.q.Enter(99, s.slots["a/1"], []string{"t"}, []string{"t"}); lie.Kind != TwiceAType {
		t.Errorf("it is accused of %+v", lie)
	}
	if lie := s.q.Began(99, 1, 0); lie.Kind != NotReady {
		t.Errorf("it is accused of %+v", lie)
	}
}

// honest checks that a word of a worker is taken for the truth.
func (s *stage) honest(lie Lie) {
	s.Helper()
	if lie.Told() {
		s.Fatalf("the worker is accused of %d", lie.Kind)
	}
	s.carryOut()
}

// Times and numbers without end are none that have come.
func TestWithoutEnd(t *testing.T) {
	s := players(t, Config{DeadLimit: 1})
	a := s.enter("a/0", []string{"t"}, nil)
	s.pass(time.Hour)
	endless := &Options{
		Timeout: math.MaxInt64, Grace: math.MaxInt64, Attempts: math.MaxInt, First: 1, Factor: math.Inf(1),
		Max: time.Millisecond,
	}
	task, late := &Task{Options: endless}, &Task{Options: &Options{Delay: math.MaxInt64}}
	s.submit(task, laneT)
	s.submit(late, laneT)
	for range 5 {
		s.honest(s.q.Began(a, task.id, s.now))
		s.pass(24 * time.Hour)
		if task.state != running || task.condemned != spared || late.state != delayed {
			t.Fatal("an endless time has come")
		}
		s.honest(s.q.Ended(a, task.id, Verdict{Kind: Failed}, s.now))
		s.pass(time.Second)
	}
	s.honest(s.q.Began(a, task.id, s.now))
	s.q.Cancel(task, false, s.now)
	s.carryOut()
	s.pass(24 * time.Hour)
	if s.q.workers[a].doomed {
		t.Error("an endless grace is over")
	}
}

// Pauses between attempts double, up to a limit, and half of each is random.
func TestPauses(t *testing.T) {
	random := 0.0
	q := New(Config{Rand: func() float64 { return random }})
	for _, c := range []struct {
		o    Options
		n    int32
		want time.Duration
	}{
		{Options{}, 1, 100 * time.Millisecond}, {Options{}, 2, 200 * time.Millisecond},
		{Options{}, 99, 30 * time.Second},
		{Options{Factor: 1}, 1 << 30, 100 * time.Millisecond}, {Options{First: time.Minute}, 1, 30 * time.Second},
		{Options{First: time.Second, Factor: 3}, 3, 9 * time.Second},
		{Options{Factor: math.Inf(1), Max: time.Hour}, 2, time.Hour},
	} {
		for _, random = range []float64{0, 1} {
			want := c.want / 2 * time.Duration(1+random)
			if got := q.pause(&Task{Options: &c.o, attempts: c.n}); got != want {
				t.Errorf("%+v after %d attempts: %v, should be %v", c.o, c.n, got, want)
			}
		}
	}
}

// Dead letters keep their ids and their order; the list has a limit.
func TestDeadLetters(t *testing.T) {
	s := players(t, Config{DeadLimit: 3})
	a := s.enter("a/0", []string{"t"}, nil)
	fail := func(id ID) {
		for range 2 {
			s.honest(s.q.Began(a, id, s.now))
			s.honest(s.q.Ended(a, id, Verdict{Kind: Failed}, s.now))
		}
	}
	for range 4 {
		task := &Task{Options: twice, Number: 7}
		s.submit(task, laneT)
		fail(task.id)
	}
	dead := func() (ids []ID) {
		for _, t := range s.q.Dead() {
			ids = append(ids, t.id)
		}
		return ids
	}
	if got := fmt.Sprint(dead()); got != "[2 3 4]" {
		t.Fatalf("dead are %v", got)
	}
	if n := s.q.RetryDead([]ID{3, 99}, nil); n != 1 || fmt.Sprint(dead()) != "[2 4]" {
		t.Fatalf("%d were put back, and dead are %v", n, dead())
	}
	s.carryOut()
	if fail(3); fmt.Sprint(dead()) != "[2 4 3]" {
		t.Errorf("dead are %v", dead())
	}
	s.q.Stop(true)
	var refused []ID
	n := s.q.RetryDead(nil, func(t *Task, why Refusal) { refused = append(refused, t.id) })
	if n != 0 || fmt.Sprint(refused) != "[2 4 3]" || fmt.Sprint(dead()) != "[2 4 3]" {
		t.Errorf("%d were put back, refused were %v, dead are %v", n, refused, dead())
	}
	if n := s.q.DropDead([]ID{4}); n != 1 || fmt.Sprint(dead()) != "[2 3]" {
		t.Errorf("%d were dropped, and dead are %v", n, dead())
	}
	if n := s.q.DropDead(nil); n != 2 {
		t.Errorf("%d were dropped", n)
	}
}

// A task goes to the worker with the fewest messages, of those with as few tasks.
func TestTiesGoByMessages(t *testing.T) {
	busy := map[Worker]int{}
	s := players(t, Config{Busy: func(w Worker) int { return busy[w] }})
	a, b := s.enter("a/0", []string{"t"}, nil), s.enter("a/1", []string{"t"}, nil)
	for _, want := range []Worker{b, a} {
		clear(busy)
		busy[a+b-want] = 1
		task := &Task{}
		s.submit(task, laneT)
		if task.holder.id != want {
			t.Errorf("worker %d got it, and %d has less to do", task.holder.id, want)
		}
		s.honest(s.q.Began(want, task.id, s.now))
		s.honest(s.q.Ended(want, task.id, Verdict{}, s.now))
	}
}

// A task that a worker does not begin with, since a message keeps it, goes to one that has nothing
// to do; it does not go to and fro without end.
func TestTaskLeavesABusyWorker(t *testing.T) {
	s := players(t, Config{})
	s.enter("a/0", []string{"t"}, nil)
	s.enter("a/1", []string{"t"}, nil)
	task := &Task{}
	s.submit(task, laneT)
	moves := 0
	for begun := s.now; s.now < begun+time.Minute; s.pass(time.Millisecond) {
		if task.recalled {
			moves++
			had := task.holder.id
			s.honest(s.q.Returned(had, task.id))
			if task.holder.id == had {
				t.Fatalf("at move %d it went back to the worker that had not begun it", moves)
			}
		}
	}
	if moves < 9 || moves > 80 {
		t.Errorf("it went %d times to and fro in a minute", moves)
	}
}

// A life that becomes ready after its slot was taken out of the pool gets nothing, and is retired;
// nothing of the slot is kept when it has ended, or when none has come.
func TestLifeOfARemovedSlot(t *testing.T) {
	s := players(t, Config{})
	for _, comes := range []bool{true, false} {
		name := map[bool]string{true: "a/0", false: "a/1"}[comes]
		slot := s.slots[name]
		s.q.Remove(slot)
		if comes {
			s.effects = nil
			w := s.enter(name, []string{"t"}, nil)
			is := func(e Effect) bool { return e.Kind == Retired && e.Worker == w }
			if !slices.ContainsFunc(s.effects, is) {
				t.Error("it is not retired")
			}
			if r, _ := s.q.Submit(&Task{}, laneT, nil, true, s.now); r.Refused() {
				t.Errorf("a/1 may take a task, and it is refused: %d", r.Kind)
			}
			if s.carryOut(); s.q.Held(w) > 0 {
				t.Error("it gets a task")
			}
			s.die(name)
		}
		s.q.Gone(slot, "it has left")
		s.carryOut()
		if s.q.slots[slot] != nil {
			t.Errorf("%s is kept", name)
		}
	}
}

// A worker that a message seems to keep has nothing to do, and is passed over. That says nothing of
// the workers behind it.
func TestIdleWorkerGetsTheTaskBehindOneThatAMessageKeeps(t *testing.T) {
	s := newStage(t, Config{Limit: 100})
	s.addPool(PoolOptions{Queues: []string{"q"}, Prefetch: 64}, "busy", "kept", "other", "idle")
	to := Lane{Queue: "q", Type: "x"}
	begin := func(slot string) {
		w := s.enter(slot, []string{"x"}, nil)
		s.q.workers[w].took = time.Millisecond
		task := &Task{}
		s.submit(task, to)
		if task.Holder() != w {
			t.Fatalf("the task is with worker %d, and should be with %s", task.Holder(), slot)
		}
		s.q.Began(w, task.ID(), s.now)
		s.carryOut()
	}
	begin("busy")
	s.q.workers[s.enter("kept", []string{"x"}, nil)].away = 1
	begin("other")
	idle := s.enter("idle", []string{"x"}, nil)
	task := &Task{}
	s.submit(task, to)
	if task.Holder() != idle || task.recalled {
		t.Fatalf("the task is %s at worker %d", task.State(), task.Holder())
	}
}
