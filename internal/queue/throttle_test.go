package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// throttled is a stage with eight workers that take "t" and "u" of the queues "q" and "r", and whose
// tasks are known by their numbers, in the order of submission.
func throttled(t *testing.T, c Config) *stage {
	c.Limit = 1 << 20
	s := newStage(t, c)
	s.staff()
	return s
}

// staff adds the workers.
func (s *stage) staff() {
	slots := strings.Fields("a/0 a/1 a/2 a/3 a/4 a/5 a/6 a/7")
	s.addPool(PoolOptions{Queues: []string{"q", "r"}, Prefetch: -1}, slots...)
	for _, slot := range slots {
		s.enter(slot, []string{"t", "u"}, nil)
	}
}

// throttle sets a throttle.
func (s *stage) throttle(of Throttle, to Limits) {
	s.q.Throttle(of, to)
	s.carryOut()
}

// sent submits tasks, each of a queue, a type and perhaps a key, such as "q/t" and "q/t/k".
func (s *stage) sent(whats ...string) (tasks []*Task) {
	for _, what := range whats {
		part := append(strings.Split(what, "/"), "")
		t := &Task{}
		if part[2] != "" {
			t.Options = &Options{Key: part[2], Attempts: 2, First: 1}
		}
		s.submit(t, Lane{Queue: part[0], Type: part[1]})
		tasks = append(tasks, t)
	}
	return tasks
}

// withKey is what is to be sent, with a key if it is to have one.
func withKey(what string, with bool) string {
	if with {
		return what + "/k"
	}
	return what
}

// outOf is which of some tasks are with workers, by their places.
func outOf(tasks []*Task) string {
	var names []string
	for i, t := range tasks {
		if t.Holder() != 0 {
			names = append(names, fmt.Sprint(i))
		}
	}
	return strings.Join(names, " ")
}

// want looks which of some tasks are with workers.
func want(t *testing.T, which string, tasks []*Task) {
	t.Helper()
	if got := outOf(tasks); got != which {
		t.Fatalf("%q are with workers, and should be %q", got, which)
	}
}

// end has a worker begin with a task and end it.
func (s *stage) end(t *Task, v Verdict) {
	w := t.Holder()
	s.honest(s.q.Began(w, t.id, s.now))
	s.carryOut()
	s.honest(s.q.Ended(w, t.id, v, s.now))
	s.carryOut()
}

// A throttle counts the tasks that it fits, and no others; what is free goes past what waits.
func TestConcurrencyOfThrottles(t *testing.T) {
	for _, c := range []struct {
		of    Throttle
		tasks string
		out   string
		next  string // once the first has ended
	}{
		{Throttle{Queue: "q"}, "q/t q/u q/t r/t q/u r/t", "0 1 3 5", "1 2 3 5"},
		{Throttle{Type: "t"}, "q/t r/t q/t q/u r/t q/u", "0 1 3 5", "1 2 3 5"},
		{Throttle{Queue: "q", Type: "t"}, "q/t q/t q/t q/u r/t q/u", "0 1 3 4 5", "1 2 3 4 5"},
		{Throttle{}, "q/t q/u r/t r/u", "0 1", "1 2"},
		{Throttle{PerKey: true}, "q/t/k q/u/k q/t/k q/t/l q/t/l q/t q/t", "0 1 3 4 5 6", "1 2 3 4 5 6"},
		{Throttle{Type: "t", PerKey: true}, "q/t/k q/t/k q/t/k q/u/k q/u/k r/t/k", "0 1 3", "1 2 3"},
		{Throttle{Queue: "r", PerKey: true}, "q/t/k q/t/k r/t/k r/t/k r/t/k", "0 2 3", "1 2 3"},
	} {
		s := throttled(t, Config{})
		s.throttle(c.of, Limits{Concurrency: 2})
		tasks := s.sent(strings.Fields(c.tasks)...)
		want(t, c.out, tasks)
		s.end(tasks[0], Verdict{})
		want(t, c.next, tasks)
	}
}

// As many go out at once as the burst says, and then one each time that a token comes; a key has its
// own tokens, and a quiet time brings no more than the burst.
func TestRateOfThrottles(t *testing.T) {
	for _, keys := range []bool{false, true} {
		s := throttled(t, Config{})
		s.throttle(Throttle{Type: "t", PerKey: keys}, Limits{Rate: 10, Burst: 2, Concurrency: 8})
		what := slices.Repeat([]string{withKey("q/t", keys)}, 5)
		tasks := s.sent(what...)
		want(t, "0 1", tasks)
		s.pass(100*time.Millisecond - 1)
		want(t, "0 1", tasks)
		s.pass(1)
		want(t, "0 1 2", tasks)
		others := s.sent("q/u", "q/t/l", "q/u/k")
		if keys {
			want(t, "0 1 2", others)
		} else {
			want(t, "0 2", others)
		}
		s.pass(time.Hour)
		for _, task := range append(tasks, others...) {
			s.end(task, Verdict{})
		}
		want(t, "0 1", s.sent(what...))
	}
}

// A task that comes back without having been begun keeps its token, and one that has begun needs
// another one.
func TestTokensOfTasksThatComeBack(t *testing.T) {
	s := throttled(t, Config{})
	s.throttle(Throttle{Type: "t"}, Limits{Rate: 1})
	tasks := s.sent("q/t/k", "q/t/l")
	want(t, "0", tasks)
	dies := func() {
		holder := tasks[0].Holder()
		for slot, w := range s.workers {
			if w == holder {
				s.die(slot)
			}
		}
	}
	dies()
	want(t, "0", tasks)
	s.q.Began(tasks[0].Holder(), tasks[0].id, s.now)
	dies()
	s.pass(time.Millisecond) // its pause is over
	want(t, "", tasks)
	s.pass(time.Second)
	want(t, "0", tasks) // the older one first
	s.pass(time.Second)
	want(t, "0 1", tasks)
}

// What waits for a throttle is queued, and ends as what waits for a worker does.
func TestTasksThatAreThrottledEnd(t *testing.T) {
	for _, of := range []Throttle{{Queue: "q"}, {Queue: "q", PerKey: true}} {
		for name, end := range map[string]func(s *stage, t *Task){
			"cancel":        func(s *stage, t *Task) { s.q.Cancel(t, false, s.now) },
			"cancelPending": func(s *stage, _ *Task) { s.q.CancelPending("q") },
			"stop":          func(s *stage, _ *Task) { s.q.Stop(false) },
		} {
			s := throttled(t, Config{})
			s.throttle(of, Limits{Rate: 0.001, Concurrency: 8})
			tasks := s.sent("q/t/k", "q/t/k")
			want(t, "0", tasks)
			if got := s.q.Stats(); got.Queued != 2 {
				t.Errorf("%+v", got)
			}
			end(s, tasks[1])
			s.carryOut()
			if len(s.outcomes[tasks[1]]) != 1 {
				t.Errorf("%s: it has the outcomes %v", name, s.outcomes[tasks[1]])
			}
			s.end(tasks[0], Verdict{})
			s.q.End()
			for slot := range s.workers {
				s.die(slot)
			}
			if r := s.q.Residue(); r != (Residue{}) {
				t.Errorf("%s: this is left: %+v", name, r)
			}
		}
	}
}

// A pause holds what a throttle lets through, and a throttle what a pause does.
func TestPausesAndThrottles(t *testing.T) {
	s := throttled(t, Config{})
	s.throttle(Throttle{Queue: "q"}, Limits{Rate: 1})
	s.q.Pause("q", true)
	tasks := s.sent("q/t", "q/t", "q/t")
	want(t, "", tasks)
	s.pass(time.Hour)
	want(t, "", tasks)
	s.q.Pause("q", false)
	s.carryOut()
	want(t, "0", tasks)
	s.q.Pause("q", true)
	s.pass(time.Hour)
	want(t, "0", tasks)
	s.q.Pause("q", false)
	s.carryOut()
	want(t, "0 1", tasks)
}

// Another limit holds at once: for what waits, and against what is with workers.
func TestThrottlesChange(t *testing.T) {
	for _, of := range []Throttle{{Queue: "q"}, {Queue: "q", PerKey: true}} {
		s := throttled(t, Config{})
		if of.PerKey {
			s.throttle(of, Limits{Concurrency: 3})
		}
		what := withKey("q/t", of.PerKey)
		tasks := s.sent(what, what, what)
		want(t, "0 1 2", tasks)
		s.throttle(of, Limits{Concurrency: 2})
		more := s.sent(what, what, what)
		s.end(tasks[0], Verdict{})
		want(t, "", more)
		s.end(tasks[1], Verdict{})
		want(t, "0", more)
		s.throttle(of, Limits{Concurrency: 3, Rate: 1})
		want(t, "0 1", more)
		s.end(tasks[2], Verdict{})
		want(t, "0 1", more)
		s.throttle(of, Limits{Concurrency: 3, Rate: 1000})
		want(t, "0 1", more)
		s.pass(time.Second)
		want(t, "0 1 2", more)
		s.throttle(of, Limits{Concurrency: 4})
		s.throttle(of, Limits{Concurrency: 4, Rate: 0.1, Burst: 2}) // its tokens are all there
		again := s.sent(what, what)
		want(t, "0", again)
		s.end(again[0], Verdict{})
		want(t, "1", again)
		s.end(again[1], Verdict{})
		if of.PerKey {
			s.throttle(Throttle{Queue: "q", Type: "t", PerKey: true}, Limits{Concurrency: 8})
		}
		s.throttle(of, Limits{})
		want(t, "0 1 2 3", append(more, s.sent(what)...))
	}
}

// A key is forgotten once all its tokens are there, and not before.
func TestIdleKeysAreForgotten(t *testing.T) {
	s := throttled(t, Config{})
	s.throttle(Throttle{PerKey: true}, Limits{Rate: 0.1, Burst: 2})
	for i := range 1000 {
		s.end(s.sent("q/t/" + fmt.Sprint(i))[0], Verdict{})
	}
	if n := s.q.Residue().Keys; n != 1000 {
		t.Fatalf("%d keys are known", n)
	}
	s.pass(10*time.Second - 1)
	if n := s.q.Residue().Keys; n != 1000 {
		t.Fatalf("%d keys are known, and tokens are missing", n)
	}
	s.pass(time.Second + 1)
	if r := s.q.Residue(); r.Keys != 0 || r.Alarms != 0 {
		t.Fatalf("this is left: %+v", r)
	}
}

// Who looks for circles of waits is told who has the tasks that keep a throttled one from going
// out; that it waits for a token makes no circle.
func TestHelpersOfThrottledTasks(t *testing.T) {
	for _, of := range []Throttle{{Type: "t"}, {PerKey: true}} {
		s := throttled(t, Config{})
		s.throttle(of, Limits{Concurrency: 2})
		what := withKey("q/t", of.PerKey)
		tasks := s.sent(what, what, what)
		var holders []string
		for _, task := range tasks[:2] {
			s.q.Began(task.Holder(), task.id, s.now)
			holders = append(holders, fmt.Sprint(task.holder.slot.id))
		}
		slices.Sort(holders)
		got := helpers(func(yield func(Helper) bool) { s.q.Helpers(tasks[2], yield) })
		if got != strings.Join(holders, " ") {
			t.Errorf("it waits for %v, and that is %q", holders, got)
		}
		would := helpers(func(yield func(Helper) bool) { s.q.WouldHelp(tasks[0].Options, laneT, nil, yield) })
		if would != got {
			t.Errorf("another one would wait for %v, and that is %q", holders, would)
		}
		s.throttle(of, Limits{Rate: 0.001})
		if got := helpers(func(yield func(Helper) bool) { s.q.Helpers(s.sent("q/t")[0], yield) }); got != "1 2 3 4 5 6 7 8" {
			t.Errorf("anybody may get it, and that is %q", got)
		}
	}
}

// Of a lane that a throttle holds up, no more is fetched from a Backend than is about to go out, and
// of one whose keys do, no more than a number.
func TestThrottledTasksStayInTheBackend(t *testing.T) {
	s := newStage(t, Config{Stored: true, Limit: 1 << 20})
	s.throttle(Throttle{Queue: "q"}, Limits{Concurrency: 2})
	s.staff()
	tasks := s.sent(slices.Repeat([]string{"q/t"}, 100)...)
	leased := func() (n int) {
		for _, it := range s.store {
			if it.leased {
				n++
			}
		}
		return n
	}
	if n := leased(); n != 3 {
		t.Errorf("%d are fetched, and 2 can go out", n)
	}
	s.end(tasks[0], Verdict{})
	want(t, "1 2", tasks)

	s = throttled(t, Config{Stored: true})
	s.throttle(Throttle{PerKey: true}, Limits{Rate: 0.001})
	tasks = s.sent(slices.Repeat([]string{"q/t/k"}, 3000)...)
	want(t, "0", tasks)
	if n := leased(); n < 1000 || n > 1020 {
		t.Errorf("%d are fetched, and 1 can go out", n)
	}
	for range 5 {
		s.pass(1000 * time.Second)
		s.end(tasks[slices.IndexFunc(tasks, func(t *Task) bool { return t.Holder() != 0 })], Verdict{})
	}
	if n := leased(); n < 1000 || n > 1020 {
		t.Errorf("%d are fetched, and 1 can go out", n)
	}
}

// BenchmarkThrottledDispatch is the time that passes, and one task more that goes out, while many
// wait for the same throttle.
func BenchmarkThrottledDispatch(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		for name, of := range map[string]Throttle{"type": {Type: "t"}, "key": {PerKey: true}} {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				q, take := manyThrottled(n, of)
				b.ReportAllocs()
				for b.Loop() {
					take(q)
				}
			})
		}
	}
}

// manyThrottled is a Queue with many tasks that wait for a throttle, and what lets one out, ends it
// and adds another one.
func manyThrottled(n int, of Throttle) (*Queue, func(q *Queue)) {
	q := worked(8, PoolOptions{Prefetch: -1})
	q.Throttle(of, Limits{Rate: 1})
	key := &Options{Key: "k"}
	submit := func() { q.Submit(&Task{Options: key}, laneT, nil, true, 0) }
	for range n {
		submit()
	}
	var effects []Effect
	now := Time(0)
	return q, func(q *Queue) {
		submit()
		q.Tick(now)
		for {
			effects = q.Effects(effects)
			if len(effects) == 0 {
				return
			}
			for i := range effects {
				switch e := &effects[i]; e.Kind {
				case Token:
					now += time.Second
					q.Refilled(e.Gate, 0, now, now, now-time.Second)
				case Assign:
					q.Began(e.Worker, e.Task.id, now)
					q.Ended(e.Worker, e.Task.id, Verdict{}, now)
				}
			}
		}
	}
}
