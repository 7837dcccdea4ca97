package multiprolab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/meta"
)

// These tests are about what the queue holds: how much, whose, and how long.

// sized submits a task of main with a body of some bytes, which waits for room if there is none.
func (th *theatre) sized(bytes int, o *TaskOptions) *asked {
	th.t.Helper()
	m, err := meta.Unmarshal(o.marshal("", false))
	if err != nil {
		th.t.Fatal(err)
	}
	a := &asked{what: "t"}
	p := codec.Payload{Encoding: codec.Bytes, Data: make([]byte, bytes)}
	if err := th.offer(a, p, &m, 0, "t"); err != nil {
		th.t.Fatal(err)
	}
	return a
}

// tries is TrySubmit of a task with a body of some bytes.
func (th *theatre) tries(bytes int, o *TaskOptions) error {
	s, err := th.Tasks().TrySubmit(context.Background(), "t", make([]byte, bytes), o)
	if err == nil {
		s.Cancel()
	}
	return err
}

// taskCost is what a task counts for beyond its body, in bytes.
const taskCost = 1 << 10

func TestQueueBytes(t *testing.T) {
	const full, half = 100 << 10, 50 << 10
	hour := &TaskOptions{Delay: time.Hour}
	for name, run := range map[string]func(t *testing.T, th *theatre){
		"count bodies and a constant": func(t *testing.T, th *theatre) {
			th.sized(half, nil)
			for _, c := range []struct {
				bytes int
				fits  bool
			}{{half, false}, {half - 3*taskCost, true}, {half - 2*taskCost, true}, {half - 2*taskCost + 1, false},
				{0, true}} {
				err := th.tries(c.bytes, nil)
				if c.fits != (err == nil) || !c.fits && !errors.Is(err, ErrQueueFull) {
					t.Errorf("%d bytes more: %v", c.bytes, err)
				} else if !c.fits && !strings.Contains(err.Error(), "Config.QueueBytes") {
					t.Errorf("the error does not name the field: %v", err)
				}
			}
		},
		"count delayed tasks": func(t *testing.T, th *theatre) {
			th.sized(half, hour)
			if err := th.tries(half, nil); !errors.Is(err, ErrQueueFull) {
				t.Errorf("it was taken: %v", err)
			}
			if err := th.tries(half, hour); !errors.Is(err, ErrQueueFull) {
				t.Errorf("it was taken: %v", err)
			}
		},
		"make a submission wait": func(t *testing.T, th *theatre) {
			first := th.sized(half, nil)
			second := th.sized(half, nil)
			third := th.sized(1, nil) // it does not overtake
			if th.stateOf(second.job) != "blocked" || th.stateOf(third.job) != "blocked" {
				t.Fatal("they do not wait")
			}
			first.cancel()
			if th.stateOf(second.job) != "queued" || th.stateOf(third.job) != "queued" {
				t.Error("they wait on, though there is room")
			}
		},
		"let a larger task pass alone": func(t *testing.T, th *theatre) {
			small := th.sized(1, nil)
			large := th.sized(2*full, nil)
			if th.stateOf(large.job) != "blocked" {
				t.Fatal("it does not wait")
			}
			small.cancel()
			if th.stateOf(large.job) != "queued" {
				t.Error("it waits for ever")
			}
			if err := th.tries(0, nil); !errors.Is(err, ErrQueueFull) {
				t.Errorf("there was room beside it: %v", err)
			}
		},
		"do not count what a worker has": func(t *testing.T, th *theatre) {
			th.Tasks().Resume("")
			w := th.enter("p/0", "t")
			a := th.sized(2*full, nil)
			if !w.has(a) {
				t.Fatal("it is not with the worker")
			}
			if err := th.tries(half, nil); err != nil {
				t.Error(err) // it could be a task of that very task
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				th := newTheatre(t, &Config{QueueBytes: full}, map[string]WorkerConfig{"p": {}})
				th.Tasks().Pause(DefaultQueue)
				run(t, th)
				th.check("it")
				th.settle("t")
			})
		})
	}
}

func TestQueueBytesHaveADefault(t *testing.T) {
	if n := defaultQueueBytes(); n <= 0 || n > 1<<30 {
		t.Errorf("the default is %d", n)
	}
	bad := map[string]*Config{"Config.QueueBytes": {QueueBytes: -1}, "Config.QueueLimit": {QueueLimit: -1}}
	for field, c := range bad {
		var bad *ConfigError
		if _, err := c.filled(); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// A million tasks of an int may wait: what main keeps of each is little.
func TestBytesOfQueuedTasks(t *testing.T) {
	const n, most = 100_000, 400
	for _, by := range []string{"main", "a worker"} {
		cfg := &Config{QueueLimit: 1 << 30, QueueBytes: math.MaxInt}
		th := newTheatre(t, cfg, map[string]WorkerConfig{"p": {}})
		w := th.enter("p/0", "t")
		th.Tasks().Pause("")
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			p, err := th.encode("", "t", i)
			if err != nil {
				t.Fatal(err)
			}
			var m meta.Task
			j := newJob(p, &m)
			j.Number = uint64(i + 1)
			if by != "main" {
				j.client = w.client
			}
			if err := th.broker.submit(j, &m, "t", true); err != nil {
				t.Fatal(err)
			}
		}
		w.hear() // that they were accepted
		w.out = bytes.Buffer{}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := int64(after.HeapAlloc-before.HeapAlloc) / n
		if t.Logf("a task of %s takes %d bytes", by, each); each > most {
			t.Errorf("a task of %s takes %d bytes, and should take %d at most", by, each, most)
		}
		th.broker.end(ErrStopped)
	}
}

// Delayed tasks, and those that wait for another attempt, take no room from those that are due.
func TestDelayedTasksTakeNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t, &Config{QueueLimit: 2}, map[string]WorkerConfig{"p": {}})
		th.Tasks().Pause(DefaultQueue)
		later := &TaskOptions{Delay: time.Hour}
		for range 10 {
			th.sized(1, later)
		}
		for range 2 {
			if a := th.sized(1, nil); th.stateOf(a.job) != "queued" {
				t.Fatal("it waits for room")
			}
		}
		if err := th.tries(1, nil); !errors.Is(err, ErrQueueFull) {
			t.Errorf("a third was taken: %v", err)
		}
		waits := th.sized(1, nil)
		if err := th.tries(1, later); err != nil {
			t.Errorf("a delayed one needs none of the room that is lacking: %v", err)
		}
		th.check("the submissions")
		time.Sleep(2 * time.Hour) // they are due now, and there are more than may be
		th.check("their time")
		if th.stateOf(waits.job) != "blocked" {
			t.Error("it has overtaken")
		}
		th.settle("t")
	})
}

// Times without end are no times that have come.
func TestTimesWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t, nil, map[string]WorkerConfig{"p": {}})
		w := th.enter("p/0", "t")
		endless := &TaskOptions{Timeout: math.MaxInt64, Grace: math.MaxInt64}
		a := th.sized(1, endless)
		w.hear()
		w.start(a.taskID())
		late := th.sized(1, &TaskOptions{Delay: math.MaxInt64})
		time.Sleep(24 * time.Hour)
		if th.stateOf(a.job) != "running" || a.job.State() != "running" || th.stateOf(late.job) != "delayed" {
			t.Error("an endless time has come")
		}
		a.cancel()
		late.cancel()
		time.Sleep(24 * time.Hour)
		if w.body.killed.Load() {
			t.Error("an endless grace is over")
		}
		w.end(a.taskID(), nil)
		th.settle("t")
	})
}

// What is cancelled leaves its place at once, and nothing keeps its body, though nobody draws from
// where it waited.
func TestCancelledTasksLetTheirBodiesGo(t *testing.T) {
	ways := map[string]*TaskOptions{"queued": nil, "delayed": {Delay: time.Hour}, "parked": {Key: "k"}, "blocked": nil}
	for how, cancel := range map[string]func(th *theatre, a *asked){
		"by its submitter":   func(_ *theatre, a *asked) { a.cancel() },
		"with CancelPending": func(th *theatre, _ *asked) { th.Tasks().CancelPending(DefaultQueue) },
	} {
		for name, o := range ways {
			t.Run(how+"/"+name, func(t *testing.T) {
				th := newTheatre(t, &Config{QueueLimit: 1}, map[string]WorkerConfig{"p": {Count: 2}})
				w := th.enter("p/0", "t")
				switch name {
				case "parked":
					busy := th.sized(1, o)
					w.hear()
					w.start(busy.taskID())
					th.enter("p/1", "t") // it brings the next one to the front
				case "blocked":
					th.Tasks().Pause("")
					th.sized(1, nil)
				default:
					th.Tasks().Pause("")
				}
				a := th.sized(1<<20, o)
				body := weak.Make(&a.job.payload.Data[0])
				if th.stateOf(a.job) == "assigned" || th.stateOf(a.job) == "running" {
					t.Fatal("it waits for nobody")
				}
				cancel(th, a)
				if !errors.Is(a.err, ErrCancelled) {
					t.Fatalf("its outcome is %v", a.err)
				}
				a.job, a.sub = nil, nil
				for range 3 {
					runtime.GC()
				}
				if body.Value() != nil {
					t.Error("its body is still there")
				}
				runtime.KeepAlive(th)
			})
		}
	}
}

// CancelPending cancels what waits when it is called: all of that, and nothing that gets room by
// it.
func TestCancelPendingTakesAllAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pools := map[string]WorkerConfig{"p": {Queues: []string{DefaultQueue, "other"}}}
		th := newTheatre(t, &Config{QueueLimit: 3}, pools)
		w := th.enter("p/0", "t")
		busy := th.sized(1, nil)
		w.hear()
		w.start(busy.taskID())
		var here, there []*asked
		for i := range 8 { // of which 3 are in the queue, and the others wait for room
			if i%2 == 0 {
				here = append(here, th.sized(1, nil))
			} else {
				there = append(there, th.sized(1, &TaskOptions{Queue: "other"}))
			}
		}
		if n := th.Tasks().CancelPending(DefaultQueue); n != len(here) {
			t.Errorf("%d were cancelled, of %d", n, len(here))
		}
		for _, a := range here {
			if !errors.Is(a.err, ErrCancelled) {
				t.Errorf("%v", a.err)
			}
		}
		for _, a := range there {
			if a.outcomes > 0 {
				t.Errorf("one of another queue has ended: %v", a.err)
			}
		}
		th.check("it")
		th.settle("t")
	})
}

// dead has a task of a type fail in all its attempts, and returns what is in the list then.
func (th *theatre) dead(w *puppet, typ string) *DeadTask {
	th.t.Helper()
	a, err := th.submit(nil, typ, 0, again)
	if err != nil {
		th.t.Fatal(err)
	}
	return th.fails(w, a)
}

// fails has a task fail in both its attempts, and returns it as a dead letter.
func (th *theatre) fails(w *puppet, a *asked) *DeadTask {
	th.t.Helper()
	for range 2 {
		synctest.Wait()
		w.hear()
		w.start(a.taskID())
		w.end(a.taskID(), &RemoteError{Text: "no"})
	}
	dead := th.Tasks().Dead()
	return dead[len(dead)-1]
}

func TestRetryDead(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, th *theatre, w *puppet){
		"keeps the ids": func(t *testing.T, th *theatre, w *puppet) {
			id := th.dead(w, "t").ID
			if n, err := th.Tasks().RetryDead(id); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			synctest.Wait()
			w.hear()
			if w.waiting[0].ID != id || len(th.Tasks().Dead()) != 0 {
				t.Errorf("task %d has become %d", id, w.waiting[0].ID)
			}
		},
		"leaves those in the list that it cannot queue": func(t *testing.T, th *theatre, w *puppet) {
			var want []uint64
			for i := range 6 {
				if d := th.dead(w, []string{"t", "u"}[i%2]); d.Type == "u" {
					want = append(want, d.ID)
				}
			}
			w.die(w.death())
			th.enter("p/0", "t") // nobody takes u any more
			n, err := th.Tasks().RetryDead()
			if n != 3 || err == nil || strings.Count(err.Error(), `dead task "u"`) != 3 {
				t.Errorf("%d were put back: %v", n, err)
			}
			var unknown *UnknownTypeError
			if !errors.As(err, &unknown) {
				t.Errorf("why is not told: %v", err)
			}
			var got []uint64
			for _, d := range th.Tasks().Dead() {
				got = append(got, d.ID)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("left are %v, should be %v", got, want)
			}
			if n := th.Tasks().DropDead(want[1], 4711); n != 1 || len(th.Tasks().Dead()) != 2 {
				t.Errorf("%d were dropped", n)
			}
		},
		"stops at nothing when the program ends": func(t *testing.T, th *theatre, w *puppet) {
			th.dead(w, "t")
			th.dead(w, "t")
			th.broker.stop(ErrStopped, true)
			if n, err := th.Tasks().RetryDead(); n != 0 || !errors.Is(err, ErrStopped) || len(th.Tasks().Dead()) != 2 {
				t.Errorf("%d were put back: %v", n, err)
			}
		},
		"has what fails for good come back": func(t *testing.T, th *theatre, w *puppet) {
			id := th.dead(w, "t").ID
			th.retry(id)
			w.hear()
			w.start(id)
			w.end(id, &RemoteError{Text: "never", final: true})
			th.isBack(id, "never")
		},
		"has what nobody takes any more come back": func(t *testing.T, th *theatre, w *puppet) {
			id := th.dead(w, "t").ID
			th.Tasks().Pause("")
			th.retry(id)
			w.die(w.death())
			th.enter("p/0", "u")
			th.isBack(id, "no")
		},
		"forgets what succeeds, and what is cancelled": func(t *testing.T, th *theatre, w *puppet) {
			th.dead(w, "t")
			th.retry()
			w.work()
			th.dead(w, "t")
			th.Tasks().Pause("")
			th.retry()
			if n := th.Tasks().CancelPending(""); n != 1 || len(th.Tasks().Dead()) != 0 {
				t.Errorf("%d were cancelled, and %d are dead", n, len(th.Tasks().Dead()))
			}
		},
		"goes to any worker, whoever waited for it once": func(t *testing.T, th *theatre, w *puppet) {
			m := again.travelling("main,p/0") // of which the second does not wait yet
			m.Waits = true
			a := &asked{what: "t"}
			if err := th.offer(a, codec.Payload{}, &m, 0, "t"); err != nil {
				t.Fatal(err)
			}
			id := th.fails(w, a).ID
			th.wait("p/0")
			th.retry(id)
			w.hear()
			if len(w.waiting) != 1 {
				t.Error("it is kept from a worker that does not wait any more")
			}
		},
	} {
		for _, kind := range []string{"in memory", "in a Backend"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cfg := &Config{}
					if kind == "in a Backend" {
						cfg.Backend = backend.NewMemory()
					}
					th := newTheatre(t, cfg, map[string]WorkerConfig{"p": {}})
					run(t, th, th.enter("p/0", "t", "u"))
					synctest.Wait()
					th.check("it")
					th.settle("t", "u")
				})
			})
		}
	}
}

// retry puts dead tasks back.
func (th *theatre) retry(ids ...uint64) {
	th.t.Helper()
	if n, err := th.Tasks().RetryDead(ids...); n != 1 || err != nil {
		th.t.Fatal(n, err)
	}
	synctest.Wait()
}

// isBack checks that a task is in the list of dead letters, alone, and how it ended the last time.
func (th *theatre) isBack(id uint64, text string) {
	th.t.Helper()
	synctest.Wait()
	dead := th.Tasks().Dead()
	if len(dead) != 1 || dead[0].ID != id {
		th.t.Fatalf("dead are %+v", dead)
	}
	if all := dead[0].Err.Attempts; !strings.Contains(all[len(all)-1].Error(), text) {
		th.t.Errorf("it ended with %v", all)
	}
}

// noEnqueue is a Backend that stores nothing once it is broken.
type noEnqueue struct {
	*backend.Memory
	broken bool
}

func (b *noEnqueue) Enqueue(ctx context.Context, tasks ...backend.Task) ([]backend.Receipt, error) {
	if b.broken {
		return nil, errLedger
	}
	return b.Memory.Enqueue(ctx, tasks...)
}

// A dead task that the Backend does not store again stays in the list.
func TestRetryDeadThatCannotBeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &noEnqueue{Memory: backend.NewMemory()}
		th := newTheatre(t, &Config{Backend: b}, map[string]WorkerConfig{"p": {}})
		id := th.dead(th.enter("p/0", "t"), "t").ID
		synctest.Wait()
		b.broken = true
		th.retry(id)
		th.isBack(id, "no")
		th.broker.end(ErrStopped)
	})
}

// Prefetch can be switched off: a worker is handed a task when it has none.
func TestPrefetchOff(t *testing.T) {
	for prefetch, want := range map[int]int{-1: 1, 3: 4, 0: 20} {
		t.Run(fmt.Sprint(prefetch), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				th := newTheatre(t, nil, map[string]WorkerConfig{"p": {Prefetch: prefetch}})
				w := th.enter("p/0", "t")
				quick := th.sized(1, nil)
				w.hear()
				w.start(quick.taskID())
				time.Sleep(time.Microsecond)
				w.end(quick.taskID(), nil)
				for range 20 {
					th.sized(1, nil)
				}
				if w.hear(); len(w.waiting) != want {
					t.Errorf("the worker has %d tasks, should have %d", len(w.waiting), want)
				}
				th.settle("t")
			})
		})
	}
}
