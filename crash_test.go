package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// death is what a test expects of the error of a dead worker.
type death struct {
	how    string
	code   int
	signal string
	stderr []string
	reason string
}

// TestA01_DeathDuringTask covers A03 as well: after each death the next task is taken and runs in a
// new process.
func TestA01_DeathDuringTask(t *testing.T) {
	testDeaths(t, []death{
		{how: "exit 0", code: 0, reason: "os.Exit(0)"},
		{how: "exit 1", code: 1},
		{how: "exit 3", code: 3},
		{how: "panic", code: 2, stderr: []string{"panic: a test panics", "goroutine ", "main_test.go"}},
		{how: "stray panic", code: 2, stderr: []string{"panic: a stray goroutine panics", "goroutine "}},
		{how: "nil", code: 2, stderr: []string{"nil pointer dereference", "goroutine "}},
	})
}

func testDeaths(t *testing.T, deaths []death) {
	l := startLab(t, nil, quickly("guest", 1))
	before := l.who(t)
	for _, d := range deaths {
		t.Run(d.how, func(t *testing.T) {
			_, err := multiprolab.Do[int](bounded(t), l, "guest-die", d.how)
			var died *multiprolab.WorkerDiedError
			require.ErrorAs(t, err, &died)
			require.Equal(t, "guest/0", died.Worker)
			require.Equal(t, before.PID, died.PID)
			require.Equal(t, before.Life, died.Life)
			require.Equal(t, d.code, died.ExitCode)
			require.Equal(t, d.signal, died.Signal)
			require.Equal(t, `task "guest-die" (attempt 1 of 1)`, died.During)
			require.Contains(t, died.Reason, d.reason)
			require.Contains(t, err.Error(), fmt.Sprintf("worker guest/0 (pid %d): ", before.PID))
			if d.signal != "" {
				require.Contains(t, err.Error(), "killed by "+d.signal)
			} else {
				require.Contains(t, err.Error(), fmt.Sprintf("exited with status %d", d.code))
			}
			for _, text := range d.stderr {
				require.Contains(t, died.Stderr, text)
			}
			if len(d.stderr) > 0 {
				require.Contains(t, err.Error(), d.stderr[0])
			}
			require.False(t, alive(died.PID), "the error came before process %d was reaped", died.PID)

			after := l.who(t)
			require.NotEqual(t, before.PID, after.PID)
			require.Equal(t, before.Life+1, after.Life)
			require.Equal(t, 1, after.Attempt)
			before = after
		})
	}
}

// TestA01_DeathDuringCall: the caller of a handler that dies gets the same error, at once.
func TestA01_DeathDuringCall(t *testing.T) {
	l := startLab(t, nil, quickly("lab", 1))
	_, err := multiprolab.Call[int](bounded(t), l, "lab", "call-die", "panic")
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Equal(t, `call "call-die"`, died.During)
	require.Contains(t, died.Stderr, "panic: a test panics")
	_, err = multiprolab.Call[int](bounded(t), l, "lab", "call-pid", nil)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for _, e := range l.all() {
		_, dead := e.(*multiprolab.DeadLetter)
		require.False(t, dead, "the caller has been told, and nobody else has to be: %+v", e)
	}
}

// TestA03_DeathWhileIdle: a death that costs nobody anything is told as an event, and the worker is
// replaced.
func TestA03_DeathWhileIdle(t *testing.T) {
	l := startLab(t, nil, quickly("lab", 1))
	require.NoError(t, multiprolab.Send(bounded(t), l, "lab", "msg-die", "exit 3"))
	failed := waitEvent[*multiprolab.WorkerFailed](t, l, nil)
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, failed.Err, &died)
	require.Equal(t, 3, died.ExitCode)
	require.True(t, failed.Restart)
	pid, err := multiprolab.Do[int](bounded(t), l, "pid", nil)
	require.NoError(t, err)
	require.NotEqual(t, died.PID, pid)
	dead := waitEvent[*multiprolab.DeadLetter](t, l, nil)
	require.Equal(t, "msg-die", dead.Type, "the message that was not handled to its end is reported")
}

// TestA04_OneOfThreeDies: 100 tasks on 3 workers, one of which dies, are 99 results and 1 error.
func TestA04_OneOfThreeDies(t *testing.T) {
	for _, prefetch := range []int{0, 8} {
		t.Run(fmt.Sprint("prefetch ", prefetch), func(t *testing.T) {
			p := quickly("guest", 3)
			p.cfg.Prefetch = prefetch
			g, l := newGate(t), startLab(t, nil, p)
			victim := l.submit(t, "visit", g.visit("victim"), nil)
			v := g.next(t)
			var others []*multiprolab.Future[whoami]
			for range 99 {
				f, err := multiprolab.Submit[whoami](bounded(t), l, "who", nil, nil)
				require.NoError(t, err)
				others = append(others, f)
			}
			v.tell("die exit 1")
			_, err := outcome(t, victim)
			var died *multiprolab.WorkerDiedError
			require.ErrorAs(t, err, &died)
			require.Equal(t, v.pid, died.PID)
			for i, f := range others {
				w, err := outcome(t, f)
				require.NoError(t, err, "task %d", i)
				require.Equal(t, 1, w.Attempt, "a death costs an attempt only to what had been started")
			}
			stats := l.Tasks().Stats()
			require.Equal(t, multiprolab.TaskStats{Received: 100, Succeeded: 99, Failed: 1}, stats)
		})
	}
}

// TestA04_ManyDeathsOfOne: 110 tasks on one worker, 10 of which kill it, are 100 results and 10
// errors.
func TestA04_ManyDeathsOfOne(t *testing.T) {
	p := quickly("guest", 1)
	p.cfg.Prefetch = 8
	l := startLab(t, nil, p)
	testAccounts(t, l, 110, 10, nil)
	require.Equal(t, multiprolab.TaskStats{Received: 110, Succeeded: 100, Failed: 10}, l.Tasks().Stats())
}

// TestA04_ManyDeathsWithRetry: what kills its worker uses up its attempts; the innocent all
// succeed, at the first one.
func TestA04_ManyDeathsWithRetry(t *testing.T) {
	p := quickly("guest", 2)
	p.cfg.Prefetch = 3
	l := startLab(t, nil, p)
	testAccounts(t, l, 40, 3, &multiprolab.TaskOptions{Attempts: 2})
}

func testAccounts(t *testing.T, l *lab, total, killers int, o *multiprolab.TaskOptions) {
	attempts := 1
	if o != nil {
		attempts = o.Attempts
	}
	bad, good := map[int]*multiprolab.Future[int]{}, map[int]*multiprolab.Future[whoami]{}
	for i := range total {
		var err error
		if i%(total/killers) == 1 {
			bad[i], err = multiprolab.Submit[int](bounded(t), l, "guest-die", "exit 1", o)
		} else {
			good[i], err = multiprolab.Submit[whoami](bounded(t), l, "who", nil, o)
		}
		require.NoError(t, err)
	}
	require.Len(t, bad, killers)
	pids := map[int]bool{}
	for i, f := range bad {
		_, err := outcome(t, f)
		var died *multiprolab.WorkerDiedError
		require.ErrorAs(t, err, &died, "task %d", i)
		require.Equal(t, fmt.Sprintf(`task "guest-die" (attempt %d of %d)`, attempts, attempts), died.During)
		require.False(t, pids[died.PID], "two tasks died of one death")
		pids[died.PID] = true
	}
	for i, f := range good {
		w, err := outcome(t, f)
		require.NoError(t, err, "task %d", i)
		require.Equal(t, 1, w.Attempt)
	}
	require.NoError(t, l.Close()) // all events have been told then
	deaths := 0
	for _, e := range l.all() {
		if _, ok := e.(*multiprolab.WorkerFailed); ok {
			deaths++
		}
	}
	require.Equal(t, killers*attempts, deaths)
}

// TestA06_WrittenResultStands: a worker dies right after its results were written, while they still
// fill the pipe.
func TestA06_WrittenResultStands(t *testing.T) {
	p := quickly("guest", 1)
	p.cfg.Prefetch = 40
	l := startLab(t, nil, p)
	for round := range 10 {
		var results []*multiprolab.Future[[]byte]
		for i := range 20 {
			f, err := multiprolab.Submit[[]byte](bounded(t), l, "fill", 3000*(i%2)+round, nil)
			require.NoError(t, err)
			results = append(results, f)
		}
		last, err := multiprolab.Submit[int](bounded(t), l, "guest-die", "exit 1", nil)
		require.NoError(t, err)
		behind, err := multiprolab.Submit[whoami](bounded(t), l, "who", nil, nil)
		require.NoError(t, err)
		for i, f := range results {
			b, err := outcome(t, f)
			require.NoError(t, err, "round %d, task %d", round, i)
			require.Len(t, b, 3000*(i%2)+round)
		}
		_, err = outcome(t, last)
		require.Error(t, err)
		w, err := outcome(t, behind)
		require.NoError(t, err)
		require.Equal(t, whoami{w.PID, round + 2, 1}, w)
	}
}

// TestA06_RacingDeath: whenever exactly a worker dies, each task has one outcome, and the numbers
// add up.
func TestA06_RacingDeath(t *testing.T) {
	p := quickly("lab", 2)
	p.cfg.Prefetch = 4
	l := startLab(t, nil, p)
	var tasks []*multiprolab.Future[int]
	for i := range 400 {
		f, err := multiprolab.Submit[int](bounded(t), l, "double", i, &multiprolab.TaskOptions{Attempts: 100})
		require.NoError(t, err)
		tasks = append(tasks, f)
		if i%40 == 20 {
			// it waits in the inbox and kills its worker between two tasks, or while it is idle
			require.NoError(t, multiprolab.Send(bounded(t), l, "lab", "msg-die", "exit 1"))
		}
	}
	for i, f := range tasks {
		n, err := outcome(t, f)
		require.NoError(t, err)
		require.Equal(t, 2*i, n)
	}
	require.Equal(t, multiprolab.TaskStats{Received: 400, Succeeded: 400}, l.Tasks().Stats())
}

// TestA11_StrayPanicWhileBusy: a goroutine that a handler left behind panics while another task
// runs, which fails with the panic's text.
func TestA11_StrayPanicWhileBusy(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("guest", 1), workers("lab", 1))
	bystander, err := multiprolab.Do[int](bounded(t), l, "pid", nil)
	require.NoError(t, err)
	_, err = multiprolab.Do[int](bounded(t), l, "stray", g.visit("stray"))
	require.NoError(t, err)
	stray := g.expect(t, "stray")
	busy := l.submit(t, "visit", g.visit("busy"), nil)
	g.expect(t, "busy")
	stray.tell("panic")
	_, err = outcome(t, busy)
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Equal(t, stray.pid, died.PID)
	require.Contains(t, err.Error(), "panic: a stray goroutine panics")
	require.NotEqual(t, stray.pid, l.who(t).PID)
	same, err := multiprolab.Do[int](bounded(t), l, "pid", nil)
	require.NoError(t, err)
	require.Equal(t, bystander, same, "another worker was hurt")
}

// TestA11_StrayPanicWhileIdle: with no task to fail, the panic surfaces as an event.
func TestA11_StrayPanicWhileIdle(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("guest", 1))
	pid, err := multiprolab.Do[int](bounded(t), l, "stray", g.visit("stray"))
	require.NoError(t, err)
	g.expect(t, "stray").tell("panic")
	failed := waitEvent[*multiprolab.WorkerFailed](t, l, nil)
	require.Equal(t, pid, failed.PID)
	require.Equal(t, "guest/0", failed.Worker)
	require.Equal(t, 1, failed.Life)
	require.ErrorContains(t, failed.Err, "panic: a stray goroutine panics")
	require.Contains(t, l.log.String(), "worker failed")
	require.Equal(t, 2, l.who(t).Life)
	require.Contains(t, l.stderr.String(), "panic: a stray goroutine panics", "stderr is passed on as well")
}

// TestDeath_NeverReplaced: with RestartNever the place stays empty, everything that waits for it
// fails, and the rest goes on.
func TestDeath_NeverReplaced(t *testing.T) {
	g, l := newGate(
		t,
	), startLab(
		t,
		nil,
		pool{"guest", &multiprolab.WorkerConfig{Restart: multiprolab.RestartNever}},
		workers("lab", 1),
	)
	running := l.submit(t, "visit", g.visit("last"), nil)
	v := g.next(t)
	waiting := l.submit(t, "visit", g.visit("never"), nil)
	v.tell("die exit 3")
	_, err := outcome(t, running)
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	_, err = outcome(t, waiting)
	var none *multiprolab.NoWorkerError
	require.ErrorAs(t, err, &none)
	require.ErrorAs(t, err, &died)
	require.Equal(t, 3, died.ExitCode)

	_, err = multiprolab.Do[int](bounded(t), l, "die", "exit 1") // a death elsewhere, which explains nothing here
	require.Error(t, err)
	// It may be accepted, as long as the next life of the other worker might take it.
	_, err = multiprolab.Do[string](bounded(t), l, "visit", g.visit("never"))
	require.ErrorAs(t, err, &none)
	require.ErrorAs(t, none, &died)
	require.Equal(t, 3, died.ExitCode, "how the last worker for the task ended: %v", none)
	require.ErrorAs(t, multiprolab.Send(bounded(t), l, "guest", "visit-message", g.visit("never")), &died)
	_, err = multiprolab.Call[string](bounded(t), l, "guest/0", "visit-call", g.visit("never"))
	require.ErrorAs(t, err, &died)
	pid, err := multiprolab.Do[int](bounded(t), l, "pid", nil)
	require.NoError(t, err)
	require.NotZero(t, pid)
	require.NoError(t, l.Close())
	g.quiet(t)
}

// TestDeath_OfSubmitter: a worker that dies while its own tasks are queued or run takes nothing
// with it but itself.
func TestDeath_OfSubmitter(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("submitter", 1), workers("guest", 1))
	require.NoError(t, multiprolab.Send(bounded(t), l, "submitter", "delegate", g.visit("delegated")))
	v := g.expect(t, "delegated")
	failed := waitEvent[*multiprolab.WorkerFailed](t, l, nil)
	require.Equal(t, "submitter/0", failed.Worker)
	v.tell("done")
	g.expect(t, "delegated").tell("done")
	require.Equal(t, v.pid, l.who(t).PID)
	require.NoError(t, l.Tasks().Join(bounded(t)))
	require.NoError(t, l.Close())
}

// The submitter delegates a task twice, and dies when one has begun.
var _ = worker("submitter", func(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(w, "delegate", func(ctx context.Context, v visit) error {
		for range 2 {
			if _, err := multiprolab.Submit[string](ctx, w, "visit", v, nil); err != nil {
				return err
			}
		}
		if _, err := multiprolab.Do[whoami](ctx, w, "no-such-task", nil); err == nil {
			return errors.New("an unknown type was taken")
		}
		die("exit 1") // the answer above came after both had been taken
		return nil
	})
	return nil
})
