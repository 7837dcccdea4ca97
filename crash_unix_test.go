//go:build unix

package multiprolab_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// TestA01_SignalDuringTask: a task that kills its own process. Go's runtime turns a SIGSEGV into a
// report and status 2.
func TestA01_SignalDuringTask(t *testing.T) {
	testDeaths(t, []death{
		{how: "SIGKILL", code: -1, signal: "SIGKILL"},
		{how: "SIGTERM", code: -1, signal: "SIGTERM"},
		{how: "SIGSEGV", code: 2, stderr: []string{"SIGSEGV", "goroutine "}},
	})
}

// TestA02_KilledFromOutside: a kill costs the task that ran there, and nobody else anything. Its
// error says who died of what.
func TestA02_KilledFromOutside(t *testing.T) {
	for _, signal := range []string{"SIGKILL", "SIGTERM"} {
		t.Run(signal, func(t *testing.T) {
			g, l := newGate(t), startLab(t, nil, quickly("guest", 3))
			var tasks []*multiprolab.Future[string]
			for range 3 {
				tasks = append(tasks, l.submit(t, "visit", g.visit("busy"), nil))
			}
			visitors := map[int]*visitor{}
			for range 3 {
				v := g.expect(t, "busy")
				visitors[v.pid] = v
			}
			var victim *multiprolab.WorkerStarted
			for _, e := range starts(l, "guest/1") {
				victim = e
			}
			require.NotNil(t, visitors[victim.PID])
			require.NoError(t, signalProcess(victim.PID, signal))
			await(t, visitors[victim.PID].lost, "the death of the victim")
			failures := 0
			for pid, v := range visitors {
				if pid != victim.PID {
					v.tell("done")
				}
			}
			for _, f := range tasks {
				text, err := outcome(t, f)
				if err == nil {
					require.Equal(t, "done", text)
					continue
				}
				failures++
				var died *multiprolab.WorkerDiedError
				require.ErrorAs(t, err, &died)
				require.Equal(
					t,
					&multiprolab.WorkerDiedError{
						Worker:   "guest/1",
						PID:      victim.PID,
						Life:     1,
						ExitCode: -1,
						Signal:   signal,
						During:   `task "visit" (attempt 1 of 1)`,
						Uptime:   died.Uptime,
					},
					died,
				)
				require.Positive(t, died.Uptime)
				require.EqualError(
					t,
					err,
					fmt.Sprintf(
						`multiprolab: worker guest/1 (pid %d): killed by %s while running task "visit" (attempt 1 of 1)`,
						victim.PID,
						signal,
					),
				)
			}
			require.Equal(t, 1, failures)
			pids := g.holdAll(t, l, 3) // A03: the pool is back to its size
			for pid := range visitors {
				require.Equal(t, pid != victim.PID, pids[pid])
			}
		})
	}
}

// TestA06_KilledWhileIdle: the death of an idle worker is charged to no task, whenever it comes.
func TestA06_KilledWhileIdle(t *testing.T) {
	l := startLab(t, nil, quickly("guest", 1))
	for life := 1; life <= 10; life++ {
		w := l.who(t)
		require.NoError(t, signalProcess(w.PID, "SIGKILL"))
		f, err := multiprolab.Submit[whoami](bounded(t), l, "who", nil, nil) // main may not know yet
		require.NoError(t, err)
		next, err := outcome(t, f)
		require.NoError(t, err)
		require.Equal(t, whoami{next.PID, life + 1, 1}, next)
	}
}

// TestA06_KilledWhileHanded: tasks that were written to a worker which never took them run
// elsewhere, with all their attempts.
func TestA06_KilledWhileHanded(t *testing.T) {
	p := quickly("guest", 1)
	p.cfg.Prefetch = 4
	l := startLab(t, nil, p)
	l.warmUp(t)
	first := l.who(t)
	stop(t, first.PID)
	var tasks []*multiprolab.Future[whoami]
	for range 8 {
		f, err := multiprolab.Submit[whoami](bounded(t), l, "who", nil, nil)
		require.NoError(t, err)
		tasks = append(tasks, f)
	}
	require.NoError(t, signalProcess(first.PID, "SIGKILL"))
	for _, f := range tasks {
		w, err := outcome(t, f)
		require.NoError(t, err)
		require.Equal(t, whoami{w.PID, 2, 1}, w)
	}
}

// TestA08_KilledWhileWritten: a worker dies while main is writing it more than the pipe holds: the
// caller gets the error at once, a one-way message becomes a dead letter, and nothing blocks main
// meanwhile.
func TestA08_KilledWhileWritten(t *testing.T) {
	big := make([]byte, 16<<20)
	for _, call := range []bool{true, false} {
		g, l := newGate(t), startLab(t, nil, quickly("guest", 1), workers("lab", 1))
		first := l.who(t)
		stop(t, first.PID)
		got := make(chan error, 1)
		sent := 0
		if call {
			go func() { // ends with the worker
				_, err := multiprolab.Call[int](bounded(t), l, "guest", "guest-call-bytes", big)
				got <- err
			}()
		} else {
			require.NoError(t, multiprolab.Send(bounded(t), l, "guest", "guest-bytes", big))
			sent++
		}
		sent += trickle(t, l) // without room for a further message, the big one is on its way
		handed := l.submit(t, "visit", g.visit("handed"), nil)
		text, err := multiprolab.Do[string](bounded(t), l, "echo", "main lives")
		require.NoError(t, err)
		require.Equal(t, "main lives", text)

		require.NoError(t, signalProcess(first.PID, "SIGKILL"))
		var died *multiprolab.WorkerDiedError
		if call {
			require.ErrorAs(t, await(t, got, "Call to return"), &died)
			require.Equal(t, first.PID, died.PID)
			require.Equal(t, "SIGKILL", died.Signal)
			require.Equal(t, `call "guest-call-bytes"`, died.During)
		} else {
			dead := waitEvent[*multiprolab.DeadLetter](t, l, nil)
			require.Equal(t, &multiprolab.DeadLetter{Sender: "main", Receiver: "guest/0", Type: "guest-bytes", Size: len(big), Reason: dead.Reason, At: dead.At}, dead)
			require.Contains(t, dead.Reason, fmt.Sprintf("(pid %d): killed by SIGKILL", first.PID))
		}
		g.expect(t, "handed").tell("run by the replacement")
		text, err = outcome(t, handed)
		require.NoError(t, err)
		require.Equal(t, "run by the replacement", text)
		require.NoError(t, l.Close())
		for _, e := range l.all() {
			if _, ok := e.(*multiprolab.DeadLetter); ok {
				sent--
			}
		}
		require.Zero(t, sent, "messages that were lost and not reported")
	}
}

// TestA08_WaitingForRoom: who waits for room with a worker that dies for good gets its error at
// once.
func TestA08_WaitingForRoom(t *testing.T) {
	l := startLab(
		t,
		&multiprolab.Config{Window: 64 << 10},
		pool{"guest", &multiprolab.WorkerConfig{Restart: multiprolab.RestartNever}},
	)
	first := l.who(t)
	stop(t, first.PID)
	sent := make(chan error, 1)
	go func() { // ends with the worker
		for {
			if err := multiprolab.Send(context.Background(), l, "guest", "guest-bytes", make([]byte, 10_000)); err != nil {
				sent <- err
				return
			}
		}
	}()
	fill(t, l, make([]byte, 10_000)) // it waits now
	require.NoError(t, signalProcess(first.PID, "SIGKILL"))
	err := await(t, sent, "Send to return")
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	require.Equal(t, first.PID, died.PID)
	require.NoError(t, l.Close())
	letters := 0
	for _, e := range l.all() {
		if d, ok := e.(*multiprolab.DeadLetter); ok {
			require.Equal(t, "guest-bytes", d.Type)
			letters++
		}
	}
	require.Equal(t, 6, letters, "each message that was sent and never handled is reported")
}
