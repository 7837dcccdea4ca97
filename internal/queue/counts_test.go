package queue

import (
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lookAtCounts checks the counts of each queue and each type against the tasks that there are, and
// that they add up, each and together.
func (d *day) lookAtCounts() {
	d.queues, d.types = d.queues[:0], d.types[:0]
	for _, m := range d.tasks {
		m.addTo(d.queues.of(m.lane.Queue))
		m.addTo(d.types.of(m.lane.Type))
	}
	for t := range d.q.dead.All() {
		d.queues.of(t.lane.Queue).Dead++
		d.types.of(t.lane.Type).Dead++
	}
	d.lookAtSums("queue", d.queues, d.q.Queues)
	d.lookAtSums("type", d.types, d.q.Types)
}

// sums are what the counts of some names are to be. There are few names.
type sums []Counts

// of returns the counts of a name. They stay where they are until those of another name are made.
func (s *sums) of(name string) *Counts {
	for i := range *s {
		if c := &(*s)[i]; c.Name == name {
			return c
		}
	}
	*s = append(*s, Counts{Name: name})
	return &(*s)[len(*s)-1]
}

// addTo counts a task by what it waits for, or as one that runs.
func (m *fakeTask) addTo(c *Counts) {
	switch m.state {
	case running:
		c.Running += m.count()
		return
	case delayed:
		c.Delayed += m.count()
	case assigned:
		c.Assigned += m.count()
	case blocked:
		c.Blocked += m.count()
	}
	c.Queued += m.count()
}

// lookAtSums compares counts with what they are to be.
func (d *day) lookAtSums(what string, want sums, all func(yield func(c *Counts) bool)) {
	var sum Stats
	found := 0
	for c := range all {
		w := Counts{}
		if i := slices.IndexFunc(want, func(w Counts) bool { return w.Name == c.Name }); i >= 0 {
			w = want[i]
			found++
		}
		if c.Queued != w.Queued || c.Running != w.Running || c.Delayed != w.Delayed || c.Assigned != w.Assigned ||
			c.Blocked != w.Blocked || c.Dead != w.Dead {
			d.wrong("the counts of %s %q are %+v, and should be %+v", what, c.Name, c, w)
		}
		if c.Received != c.Succeeded+c.Failed+c.Cancelled+c.Queued+c.Running {
			d.wrong("the counts of %s %q do not add up: %+v", what, c.Name, c)
		}
		sum.add(c.Stats)
	}
	if found != len(want) || sum != d.q.Stats() {
		d.wrong("the sum of each %s is %+v, and that of all is %+v", what, sum, d.q.Stats())
	}
}

// lookAtThrottled checks how many tasks of each queue throttles hold back.
func (d *day) lookAtThrottled() {
	want, got := map[string]int{}, map[string]int{}
	seen := map[*lane]bool{}
	for _, m := range d.tasks {
		if l := m.lane; (m.where == inLine || m.where == there) && !seen[l] {
			seen[l] = true
			if n := d.heldBack(l); n > 0 {
				want[l.Queue] += n
			}
		}
	}
	for queue, n := range d.q.HeldBack {
		got[queue] += n
	}
	if !maps.Equal(got, want) {
		d.wrong("throttles hold back %v, and should %v", got, want)
	}
}

// heldBack is how many tasks of a lane throttles hold back.
func (d *day) heldBack(l *lane) (n int) {
	var first *fakeTask
	all, next := 0, map[string]*fakeTask{}
	for _, m := range d.tasks {
		if m.lane != l || m.where != inLine && m.where != there {
			continue
		}
		all += m.count()
		if m.state == queued && (first == nil || m.goesBefore(first)) {
			first = m
		}
		if m.state == parked && d.q.keys[m.key()].line(l).parked.first == m.Task {
			next[m.key()] = m
		}
	}
	if first != nil && !d.letsGo(first, false) {
		return all
	}
	for _, m := range d.tasks {
		if m.lane == l && m.state == parked && !d.letsGo(next[m.key()], true) {
			n++
		}
	}
	return n
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

// TestOldestOfWhatWaits holds that the oldest task is told that waits, whatever it waits for: its
// key, a throttle, or the end of a pause.
func TestOldestOfWhatWaits(t *testing.T) {
	oldest := func(q *Queue) Time {
		since := never
		for queue, at := range q.Oldest {
			require.Equal(t, "q", queue)
			since = min(since, at)
		}
		return since
	}
	submit := func(q *Queue, at Time, o *Options) *Task {
		task := &Task{Options: o}
		refusal, lie := q.Submit(task, laneT, nil, false, at)
		require.False(t, refusal.Refused() || lie.Told())
		return task
	}
	keyed := &Options{Key: "k"}
	for name, run := range map[string]func(q *Queue){
		"a key": func(q *Queue) { submit(q, 1, keyed); submit(q, 2, keyed); submit(q, 3, keyed) },
		"a key, and others a worker": func(q *Queue) {
			submit(q, 1, keyed)
			submit(q, 2, keyed)
			submit(q, 3, keyed)
			for range 10 {
				submit(q, 4, nil)
			}
		},
		"a throttle": func(q *Queue) {
			q.Throttle(Throttle{Queue: "q"}, Limits{Concurrency: 1})
			submit(q, 1, nil)
			submit(q, 2, nil)
			submit(q, 3, nil)
		},
		"a pause": func(q *Queue) { q.Pause("q", true); submit(q, 2, nil); submit(q, 3, nil) },
		"its time, which has come": func(q *Queue) {
			q.Pause("q", true)
			submit(q, 1, &Options{Delay: 1})
			submit(q, 1, &Options{Delay: 10})
			q.Tick(2)
			submit(q, 3, nil)
		},
		"another attempt before a younger task": func(q *Queue) {
			first := submit(q, 1, &Options{Attempts: 2, First: 10})
			require.False(t, q.Began(1, first.ID(), 1).Told())
			q.Pause("q", true)
			submit(q, 2, nil)
			require.False(t, q.Ended(1, first.ID(), Verdict{Kind: Failed}, 1).Told())
			q.Tick(time.Hour) // the second attempt goes first, and has waited for a shorter time
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := worked(2, PoolOptions{})
			run(q)
			require.Equal(t, Time(2), oldest(q))
		})
	}
}

// TestManyNamesTakeNoMemory submits tasks of many queues, types and keys, and holds that the
// memory of what is left of them is bounded, and that nothing is lost from the sums.
func TestManyNamesTakeNoMemory(t *testing.T) {
	invented := 200_000
	if testing.Short() {
		invented = 50_000
	}
	q := New(Config{Limit: 1 << 30, LimitBytes: math.MaxInt, DeadLimit: 10, Rand: func() float64 { return 0 }})
	q.AddPool(1, PoolOptions{Queues: []string{"default"}})
	q.AddSlot(1, 1) // which may take any type
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var effects []Effect
	var before int64
	for i := range invented {
		if i == invented/10 { // whatever is kept at all is kept by now
			before = heap()
		}
		to := Lane{"default", fmt.Sprint("type", i), Normal}
		if i%3 == 0 { // nobody takes it
			to.Queue = fmt.Sprint("queue", i)
		}
		_, lie := q.Submit(&Task{Options: &Options{Key: fmt.Sprint("key", i)}}, to, nil, false, Time(i))
		require.False(t, lie.Told())
		if i%100 == 0 {
			q.CancelPending("")
		}
		effects = q.Effects(effects[:0])
	}
	q.CancelPending("")
	clear(q.Effects(effects[:0]))
	require.Less(t, heap()-before, int64(1<<20))
	for _, all := range []func(func(*Counts) bool){q.Queues, q.Types} {
		var sum Stats
		names := 0
		for c := range all {
			names++
			sum.add(c.Stats)
		}
		require.LessOrEqual(t, names, MostNames+1)
		require.Equal(t, q.Stats(), sum)
		require.Equal(t, sum.Received, sum.Cancelled+sum.Failed)
	}
	require.GreaterOrEqual(t, q.Stats().Received, 2*invented/3)
	require.Zero(t, q.Residue().Keys+q.Residue().Lanes)
}

// TestCountsOfManyNamesAreBounded invents a hundred times as many types as have counts of their own.
// Those that are in use, and those of which there are dead letters, keep their counts; the sums never
// lose anything.
func TestCountsOfManyNamesAreBounded(t *testing.T) {
	q := New(Config{Limit: 1 << 30, LimitBytes: math.MaxInt, DeadLimit: 10, Rand: func() float64 { return 0 }})
	invented := 100 * MostNames
	if testing.Short() {
		invented = 10 * MostNames
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
