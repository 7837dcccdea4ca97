//go:build unix

package multiprolab_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// running reports whether a process runs. Unlike alive it counts no zombie: who reaps an orphan,
// and when, is not ours to say.
func running(pid int) bool {
	if !alive(pid) {
		return false
	}
	state := processState(pid)
	return state != "" && state[0] != 'Z' && state[0] != 'X'
}

// processState returns the state of a process as ps(1) gives it, T if it is stopped, or nothing if
// it is gone.
func processState(pid int) string {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		state, _ := exec.Command("ps", "-o", "state=", "-p", fmt.Sprint(pid)).Output()
		return strings.TrimSpace(string(state))
	}
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	return state
}

// stop stops a process. It returns when all of its threads have stopped.
func stop(t testing.TB, pid int) {
	t.Helper()
	require.NoError(t, signalProcess(pid, "SIGSTOP"))
	eventually(t, "the process to stop", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		require.NoError(t, err)
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			_, state, _ := strings.Cut(string(stat), ") ")
			if err == nil && !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return strings.HasPrefix(processState(pid), "T")
	})
}

// fill sends messages to the worker until it has no room, and returns how many it took. The worker
// must be stopped.
func fill(t testing.TB, l *lab, body []byte) (sent int) {
	t.Helper()
	return fillEvery(t, l, 0, body)
}

// trickle is fill with a message of each millisecond: it ends with one that others send meanwhile and
// that takes all the room.
func trickle(t testing.TB, l *lab) (sent int) {
	t.Helper()
	return fillEvery(t, l, time.Millisecond, nil)
}

func fillEvery(t testing.TB, l *lab, pause time.Duration, body []byte) (sent int) {
	t.Helper()
	eventually(t, "the window to be full", func() bool {
		for {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			err := multiprolab.Send(ctx, l, "guest", "guest-bytes", body)
			cancel()
			if err != nil {
				return !strings.Contains(err.Error(), "was not sent") // the time was up before it began
			}
			sent++
			time.Sleep(pause)
		}
	})
	return sent
}

// gone waits until processes that are not ours do not run any more.
func gone(t testing.TB, what string, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		require.NotZero(t, pid)
		eventually(t, fmt.Sprintf("the end of %s (process %d)", what, pid), func() bool { return !running(pid) })
	}
}

// The parent has children: `sleep 1000`, one that shares its files and one that does not heed
// SIGTERM either.
var _ = worker("parent", func(_ context.Context, w *multiprolab.Worker) error {
	family := func(v visit) (string, error) {
		for _, script := range []string{"exec sleep 1000", "trap '' TERM HUP INT; sleep 1000 & echo >&2 ready; wait"} {
			cmd := exec.Command("/bin/sh", "-c", script)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			if err := cmd.Start(); err != nil {
				return "", err
			}
			v.Label = fmt.Sprint(v.Label, " ", cmd.Process.Pid)
		}
		return v.wait()
	}
	multiprolab.HandleTask(w, "family", func(_ context.Context, v visit) (string, error) { return family(v) })
	multiprolab.HandleTask(w, "family-left", func(_ context.Context, v visit) (string, error) {
		go func() { _, _ = family(v) }() // the handler does not wait for its children
		return "", nil
	})
	return nil
})

// children returns the processes in the label of a visit of the parent.
func (v *visitor) children(t testing.TB) (pids []int) {
	t.Helper()
	var a, b int
	_, err := fmt.Sscanf(v.label, "family %d %d", &a, &b)
	require.NoError(t, err, v.label)
	require.True(t, running(a) && running(b))
	t.Cleanup(func() {
		if t.Failed() { // they are not children of this process
			_ = signalGroup(v.pid, "SIGKILL") // still the group of the worker
		}
	})
	return []int{a, b}
}

// The deaf worker heeds neither SIGTERM nor SIGINT.
var _ = worker("deaf", func(ctx context.Context, w *multiprolab.Worker) error {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	return guest(ctx, w)
})

// TestB02_DeafWorker: a worker that ignores SIGTERM is killed anyway: at the end of its task's
// grace, and at the end of the program.
func TestB02_DeafWorker(t *testing.T) {
	g, l := newGate(t), startLab(t, impatient(), quickly("deaf", 1))
	f := l.submit(
		t,
		"visit",
		g.visit("deaf"),
		&multiprolab.TaskOptions{Timeout: 10 * time.Millisecond, Grace: 10 * time.Millisecond},
	)
	_, err := outcome(t, f)
	var timeout *multiprolab.TimeoutError
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Killed)
	require.False(t, alive(timeout.PID))

	held := l.submit(t, "visit", g.visit("held"), nil)
	v := g.next(t)
	if v.label == "deaf" { // if it got as far
		v = g.next(t)
	}
	require.Equal(t, "held", v.label)
	var killed *multiprolab.ShutdownError
	err = l.Close()
	require.ErrorAs(t, err, &killed)
	require.Equal(t, []multiprolab.KilledWorker{{Worker: "deaf/0", PID: v.pid,
		Reason: "it did not end within 50ms after the exit message, nor within 50ms after SIGTERM"}}, killed.Killed)
	_, err = outcome(t, held)
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Equal(t, "SIGKILL", died.Signal)
	require.Equal(t, killed.Killed[0].Reason, died.Reason)
	l.checkGone(t)
}

// TestShutdown_SIGTERM: who heeds it, and has not ended after the exit message, ends by SIGTERM,
// and is named.
func TestShutdown_SIGTERM(t *testing.T) {
	cfg := impatient()
	cfg.KillTimeout = forever
	g, l := newGate(t), startLab(t, cfg, workers("guest", 1))
	held := l.submit(t, "visit", g.visit("held"), nil)
	v := g.expect(t, "held")
	var killed *multiprolab.ShutdownError
	require.ErrorAs(t, l.Close(), &killed)
	require.Equal(t, []multiprolab.KilledWorker{{Worker: "guest/0", PID: v.pid,
		Reason: "it did not end within 50ms after the exit message; SIGTERM ended it"}}, killed.Killed)
	_, err := outcome(t, held)
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Equal(t, "SIGTERM", died.Signal)
}

// TestShutdown_Stopped: a worker that is stopped does nothing that it is asked to; SIGKILL ends it
// all the same.
func TestShutdown_Stopped(t *testing.T) {
	l := startLab(t, impatient(), workers("guest", 1))
	w := l.who(t)
	stop(t, w.PID)
	var killed *multiprolab.ShutdownError
	require.ErrorAs(t, l.Close(), &killed)
	require.Equal(t, w.PID, killed.Killed[0].PID)
	l.checkGone(t)
}

// TestShutdown_FullInbox: a drain cannot even tell a worker to end that takes nothing; what is
// reported are the messages, and only they.
func TestShutdown_FullInbox(t *testing.T) {
	cfg := impatient()
	cfg.Shutdown, cfg.Window = multiprolab.DrainQueue, 4<<10
	l := startLab(t, cfg, workers("guest", 1))
	w := l.who(t)
	stop(t, w.PID)
	sent := fill(t, l, make([]byte, 1000))
	require.NoError(t, ignore[*multiprolab.ShutdownError](l.Close()))
	for _, e := range l.all() {
		if d, ok := e.(*multiprolab.DeadLetter); ok {
			require.Equal(
				t,
				&multiprolab.DeadLetter{
					Sender:   "main",
					Receiver: "guest/0",
					Type:     "guest-bytes",
					Size:     1000,
					Reason:   d.Reason,
					At:       d.At,
				},
				d,
			)
			sent--
		}
	}
	require.Zero(t, sent)
}

// TestB11_WholeTree: however a worker ends, what its handlers have started ends with it.
func TestB11_WholeTree(t *testing.T) {
	for _, c := range []struct {
		name string
		task string
		end  func(t *testing.T, l *lab, f *multiprolab.Future[string], v *visitor)
	}{
		{"by a cancellation", "family", func(_ *testing.T, _ *lab, f *multiprolab.Future[string], _ *visitor) { f.Cancel() }},
		{"by a kill from outside", "family", func(t *testing.T, _ *lab, _ *multiprolab.Future[string], v *visitor) {
			require.NoError(t, signalProcess(v.pid, "SIGKILL"))
		}},
		{"by a panic", "family", func(_ *testing.T, _ *lab, _ *multiprolab.Future[string], v *visitor) { v.tell("die panic") }},
		{"by KillAll", "family", func(t *testing.T, l *lab, _ *multiprolab.Future[string], _ *visitor) {
			require.NoError(t, ignore[*multiprolab.ShutdownError](l.Stop(bounded(t), multiprolab.KillAll)))
		}},
		{"by the ladder", "family", func(t *testing.T, l *lab, _ *multiprolab.Future[string], _ *visitor) {
			require.NoError(t, ignore[*multiprolab.ShutdownError](l.Close()))
		}},
		{"gracefully", "family-left", func(t *testing.T, l *lab, _ *multiprolab.Future[string], _ *visitor) {
			require.NoError(t, l.Close())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := impatient()
			if c.name == "gracefully" {
				cfg.ShutdownTimeout = forever
			}
			g, l := newGate(t), startLab(t, cfg, quickly("parent", 1))
			f := l.submit(t, c.task, g.visit("family"), &multiprolab.TaskOptions{Grace: 10 * time.Millisecond})
			v := g.next(t)
			children := v.children(t)
			c.end(t, l, f, v)
			_, err := outcome(t, f)
			require.Equal(t, c.task == "family", err != nil, "%v", err)
			await(t, v.lost, "the worker to be gone")
			gone(t, "a grandchild", children...)
		})
	}
}

// TestB11_WholeTreeAtDeadline is the same for a task that has run out of time.
func TestB11_WholeTreeAtDeadline(t *testing.T) {
	g, l := newGate(t), startLab(t, nil, quickly("parent", 1))
	for timeout := 100 * time.Millisecond; ; timeout *= 2 {
		f := l.submit(
			t,
			"family",
			g.visit("family"),
			&multiprolab.TaskOptions{Timeout: timeout, Grace: time.Nanosecond},
		)
		_, err := outcome(t, f)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		select {
		case v := <-g.visitors:
			var a, b int
			_, err := fmt.Sscanf(v.label, "family %d %d", &a, &b)
			require.NoError(t, err)
			gone(t, "a grandchild", a, b)
			return
		default: // it did not come to have children in that time
		}
	}
}
