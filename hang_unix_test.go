//go:build unix

package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// hearing is a hanger that is asked for signs of life often.
func hearing(timeout time.Duration) pool {
	return pool{"hanger", &multiprolab.WorkerConfig{HeartbeatTimeout: timeout}}
}

// TestHang_Silent: a process that is stopped is killed and replaced, whatever it was doing; its
// task has the outcome that its options say.
func TestHang_Silent(t *testing.T) {
	const timeout = 1500 * time.Millisecond
	for _, doing := range []string{"nothing", "a task", "a task that is retried"} {
		t.Run(doing, func(t *testing.T) {
			t.Parallel()
			g, l := newGate(t), startLab(t, nil, hearing(timeout))
			pid, running := l.who(t).PID, ""
			var f *multiprolab.Future[string]
			if doing != "nothing" {
				o := &multiprolab.TaskOptions{}
				if doing == "a task that is retried" {
					o.Attempts = 2
				}
				f, running = l.submit(t, "visit", g.visit("task"), o), `task "visit"`
				require.Equal(t, pid, g.expect(t, "task").pid)
			}
			l.beats(t, "hanger/0", running, 2)
			stop(t, pid)
			hang := hangOf(t, l, "hanger/0")
			require.True(t, hang.Silent)
			require.Equal(t, pid, hang.Died.PID)
			require.Equal(t, running, hang.Running)
			require.Equal(t, timeout, hang.Limit)
			// SIGQUIT comes with SIGCONT: it dumps its stacks and exits with status 2, unless the
			// kill is faster.
			require.True(t, hang.Died.Signal == "SIGKILL" || hang.Died.ExitCode == 2, "%+v", hang.Died)
			require.Contains(t, hang.Died.Reason, "it gave no sign of life for 1.5s (WorkerConfig.HeartbeatTimeout)")
			require.False(t, alive(pid))
			switch doing {
			case "a task":
				_, err := outcome(t, f)
				var died *multiprolab.WorkerDiedError
				require.ErrorAs(t, err, &died)
				require.Equal(t, hang.Died.Reason, died.Reason)
				require.Contains(t, hang.Died.Reason, `; when last heard of it was running task "visit", for `)
				require.Equal(t, `task "visit" (attempt 1 of 1)`, died.During)
			case "a task that is retried":
				v := g.expect(t, "task")
				require.NotEqual(t, pid, v.pid)
				v.tell("at last")
				text, err := outcome(t, f)
				require.NoError(t, err)
				require.Equal(t, "at last", text)
			}
			g.quiet(t)
			require.Equal(t, 2, l.who(t).Life)
		})
	}
}

// TestHang_SilentTaskError: the error of a task whose worker was killed for its silence says that
// it hung.
func TestHang_SilentTaskError(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, hearing(100*time.Millisecond))
	f := l.submit(t, "visit", g.visit("task"), nil)
	require.NoError(t, signalProcess(g.expect(t, "task").pid, "SIGSTOP"))
	_, err := outcome(t, f)
	var hang *multiprolab.HangError
	require.ErrorAs(t, err, &hang)
	require.True(t, hang.Silent)
	require.Equal(t, `task "visit" (attempt 1 of 1)`, hang.Died.During)
}

// TestHang_NeverAsked: with a negative HeartbeatTimeout a process may be stopped for long: longer
// than it takes to find out about another one, twice.
func TestHang_NeverAsked(t *testing.T) {
	t.Parallel()
	l := startLab(t, nil,
		pool{"guest", &multiprolab.WorkerConfig{HeartbeatTimeout: -1}},
		pool{"lab", &multiprolab.WorkerConfig{HeartbeatTimeout: 200 * time.Millisecond, RestartLimit: multiprolab.RestartLimit{Restarts: 1000}}})
	deaf := l.who(t)
	stop(t, deaf.PID)
	for life := 1; life <= 2; life++ {
		ready := waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "lab/0" && e.Life >= life })
		_ = signalProcess(ready.PID, "SIGSTOP") // a slow machine may have been before us
		waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.Worker == "lab/0" && e.Life >= life })
	}
	require.NoError(t, signalProcess(deaf.PID, "SIGCONT"))
	require.Equal(t, deaf, l.who(t))
	_, sign := l.BeatOf("guest/0")
	require.Nil(t, sign)
}

// The main that is stopped has a worker that is asked often for signs of life.
var _ = scenario("stopped", func() {
	ctx := context.Background()
	app := multiprolab.New(&multiprolab.Config{Logger: inTheirOwnWords()})
	app.RegisterWorker(
		"hanger",
		setups["hanger"],
		&multiprolab.WorkerConfig{Count: 2, HeartbeatTimeout: 300 * time.Millisecond, RestartLimit: multiprolab.RestartLimit{Restarts: 1000}},
	)
	if err := app.Start(ctx); err != nil {
		panic(err)
	}
	must(visit{os.Getenv(gateVar), "main"}.wait())
	var last any
	for range 5 { // signs of life
		for {
			if _, sign := app.BeatOf("hanger/1"); sign != last {
				last = sign
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	for i := range 2 {
		pid := must(multiprolab.Call[whoami](ctx, app, fmt.Sprintf("hanger/%d", i), "who-call", nil))
		fmt.Printf("hanger/%d is in life %d\n", i, pid.Life)
	}
	fmt.Println("closed:", app.Close())
})

// TestHang_StoppedMain: time in which main itself is stopped is no silence of its workers.
func TestHang_StoppedMain(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	p := startMain(t, "stopped", gateVar+"="+g.addr())
	v := g.expect(t, "main")
	stop(t, p.Process.Pid)
	<-time.After(900 * time.Millisecond) // three times the timeout of the workers
	require.NoError(t, signalProcess(p.Process.Pid, "SIGCONT"))
	v.tell("go on")
	require.NoError(t, p.wait(t))
	require.Contains(t, p.out.String(), "hanger/0 is in life 1\nhanger/1 is in life 1\n")
	require.Contains(t, p.out.String(), "closed: <nil>\n")
	require.NotContains(t, p.out.String(), "level=ERROR")
}

// A worker that is stopped is not waited for longer than the context says, and the error names what
// has stopped it. When it goes on, it answers.
func TestDump_Stopped(t *testing.T) {
	l := startLab(t, nil, workers("hanger", 1))
	pid := waitEvent[*multiprolab.WorkerReady](t, l, nil).PID
	stop(t, pid)
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(context.Background(), 100*time.Millisecond, enough)
	defer cancel()
	_, err := l.Dump(ctx, "hanger/0")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, enough)
	require.Equal(t, 1, strings.Count(err.Error(), "enough"), err.Error())
	require.ErrorContains(t, err, "stacks of worker hanger/0 (pid ")
	if runtime.GOOS == "linux" {
		require.ErrorContains(t, err, "its process is stopped by SIGSTOP")
	}
	require.NoError(t, signalProcess(pid, "SIGCONT"))
	_, err = l.Dump(bounded(t), "hanger/0")
	require.NoError(t, err)
}
