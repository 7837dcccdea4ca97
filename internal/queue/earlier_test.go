package queue

import (
	"fmt"
	"testing"
	"time"
)

// This file is what comes from an earlier program, and what goes to a later one.

// Dead letters of an earlier program keep their ids, which no other task gets, and can be put back.
func TestDeadLettersOfEarlierProgram(t *testing.T) {
	s := players(t, Config{DeadLimit: 3})
	a := s.enter("a/0", []string{"t"}, nil)
	for _, id := range []ID{7, 5, 9, 0} {
		if !s.q.Bury(&Task{Options: twice}, laneT, id) {
			t.Fatalf("dead letter %d is not taken", id)
		}
	}
	dead := func() (ids []ID) {
		for _, t := range s.q.Dead() {
			ids = append(ids, t.id)
		}
		return ids
	}
	if got := fmt.Sprint(dead()); got != "[5 9 10]" {
		t.Fatalf("dead are %v", got)
	}
	s.q.CountFrom(4)
	task := &Task{}
	s.submit(task, laneT)
	if task.id != 11 || s.q.LastID() != 11 {
		t.Errorf("the next task has id %d, and the last is %d", task.id, s.q.LastID())
	}
	s.honest(s.q.Began(a, task.id, s.now))
	s.honest(s.q.Ended(a, task.id, Verdict{}, s.now))
	if n := s.q.RetryDead([]ID{9}, nil); n != 1 {
		t.Fatalf("%d were put back", n)
	}
	s.carryOut()
	for range 2 {
		s.honest(s.q.Began(a, 9, s.now))
		s.honest(s.q.Ended(a, 9, Verdict{Kind: Failed}, s.now))
		s.pass(time.Minute)
	}
	if got := fmt.Sprint(dead()); got != "[5 10 9]" {
		t.Errorf("dead are %v", got)
	}
	if New(Config{}).Bury(&Task{}, laneT, 1) {
		t.Error("a list that takes nothing takes a dead letter")
	}
}

// A task that an earlier program has accepted does not vanish: nobody waits for its outcome.
func TestResumedTaskBecomesDeadLetter(t *testing.T) {
	for name, end := range map[string]func(s *stage, a Worker, task *Task){
		"no worker takes it":  func(s *stage, _ Worker, _ *Task) { s.die("a/0"); s.q.Gone(s.slots["a/0"], nil) },
		"its attempt fails":   func(s *stage, a Worker, t *Task) { s.q.Ended(a, t.id, Verdict{Kind: Failed}, s.now) },
		"its worker dies":     func(s *stage, _ Worker, _ *Task) { s.die("a/0") },
		"it fails for good":   func(s *stage, a Worker, t *Task) { s.q.Ended(a, t.id, Verdict{Kind: Failed, Final: true}, s.now) },
		"it is done":          func(s *stage, a Worker, t *Task) { s.q.Ended(a, t.id, Verdict{}, s.now) },
		"it is cancelled":     func(s *stage, a Worker, t *Task) { s.q.Ended(a, t.id, Verdict{Kind: Cancelled}, s.now) },
		"the program ends":    func(s *stage, _ Worker, _ *Task) { s.q.End() },
		"it cannot be stored": nil,
	} {
		t.Run(name, func(t *testing.T) {
			want := name != "it is done" && name != "it is cancelled" && name != "the program ends"
			s := newStage(t, Config{Limit: 9, DeadLimit: 3})
			s.addPool(PoolOptions{Queues: []string{"q"}}, "a/0")
			a := s.enter("a/0", []string{"t"}, nil)
			task := &Task{}
			task.Resume(0)
			s.submit(task, laneT)
			if end == nil {
				s.q.Unsent(a, task.id, "large")
			} else {
				if name != "no worker takes it" {
					s.honest(s.q.Began(a, task.id, s.now))
				}
				end(s, a, task)
			}
			s.carryOut()
			if got := len(s.q.Dead()) == 1; got != want || !task.Ended() {
				t.Errorf("it has ended: %v, it is a dead letter: %v", task.Ended(), got)
			}
		})
	}
}

// What a later program is to go on with is due when it would have been here, and an attempt that
// the handler has put off does not count.
func TestTaskOfLaterProgramKnowsWhenItIsDue(t *testing.T) {
	for name, c := range map[string]struct {
		verdict  Verdict
		due      time.Duration
		attempts int
	}{
		"it is put off":   {Verdict{Kind: Failed, After: time.Hour}, time.Hour, 0},
		"it has failed":   {Verdict{Kind: Failed}, 50 * time.Millisecond, 1},
		"its worker dies": {Verdict{Kind: Died}, 50 * time.Millisecond, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := players(t, Config{})
			a := s.enter("a/0", []string{"t"}, nil)
			task := &Task{Options: &Options{Attempts: 2}}
			s.submit(task, laneT)
			s.now = time.Minute
			s.honest(s.q.Began(a, task.id, s.now))
			s.q.Stop(false)
			s.effects = nil
			if c.verdict.Kind == Died {
				s.die("a/0")
			} else {
				s.honest(s.q.Ended(a, task.id, c.verdict, s.now))
				s.carryOut()
			}
			for _, e := range s.effects {
				if e.Kind == Outcome && (e.At != s.now+c.due || task.Begun() != c.attempts || !task.Kept()) {
					t.Errorf("it is due at %v after %d attempts, kept: %v", e.At, task.Begun(), task.Kept())
				}
			}
			if !task.Ended() {
				t.Error("it has not ended")
			}
		})
	}
}

// Who asks learns what is paused, and for how long.
func TestPausesAreTold(t *testing.T) {
	s := players(t, Config{})
	s.q.Pause("q", true)
	s.q.PauseUntil("", s.now+time.Hour, s.now)
	s.q.PauseUntil("over", s.now-1, s.now)
	got := map[string]Time{}
	s.q.Pauses(func(queue string, until Time) { got[queue] = until })
	if want := map[string]Time{"q": 0, "": s.now + time.Hour}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("paused are %v", got)
	}
}
