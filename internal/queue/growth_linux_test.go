package queue

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the processor time that this thread has used.
func cpuTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// What happens to many tasks at once takes a time that grows no faster than their number, but for a
// logarithm: ten times as many take less than forty times the processor time of this thread, where
// a square would be a hundred. Three measurements are allowed: another process may cost one a lot.
func TestNothingIsQuadratic(t *testing.T) {
	keys := make([]*Options, 1000)
	for i := range keys {
		keys[i] = &Options{Key: strconv.Itoa(i)}
	}
	lanes := make([]Lane, 1000)
	for i := range lanes {
		lanes[i] = Lane{Queue: "q", Type: strconv.Itoa(i)}
	}
	fill := func(n int, o func(i int) *Options, to func(i int) Lane) *Queue {
		q := worked(1, PoolOptions{})
		q.AddSlot(99, 1) // which may take any type
		for i := range n {
			q.Submit(&Task{Options: o(i)}, to(i), nil, true, 0)
		}
		q.Effects(nil)
		return q
	}
	later := &Options{Delay: 1}
	plain := func(int) *Options { return nil }
	one := func(int) Lane { return laneT }
	for name, c := range map[string]struct {
		o   func(i int) *Options
		to  func(i int) Lane
		run func(q *Queue)
	}{
		"pausing":     {plain, one, func(q *Queue) { q.Pause("", true); q.Pause("", false) }},
		"cancelling":  {plain, one, func(q *Queue) { q.CancelPending("") }},
		"keys":        {func(i int) *Options { return keys[i%1000] }, one, func(q *Queue) { q.Stop(false) }},
		"one key":     {func(int) *Options { return keys[0] }, one, func(q *Queue) { q.Stop(false) }},
		"many types":  {plain, func(i int) Lane { return lanes[i%1000] }, func(q *Queue) { q.Gone(99, nil) }},
		"being due":   {func(int) *Options { return later }, one, func(q *Queue) { q.Tick(time.Hour) }},
		"coming back": {plain, one, func(q *Queue) { q.Leave(1, Death{}, 0) }},
		"a throttle": {plain, one, func(q *Queue) {
			q.Throttle(Throttle{Queue: "q"}, Limits{Concurrency: 1, Rate: 1})
			q.Throttle(Throttle{Queue: "q"}, Limits{})
		}},
		"a throttled key": {func(int) *Options { return keys[0] }, one, func(q *Queue) {
			q.Throttle(Throttle{PerKey: true}, Limits{Concurrency: 1})
			q.Enter(2, 99, []string{"t"}, nil) // it looks at all, and all are parked
			q.Throttle(Throttle{PerKey: true}, Limits{})
		}},
		"the end of all":  {plain, one, func(q *Queue) { q.End() }},
		"workers' deaths": {plain, one, func(q *Queue) { q.Leave(1, Death{}, 0); q.Gone(1, nil); q.Gone(99, nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			measure := func(n int) time.Duration {
				q := fill(n, c.o, c.to)
				runtime.GC()
				begun := cpuTime()
				c.run(q)
				return cpuTime() - begun
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			few, many := time.Hour, time.Hour
			for range 3 {
				few, many = min(few, measure(5_000)), min(many, measure(50_000))
				if many <= 40*max(few, time.Millisecond) {
					t.Logf("5,000 take %v, 50,000 take %v", few, many)
					return
				}
			}
			t.Errorf("5,000 tasks take %v, and 50,000 take %v", few, many)
		})
	}
}
