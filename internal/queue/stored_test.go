package queue

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// A dead letter that is put back while the Backend has not said yet whether it has the task from
// before is stored anew. What the Backend says about the old one then is nothing about the new one.
func TestAnswerAboutEarlierStoreSaysNothing(t *testing.T) {
	for name, c := range map[string]struct {
		lives   int    // of the task, each of which is put back unanswered but the last
		full    bool   // the task waits for room in its last life
		answers string // of the Backend, in the order in which it was asked
		want    string // the state of the task after each of them, and whether its submitter is told
	}{
		"one life, which is stored":      {1, false, "ok", "stored+told"},
		"one life, which is not stored":  {1, false, "no", "ended"},
		"the old one is not stored":      {2, false, "no ok", "stored stored+told"},
		"the new one is not stored":      {2, false, "ok no", "stored ended"},
		"two old ones are not stored":    {3, false, "no no ok", "stored stored stored+told"},
		"the new one waits for room":     {2, true, "no", "blocked"},
		"the old one was stored by then": {2, true, "ok", "blocked"},
	} {
		t.Run(name, func(t *testing.T) {
			q := New(Config{Limit: 1, LimitBytes: 1 << 30, DeadLimit: 3, Stored: true})
			q.AddPool(1, PoolOptions{Queues: []string{"q"}})
			q.AddSlot(1, 1)
			task := &Task{}
			task.Resume(0) // it becomes a dead letter where nobody takes it
			q.Submit(task, laneT, nil, true, 0)
			for life := 1; life < c.lives; life++ {
				q.Gone(Slot(life), "it is not replaced")
				if !task.Ended() || len(q.Dead()) != 1 {
					t.Fatalf("the task is %s, and there are %d dead letters", task.State(), len(q.Dead()))
				}
				q.AddSlot(Slot(life+1), 1)
				if c.full {
					q.Submit(&Task{}, laneT, nil, true, 0)
				}
				if n := q.RetryDead(nil, nil); n != 1 {
					t.Fatalf("%d dead letters were put back", n)
				}
			}
			q.Effects(nil)
			var got []string
			for answer := range strings.FieldsSeq(c.answers) {
				q.Stored(task, answer == "ok", "the disk is full")
				is := task.State()
				for _, e := range q.Effects(nil) {
					if e.Kind == Admitted {
						is += "+told"
					}
				}
				got = append(got, is)
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("the task is %s, and should be %s", got, c.want)
			}
		})
	}
}

// What the program leaves in a Backend as it ends is given back youngest first: each goes to the
// front there, and the next run finds them in their order.
func TestEndKeepsTheOrder(t *testing.T) {
	for name, end := range map[string]func(q *Queue){
		"stop": func(q *Queue) { q.Stop(false) },
		"end":  func(q *Queue) { q.End() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, Config{Limit: 9, Stored: true})
			s.addPool(PoolOptions{Queues: []string{"q"}, Prefetch: 9}, "p/0")
			w := s.enter("p/0", []string{"t"}, nil)
			var tasks []*Task
			for range 4 {
				tasks = append(tasks, &Task{})
				s.submit(tasks[len(tasks)-1], laneT)
			}
			s.q.Began(w, tasks[0].id, 0)
			s.q.Ended(w, tasks[0].id, Verdict{Took: time.Microsecond}, 0) // the others are fetched ahead
			s.carryOut()
			s.q.Pause("", true)
			for _, it := range tasks[1:] {
				s.q.Returned(w, it.id)
			}
			s.effects = nil
			end(s.q)
			s.carryOut()
			var back []ID
			for _, e := range s.effects {
				if e.Kind == EndLease && e.LeaseEnd == Return {
					back = append(back, e.Task.id)
				}
			}
			if want := []ID{4, 3, 2}; !slices.Equal(back, want) {
				t.Errorf("%d were given back, and %d should be", back, want)
			}
		})
	}
}
