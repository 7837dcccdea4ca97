package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// C08: Join returns when every task has its outcome, not when the last has been taken.
func TestC08_Join(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLab(t, &multiprolab.Config{InProcess: true}, workers("mapper", 2))
		require.NoError(t, l.Tasks().Join(t.Context())) // nothing to wait for
		begun := time.Now()
		for range 6 {
			_, err := multiprolab.Submit[time.Duration](t.Context(), l, "nap", time.Second, nil)
			require.NoError(t, err)
		}
		time.AfterFunc(2500*time.Millisecond, func() { // one more, while the last two run
			if _, err := multiprolab.Submit[time.Duration](context.Background(), l, "nap", 1700*time.Millisecond, nil); err != nil {
				t.Error(err)
			}
		})
		short, cancel := context.WithTimeout(t.Context(), time.Second+time.Millisecond)
		defer cancel()
		require.ErrorIs(t, l.Tasks().Join(short), context.DeadlineExceeded)
		require.NoError(t, l.Tasks().Join(t.Context()))
		require.Equal(t, 4700*time.Millisecond, time.Since(begun))
		require.Equal(t, multiprolab.TaskStats{Received: 7, Succeeded: 7}, l.Tasks().Stats())
	})
}

// C09: the counters add up at every moment and in the end, whatever becomes of the tasks.
func TestC09_StatsAddUp(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess, QueueLimit: 20}, workers("mapper", 3))
		ctx := bounded(t)
		stop := make(chan struct{})
		var watcher, group sync.WaitGroup
		addsUp := func() {
			s := l.Tasks().Stats()
			if s.Received != s.Succeeded+s.Failed+s.Cancelled+s.Queued+s.Running {
				t.Errorf("does not add up: %+v", s)
			}
			if s.Running > 3 {
				t.Errorf("%d tasks run on three workers", s.Running)
			}
		}
		watcher.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					addsUp()
					runtime.Gosched()
				}
			}
		})
		var succeeded, failed, cancelled, refused atomic.Uint64
		for g := range 10 {
			group.Go(func() {
				for i := range 50 {
					var f interface {
						Cancel()
						Result(ctx context.Context, v any) error
					}
					var err error
					switch (g + i) % 5 {
					case 0:
						f, err = multiprolab.Submit[int](ctx, l, "square", -1, nil) // fails
					case 1:
						f, err = l.Tasks().TrySubmit(ctx, "square", i, nil)
					default:
						f, err = multiprolab.Submit[int](ctx, l, "square", i, nil)
					}
					if errors.Is(err, multiprolab.ErrQueueFull) {
						refused.Add(1)
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					if (g+i)%5 == 4 {
						f.Cancel()
					}
					switch err := f.Result(ctx, new(int)); {
					case err == nil:
						succeeded.Add(1)
					case errors.Is(err, multiprolab.ErrCancelled):
						cancelled.Add(1)
					default:
						failed.Add(1)
					}
				}
			})
		}
		group.Wait()
		close(stop)
		watcher.Wait()
		addsUp()
		require.Equal(
			t,
			multiprolab.TaskStats{
				Received:  500 - refused.Load(),
				Succeeded: succeeded.Load(),
				Failed:    failed.Load(),
				Cancelled: cancelled.Load(),
			},
			l.Tasks().Stats(),
		)
		require.EqualValues(t, 100, failed.Load())
	})
}

// E06: what a handler sends during a task comes before its outcome: progress in order, tied to its
// task, and messages.
func TestE06_Progress(t *testing.T) {
	const steps = 50
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(
			t,
			&multiprolab.Config{InProcess: inProcess, Window: smallWindow},
			workers("prog", 2),
			workers("watcher", 1),
		)
		var texts notes
		multiprolab.Handle(l, "note", func(_ context.Context, s string) error { texts.add(s); return nil })
		checked := make(chan error, 1)
		l.After(0, func(ctx context.Context) error {
			got, err := multiprolab.DoWith[string](ctx, l, "program", order{"progress", fmt.Sprint(steps)}, nil)
			// main's loop waited in Do: the message stands in the inbox before the result
			for err == nil && texts.len() == 0 {
				var ok bool
				if ok, err = l.Receiver().TryReceive(ctx); err == nil && !ok {
					err = errors.New("the message came later than the result")
				}
			}
			if err == nil && got != "done" {
				err = errors.New(got)
			}
			checked <- err
			return nil
		})
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		require.NoError(t, await(t, checked, "the action"))

		var group sync.WaitGroup
		for g := range 4 { // each gets its own
			group.Go(func() {
				var got []int
				o := &multiprolab.TaskOptions{OnProgress: func(_ context.Context, m *multiprolab.Message) {
					var n int
					if err := m.Decode(&n); err != nil {
						t.Error(err)
					}
					if m.Type != "program" || m.Receiver != "main" {
						t.Errorf("progress of %q for %s", m.Type, m.Receiver)
					}
					got = append(got, n)
				}}
				r, err := multiprolab.DoWith[string](
					bounded(t),
					l,
					"program",
					order{"progress", fmt.Sprint(steps + g)},
					o,
				)
				if err != nil || r != "done" || len(got) != steps+g {
					t.Errorf("%q %v, %d reports", r, err, len(got))
				}
				for i, n := range got {
					if i != n {
						t.Errorf("report %d came as number %d", n, i)
					}
				}
			})
		}
		group.Wait()
		got, err := multiprolab.Call[int](bounded(t), l, "watcher", "watch", 7)
		require.NoError(t, err)
		require.Equal(t, 7, got)
		require.ErrorContains(t, multiprolab.Progress(context.Background(), 1), "only in the handler of a task")
	})
}

var _ = program("progress", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	n, err := strconv.Atoi(arg)
	if err != nil {
		return "", err
	}
	for i := range n {
		if err := multiprolab.Progress(ctx, i); err != nil {
			return "", err
		}
	}
	return "done", multiprolab.Send(ctx, w, "main", "note", "before the result")
})

// The worker that waits for the tasks of others.
var _ = worker("watcher", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "watch", func(ctx context.Context, n int) (int, error) {
		reports := 0
		o := &multiprolab.TaskOptions{OnProgress: func(context.Context, *multiprolab.Message) { reports++ }}
		_, err := multiprolab.DoWith[string](ctx, w, "program", order{"progress", fmt.Sprint(n)}, o)
		return reports, err
	})
	return nil
})

// F06: a full queue refuses who does not wait, and lets who waits in when there is room.
func TestF06_QueueLimit(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess, QueueLimit: 3}, workers("prog", 1))
		entered := make(chan string, 100)
		multiprolab.Handle(l, "blocked", func(_ context.Context, who string) error { entered <- who; return nil })
		multiprolab.Handle(l, "note", func(context.Context, string) error { return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		running, err := multiprolab.Submit[string](ctx, l, "program", order{"block", ""}, nil)
		require.NoError(t, err)
		await(t, entered, "the worker to be busy")
		var queued []*multiprolab.Future[any]
		for i := range 3 {
			s, err := l.Tasks().TrySubmit(ctx, "program", order{"note to main", fmt.Sprint(i)}, nil)
			require.NoError(t, err)
			queued = append(queued, s)
		}
		_, err = l.Tasks().TrySubmit(ctx, "program", order{"", ""}, nil)
		require.ErrorIs(t, err, multiprolab.ErrQueueFull)
		require.ErrorContains(t, err, "Config.QueueLimit")
		require.ErrorContains(t, err, "holds 3 tasks")

		// Who waits is told the cause of its context, and the task never runs.
		gaveUp := errors.New("gave up")
		short, cancel := context.WithCancelCause(ctx)
		refused := make(chan error, 1)
		go func() {
			_, err := multiprolab.Submit[string](short, l, "program", order{"note to main", "never"}, nil)
			refused <- err
		}()
		eventually(t, "the submission to wait", func() bool { return l.Tasks().Stats().Received == 5 })
		cancel(gaveUp)
		require.ErrorIs(t, await(t, refused, "the refusal"), gaveUp)

		// Who waits longer gets in, in its turn.
		waiting := make(chan error, 1)
		go func() {
			_, err := multiprolab.Do[string](ctx, l, "program", order{"note to main", "in the end"})
			waiting <- err
		}()
		eventually(t, "the submission to wait", func() bool { return l.Tasks().Stats().Received == 6 })
		_, err = l.Tasks().TrySubmit(ctx, "program", order{"", ""}, nil)
		require.ErrorIs(t, err, multiprolab.ErrQueueFull)
		running.Cancel()
		require.NoError(t, await(t, waiting, "the task that waited"))
		for _, s := range queued {
			require.NoError(t, s.Result(ctx, nil))
		}
		require.Equal(t, multiprolab.TaskStats{Received: 6, Succeeded: 4, Cancelled: 2}, l.Tasks().Stats())
	})
}

// F06: the same from a worker: TrySubmit is refused, and submitting far more than the queue holds
// neither deadlocks nor loses a task.
func TestF06_QueueLimitFromWorker(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(
			t,
			&multiprolab.Config{InProcess: inProcess, QueueLimit: 3, Window: smallWindow},
			workers("prog", 1),
			workers("mapper", 1),
		)
		got, err := multiprolab.Call[string](bounded(t), l, "prog", "program-call", order{"fill the queue", ""})
		require.NoError(t, err)
		require.Equal(t, "refused 1", got)
		got, err = multiprolab.Call[string](bounded(t), l, "prog", "program-call", order{"submit many", "2000"})
		require.NoError(t, err)
		require.Equal(t, "2664667000", got)
		require.NoError(t, l.Tasks().Join(bounded(t)))
		s := l.Tasks().Stats()
		require.EqualValues(t, 2004, s.Received)
		require.EqualValues(t, 2000, s.Succeeded)
		require.EqualValues(t, 4, s.Cancelled)
	})
}

var _ = program("fill the queue", func(ctx context.Context, w *multiprolab.Worker, _ string) (string, error) {
	var taken []*multiprolab.Future[any]
	for range 4 { // the first of them may be on the worker
		s, err := w.Tasks().Submit(ctx, "nap", time.Hour, nil)
		if err != nil {
			return "", err
		}
		taken = append(taken, s)
	}
	refused := 0
	if _, err := w.Tasks().TrySubmit(ctx, "nap", time.Hour, nil); errors.Is(err, multiprolab.ErrQueueFull) {
		refused++
	} else {
		return "", fmt.Errorf("not refused: %w", err)
	}
	for _, s := range taken {
		s.Cancel()
	}
	for _, s := range taken {
		if err := s.Result(ctx, nil); !errors.Is(err, multiprolab.ErrCancelled) {
			return "", fmt.Errorf("not cancelled: %w", err)
		}
	}
	return fmt.Sprint("refused ", refused), nil
})

var _ = program("submit many", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	n, err := strconv.Atoi(arg)
	if err != nil {
		return "", err
	}
	var futures []*multiprolab.Future[int]
	for i := range n {
		f, err := multiprolab.Submit[int](ctx, w, "square", i, nil)
		if err != nil {
			return "", err
		}
		futures = append(futures, f)
	}
	sum := 0
	for _, f := range futures {
		r, err := f.Wait(ctx)
		if err != nil {
			return "", err
		}
		sum += r
	}
	return fmt.Sprint(sum), nil
})

// The worker that pulls its tasks. Its program is given by the variable PULL.
var _ = worker("puller", func(ctx context.Context, w *multiprolab.Worker) error {
	w.PullTasks("pulled", "other")
	multiprolab.HandleTask(w, "handled", func(_ context.Context, n int) (int, error) { return n + 1, nil })
	got := make(chan *multiprolab.Task, 10)
	asked := make(chan string, 10)
	go func() { // from before the worker is ready to its end
		for how := range asked {
			taskCtx, cancel := ctx, func() {}
			if how == "briefly" {
				taskCtx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
			}
			var t *multiprolab.Task
			var err error
			switch how {
			case "try":
				t, err = w.Tasks().TryGet(taskCtx)
			case "other":
				t, err = w.Tasks().Get(taskCtx, "other")
			default:
				t, err = w.Tasks().Get(taskCtx)
			}
			cancel()
			if err != nil {
				how := "other"
				for name, is := range map[string]error{"none": multiprolab.ErrNoTask, "stopped": multiprolab.ErrStopped, "exit": multiprolab.ErrExit, "deadline": context.DeadlineExceeded} {
					if errors.Is(err, is) {
						how = name
					}
				}
				_ = multiprolab.Send(context.Background(), w, "main", "note", "no task: "+how)
				continue
			}
			got <- t
			_ = multiprolab.Send(context.Background(), w, "main", "note", "got "+t.Type)
		}
	}()
	w.OnExit(func(context.Context) error { close(asked); return nil })
	asked <- "from setup"
	multiprolab.Handle(w, "get", func(_ context.Context, how string) error { asked <- how; return nil })
	multiprolab.HandleCall(w, "end", func(ctx context.Context, how string) (string, error) {
		t := <-got
		if multiprolab.TaskFrom(t.Context()) != t {
			return "", errors.New("the task's context does not know it")
		}
		var n int
		if err := t.Decode(&n); err != nil {
			return "", err
		}
		switch how {
		case "done":
			return "", t.Done(n * 10)
		case "fail":
			return "", t.Fail(fmt.Errorf("%d is no good", n))
		case "twice":
			first := t.Done(n * 10)
			return fmt.Sprint(t.Done(1), "|", t.Fail(errors.New("x"))), first
		case "fail with nothing":
			err := t.Fail(nil)
			return fmt.Sprint(err), t.Done(0)
		case "not encodable":
			return fmt.Sprint(t.Done(make(chan int))), nil
		case "wait":
			if err := multiprolab.Send(ctx, w, "main", "note", "waits"); err != nil {
				return "", err
			}
			<-t.Context().Done()
			return fmt.Sprint(context.Cause(t.Context())), t.Fail(context.Cause(t.Context()))
		}
		return "", errors.New("no such end: " + how)
	})
	return nil
})

// TaskQueue.Get and TaskQueue.TryGet take tasks in their own time, from a goroutine that began in the setup
// function, and each is ended once.
func TestPulledTasks(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("puller", 1))
		said := make(chan string, 100)
		multiprolab.Handle(l, "note", func(_ context.Context, s string) error { said <- s; return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		submit := func(typ string, n int) *multiprolab.Future[int] {
			f, err := multiprolab.Submit[int](ctx, l, typ, n, nil)
			require.NoError(t, err)
			return f
		}
		get := func(how string) { require.NoError(t, multiprolab.Send(ctx, l, "puller", "get", how)) }
		end := func(how string) string {
			got, err := multiprolab.Call[string](ctx, l, "puller", "end", how)
			require.NoError(t, err)
			return got
		}
		f := submit("pulled", 1) // for the TaskQueue.Get that began in the setup function
		require.Equal(t, "got pulled", await(t, said, "the task"))
		require.EqualValues(t, 1, l.Tasks().Stats().Running)
		end("done")
		r, err := f.Wait(ctx)
		require.NoError(t, err)
		require.Equal(t, 10, r)

		get("try")
		require.Equal(t, "no task: none", await(t, said, "the answer"))
		f = submit("pulled", 2)
		get("other") // it wants another type
		g := submit("other", 3)
		require.Equal(t, "got other", await(t, said, "the task"))
		require.Contains(t, end("twice"), "ended already")
		r, err = g.Wait(ctx)
		require.NoError(t, err)
		require.Equal(t, 30, r)
		get("try")
		require.Equal(t, "got pulled", await(t, said, "the task"))
		end("fail")
		_, err = f.Wait(ctx)
		require.ErrorContains(t, err, "2 is no good")

		get("briefly") // its context ends: no task is lost by that
		require.Equal(t, "no task: deadline", await(t, said, "the end of the context"))
		for range 20 { // in the same moment as the task comes, too
			get("briefly")
			f = submit("pulled", 4)
			if s := await(t, said, "an answer"); s != "got pulled" {
				require.Equal(t, "no task: deadline", s)
				get("any")
				require.Equal(t, "got pulled", await(t, said, "the task that was not taken"))
			}
			end("done")
			r, err = f.Wait(ctx)
			require.NoError(t, err)
			require.Equal(t, 40, r)
		}

		f = submit("pulled", 5)
		get("any")
		require.Equal(t, "got pulled", await(t, said, "the task"))
		require.Contains(t, end("not encodable"), "cannot be encoded")
		_, err = f.Wait(ctx)
		var encode *multiprolab.EncodeError
		require.ErrorAs(t, err, &encode)

		f = submit("pulled", 6)
		get("any")
		require.Equal(t, "got pulled", await(t, said, "the task"))
		require.Contains(t, end("fail with nothing"), "call Done instead")
		_, err = f.Wait(ctx)
		require.NoError(t, err)

		f = submit("pulled", 7) // cancelled while somebody works on it
		get("any")
		require.Equal(t, "got pulled", await(t, said, "the task"))
		ended := make(chan string, 1)
		go func() {
			got, err := multiprolab.Call[string](ctx, l, "puller", "end", "wait")
			ended <- fmt.Sprint(got, err)
		}()
		require.Equal(t, "waits", await(t, said, "the handler"))
		f.Cancel()
		require.Contains(t, await(t, ended, "the handler"), "cancelled")
		_, err = f.Wait(ctx)
		require.ErrorIs(t, err, multiprolab.ErrCancelled)

		r, err = multiprolab.Do[int](ctx, l, "handled", 1) // the loop is free all the time
		require.NoError(t, err)
		require.Equal(t, 2, r)
		get("any") // one that waits at the end
		require.NoError(t, l.Close())
		stats := l.Tasks().Stats()
		require.Equal(t, stats.Received, stats.Succeeded+stats.Failed+stats.Cancelled)
		require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
	})
}

// G06: many goroutines share a pool; each gets the outcome of its own tasks, also of those that are
// submitted when another has ended.
func TestG06_SharedPool(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess, QueueLimit: 16}, workers("mapper", 3))
		ctx := bounded(t)
		var group sync.WaitGroup
		var sum atomic.Int64
		for g := range 10 {
			group.Go(func() {
				for i := range 100 {
					f, err := multiprolab.Submit[int](ctx, l, "square", g*100+i, nil)
					if err != nil {
						t.Error(err)
						return
					}
					if i%10 == 0 { // in a completion
						group.Go(func() {
							<-f.Done()
							r, err := multiprolab.Do[int](ctx, l, "square", 2)
							if err != nil || r != 4 {
								t.Error(r, err)
							}
						})
					}
					r, err := f.Wait(ctx)
					if err != nil {
						t.Error(err)
					}
					sum.Add(int64(r))
				}
			})
		}
		group.Wait()
		require.EqualValues(t, 332833500, sum.Load())
		require.EqualValues(t, 1100, l.Tasks().Stats().Succeeded)
	})
}

// What a worker may ask for is bounded on its own side, so that no honest one is taken for a liar:
// more calls of TaskQueue.Get at a time than main takes are an error, and a type that is named often
// counts once.
func TestPullsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		refused := make(chan error, 2000)
		l.RegisterWorker("pulls", func(ctx context.Context, w *multiprolab.Worker) error {
			w.PullTasks("a", "b")
			multiprolab.HandleCall(w, "many", func(_ context.Context, n int) (int, error) {
				for range n {
					go func() { // ends with the worker, or at once
						_, err := w.Tasks().Get(ctx, "a")
						refused <- err
					}()
				}
				return w.Life(), nil
			})
			multiprolab.HandleCall(w, "twice", func(ctx context.Context, _ struct{}) (string, error) {
				task, err := w.Tasks().TryGet(ctx, "b", "b", "b", "b")
				if err != nil {
					return "", err
				}
				return task.Type, task.Done(nil)
			})
			return nil
		}, nil)
		require.NoError(t, l.Start(t.Context()))
		f, err := multiprolab.Submit[struct{}](t.Context(), l, "b", nil, nil)
		require.NoError(t, err)
		typ, err := multiprolab.Call[string](t.Context(), l, "pulls", "twice", nil)
		require.NoError(t, err)
		require.Equal(t, "b", typ)
		_, err = f.Wait(t.Context())
		require.NoError(t, err)
		for range 2 {
			life, err := multiprolab.Call[int](t.Context(), l, "pulls", "many", 1000)
			require.NoError(t, err)
			require.Equal(t, 1, life)
		}
		synctest.Wait()
		require.Len(t, refused, 2000-1024)
		require.ErrorContains(t, <-refused, "1024 calls of TaskQueue.Get")
		require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
		require.NoError(t, l.Close())
	})
}

// A task does not wait behind a long message handler while another worker has nothing to do.
func TestTaskLeavesAWorkerThatHandlesAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := make(chan string, 2)
		l := newLab(t, &multiprolab.Config{InProcess: true})
		l.RegisterWorker("p", func(_ context.Context, w *multiprolab.Worker) error {
			multiprolab.HandleTask(w, "sleep", func(_ context.Context, d time.Duration) (string, error) {
				begun <- w.Name()
				time.Sleep(d)
				return w.Name(), nil
			})
			multiprolab.Handle(w, "doze", func(_ context.Context, d time.Duration) error { time.Sleep(d); return nil })
			return nil
		}, &multiprolab.WorkerConfig{Count: 2})
		require.NoError(t, l.Start(t.Context()))
		start := time.Now()
		busy, err := multiprolab.Submit[string](t.Context(), l, "sleep", time.Second, nil)
		require.NoError(t, err)
		// Whichever worker became ready first has the task.
		works := <-begun
		dozes := map[string]string{"p/0": "p/1", "p/1": "p/0"}[works]
		require.NoError(t, multiprolab.Send(t.Context(), l, dozes, "doze", time.Minute))
		synctest.Wait()
		// Only the one that handles the message has room for this at first.
		name, err := multiprolab.Do[string](t.Context(), l, "sleep", time.Duration(0))
		require.NoError(t, err)
		require.Equal(t, works, name)
		require.Less(t, time.Since(start), 2*time.Second)
		name, err = busy.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, works, name)
		time.Sleep(time.Minute)
		require.NoError(t, l.Close())
	})
}
