package queue

import (
	"math"
	"runtime"
	"testing"
	"time"
	"unsafe"
)

// A Task is small: a million of them may wait.
func TestSizeOfTask(t *testing.T) {
	if n := unsafe.Sizeof(Task{}); n > 160 {
		t.Errorf("a Task takes %d bytes", n)
	}
}

// worked is a Queue with workers that are ready.
func worked(workers int, o PoolOptions) *Queue {
	q := New(Config{Limit: 1 << 30, LimitBytes: math.MaxInt, Rand: func() float64 { return 0 }})
	if o.Queues == nil {
		o.Queues = []string{"q"}
	}
	q.AddPool(1, o)
	for i := range workers {
		q.AddSlot(Slot(i+1), 1)
		q.Enter(Worker(i+1), Slot(i+1), []string{"t"}, []string{"p"})
	}
	q.Effects(nil)
	return q
}

// BenchmarkSubmitEnd is the life of a task, by all of its events: its submission, its hand-out, its
// beginning and its end, with the effects taken after each.
func BenchmarkSubmitEnd(b *testing.B) {
	for _, c := range []struct {
		name    string
		workers int
		from    Submitter
		options *Options
	}{
		{"one worker", 1, 0, nil},
		{"eight workers", 8, 0, nil},
		{"of a worker", 1, 1, nil},
		{"with a key", 1, 0, &Options{Key: "k"}},
		{"with a timeout", 1, 0, &Options{Timeout: time.Second}},
	} {
		b.Run(c.name, func(b *testing.B) {
			q := worked(c.workers, PoolOptions{})
			var effects []Effect
			number := uint64(0)
			now := Time(0)
			b.ReportAllocs()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			defer reportCPU(b, cpuTime())
			for b.Loop() {
				number++
				now += time.Microsecond
				t := &Task{From: c.from, Number: number, Options: c.options}
				q.Submit(t, laneT, nil, true, 0)
				effects = q.Effects(effects)
				if len(effects) > 2 { // the time is asked for
					q.Tick(now)
					effects = q.Effects(effects)
				}
				w := t.holder.id
				q.Began(w, t.id, now)
				effects = q.Effects(effects)
				q.Ended(w, t.id, Verdict{}, now+1)
				effects = q.Effects(effects)
			}
		})
	}
}

// BenchmarkThroughMany is the same for tasks of which many wait.
func BenchmarkThroughMany(b *testing.B) {
	q := worked(4, PoolOptions{Prefetch: 64})
	var effects []Effect
	var out []*Task
	now := Time(0)
	take := func() {
		effects = q.Effects(effects)
		for i := range effects {
			if e := &effects[i]; e.Kind == Assign {
				out = append(out, e.Task)
			}
		}
	}
	for range 100_000 {
		q.Submit(&Task{}, laneT, nil, true, 0)
		take()
	}
	b.ReportAllocs()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer reportCPU(b, cpuTime())
	for b.Loop() {
		now += time.Microsecond
		q.Submit(&Task{}, laneT, nil, true, 0)
		take()
		t := out[0]
		out = out[1:]
		w := t.holder.id
		q.Began(w, t.id, now)
		take()
		q.Ended(w, t.id, Verdict{}, now+time.Microsecond)
		take()
	}
}

// waiting measures what n tasks take that wait, in bytes each.
func waiting(n int, submit func(q *Queue, i int)) float64 {
	q := worked(1, PoolOptions{Prefetch: -1})
	var spare []Effect
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		submit(q, i)
		spare = q.Effects(spare)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(q)
	return float64(after.HeapAlloc-before.HeapAlloc) / float64(n)
}

// Tasks that wait take little, whatever they wait for.
func TestBytesOfWaitingTasks(t *testing.T) {
	n := 200_000
	key, delay := &Options{Key: "k"}, &Options{Delay: time.Hour}
	for name, submit := range map[string]func(q *Queue, i int){
		"of main": func(q *Queue, i int) { q.Submit(&Task{Number: uint64(i)}, laneT, nil, true, 0) },
		"of a worker": func(q *Queue, i int) {
			q.Submit(&Task{From: 1, Number: uint64(i + 1)}, laneT, nil, true, 0)
		},
		"with one key": func(q *Queue, i int) { q.Submit(&Task{Options: key}, laneT, nil, true, 0) },
		"delayed":      func(q *Queue, i int) { q.Submit(&Task{Options: delay}, laneT, nil, true, 0) },
	} {
		each := waiting(n, submit)
		t.Logf("%s: %.0f bytes", name, each)
		if each > 256 {
			t.Errorf("each of %d tasks %s takes %.0f bytes", n, name, each)
		}
	}
}

// reportCPU reports the processor time that was used since, which other load does not change much.
func reportCPU(b *testing.B, since time.Duration) {
	if cpu := cpuTime() - since; cpu > 0 {
		b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op")
	}
}
