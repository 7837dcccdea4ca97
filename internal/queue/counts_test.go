package queue

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lookAtCounts checks the counts of each queue and each type against the tasks that there are, and
// that they add up, each and together.
func (d *day) lookAtCounts() {
	for _, of := range []struct {
		what   string
		all    func(yield func(c *Counts) bool)
		nameOf func(l Lane) string
	}{
		{"queue", d.q.Queues, func(l Lane) string { return l.Queue }},
		{"type", d.q.Types, func(l Lane) string { return l.Type }},
	} {
		want := map[string]*Counts{}
		at := func(l Lane) *Counts {
			name := of.nameOf(l)
			if want[name] == nil {
				want[name] = &Counts{}
			}
			return want[name]
		}
		for _, m := range d.tasks {
			c := at(m.lane.Lane)
			switch m.state {
			case running:
				c.Running += m.count()
				continue
			case delayed:
				c.Delayed += m.count()
			case assigned:
				c.Assigned += m.count()
			case blocked:
				c.Blocked += m.count()
			}
			c.Queued += m.count()
		}
		for _, t := range d.q.Dead() {
			at(t.lane.Lane).Dead++
		}
		var sum Stats
		var retried int
		for c := range of.all {
			w := want[c.Name]
			if w == nil {
				w = &Counts{}
			}
			if c.Queued != w.Queued || c.Running != w.Running || c.Delayed != w.Delayed || c.Assigned != w.Assigned ||
				c.Blocked != w.Blocked || c.Dead != w.Dead {
				d.wrong("the counts of %s %q are %+v, and should be %+v", of.what, c.Name, c, w)
			}
			if c.Received != c.Succeeded+c.Failed+c.Cancelled+c.Queued+c.Running {
				d.wrong("the counts of %s %q do not add up: %+v", of.what, c.Name, c)
			}
			sum.add(c.Stats)
			retried += c.Retried
			delete(want, c.Name)
		}
		if len(want) > 0 || sum != d.q.Stats() {
			d.wrong("the sum of each %s is %+v, and that of all is %+v", of.what, sum, d.q.Stats())
		}
	}
}

// add adds other counts.
func (s *Stats) add(o Stats) {
	s.Received += o.Received
	s.Succeeded += o.Succeeded
	s.Failed += o.Failed
	s.Cancelled += o.Cancelled
	s.Queued += o.Queued
	s.Running += o.Running
}

// TestCountsOfAMillionNamesAreBounded invents a million types and queues. Those that are in use, and
// those of which there are dead letters, keep their counts; the sums never lose anything.
func TestCountsOfAMillionNamesAreBounded(t *testing.T) {
	q := New(Config{Limit: 1 << 30, LimitBytes: math.MaxInt, DeadLimit: 10, Rand: func() float64 { return 0 }})
	invented := 1_000_000
	if testing.Short() {
		invented = 10_000
	}
	q.AddPool(1, PoolOptions{Queues: []string{"default"}})
	q.AddSlot(1, 1)
	require.False(t, q.Enter(1, 1, []string{"real"}, nil).Told())
	to := Lane{Queue: "default", Type: "real"}
	letter := &Task{Options: &Options{Attempts: 2}}
	refusal, lie := q.Submit(letter, to, nil, false, 0)
	require.False(t, refusal.Refused() || lie.Told())
	for i := range 2 {
		q.Tick(Time(i+1) * time.Hour)
		require.False(t, q.Began(1, letter.ID(), Time(i+1)*time.Hour).Told())
		require.False(t, q.Ended(1, letter.ID(), Verdict{Kind: Failed}, Time(i+1)*time.Hour).Told())
	}
	q.Leave(1, Death{}, 3*time.Hour)
	for i := range invented {
		name := fmt.Sprint("invented", i)
		refusal, _ = q.Submit(&Task{}, Lane{Queue: "default", Type: name}, nil, false, 0)
		require.False(t, refusal.Refused())
		if i%1000 == 0 {
			q.CancelPending("")
		}
	}
	q.CancelPending("")
	names, sum := 0, Stats{}
	for c := range q.Types {
		names++
		sum.add(c.Stats)
		switch c.Name {
		case "real":
			require.Equal(t, Stats{Received: 1, Failed: 1}, c.Stats)
			require.Equal(t, 1, c.Dead)
			require.EqualValues(t, 2, c.Times.Run.Count)
			require.EqualValues(t, 2, c.Times.Wait.Count)
		case "":
			require.Equal(t, invented-MostNames+1, c.Received)
		}
	}
	require.Equal(t, MostNames+1, names)
	require.Equal(t, q.Stats(), sum)
	require.Equal(t, invented+1, sum.Received)
	require.Len(t, q.types.byName, MostNames)
	require.Equal(t, 1, q.DropDead(nil))
}
