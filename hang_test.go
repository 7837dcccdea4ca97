package multiprolab_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

const hangVar = "MULTIPROLAB_TEST_HANG"

// The functions in which the hanger hangs. The stacks name them.
func hangInLoop() {
	for n := 0; n >= 0; n = (n + 1) & 0xff {
	}
}
func hangInEmptyLoop() {
	//lint:ignore SA5002 that is what it is for
	for {
	}
}
func hangInSelect() { select {} }

// hangInKernel does not return from the kernel, on a thread of its own, as a function in C.
func hangInKernel() {
	runtime.LockOSThread()
	blockInKernel()
}

var hangs = map[string]func(){
	"loop": hangInLoop, "empty loop": hangInEmptyLoop, "select": hangInSelect, "kernel": hangInKernel,
}

// The hanger hangs in a call, a message or, in its first life, an action.
var _ = worker("hanger", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(
		w,
		"hang-call",
		func(_ context.Context, how string) (int, error) { hangs[how](); return 0, nil },
	)
	multiprolab.Handle(w, "hang-message", func(_ context.Context, how string) error { hangs[how](); return nil })
	if how := os.Getenv(hangVar); how != "" && w.Life() == 1 {
		w.After(0, func(context.Context) error { hangs[how](); return nil })
	}
	multiprolab.HandleCall(
		w,
		"who-call",
		func(context.Context, struct{}) (whoami, error) { return whoami{os.Getpid(), w.Life(), 0}, nil },
	)
	obey := func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("it obeys: %w", context.Cause(ctx))
	}
	multiprolab.HandleCall(w, "obey-call", func(ctx context.Context, _ struct{}) (int, error) { return 0, obey(ctx) })
	multiprolab.Handle(w, "obey-message", func(ctx context.Context, _ struct{}) error { return obey(ctx) })
	return guest(ctx, w)
})

// hangOf returns the failure of the first life of a worker, which must have hung, when its
// replacement is ready.
func hangOf(t testing.TB, l *lab, worker string) *multiprolab.HangError {
	t.Helper()
	f := waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.Worker == worker && e.Life == 1 })
	var hang *multiprolab.HangError
	require.ErrorAs(t, f.Err, &hang)
	require.True(t, f.Restart)
	require.Equal(t, f.PID, hang.Died.PID)
	require.Equal(t, hang.Died.Error(), hang.Error())
	ready := waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == worker && e.Life == 2 })
	require.NotEqual(t, f.PID, ready.PID)
	require.False(t, alive(f.PID))
	return hang
}

// TestHang_HandlerTimeout: who does not heed the end of its context is killed and replaced, with
// the stack of where it hung.
func TestHang_HandlerTimeout(t *testing.T) {
	const limit = 30 * time.Millisecond
	var shown atomic.Int32
	t.Run("each", func(t *testing.T) {
		for _, c := range []struct{ kind, running, how, function string }{
			{"call", `call "hang-call"`, "loop", "hangInLoop"},
			{"call", `call "hang-call"`, "empty loop", "hangInEmptyLoop"},
			{"call", `call "hang-call"`, "select", "hangInSelect"},
			{"message", `message "hang-message"`, "empty loop", "hangInEmptyLoop"},
			{"action", "an action", "empty loop", "hangInEmptyLoop"},
		} {
			t.Run(c.kind+" in "+c.how, func(t *testing.T) {
				t.Parallel()
				cfg := &multiprolab.WorkerConfig{HandlerTimeout: limit}
				if c.kind == "action" {
					cfg.Process.Env = []string{hangVar + "=" + c.how}
				}
				l := startLab(t, nil, pool{"hanger", cfg})
				switch c.kind {
				case "call":
					_, err := multiprolab.Call[int](bounded(t), l, "hanger", "hang-call", c.how)
					var hang *multiprolab.HangError
					require.ErrorAs(t, err, &hang, "the caller is told")
					require.Equal(t, c.running, hang.Running)
				case "message":
					require.NoError(t, multiprolab.Send(bounded(t), l, "hanger", "hang-message", c.how))
				}
				hang := hangOf(t, l, "hanger/0")
				require.Equal(t, c.running, hang.Running)
				require.Equal(t, limit, hang.Limit)
				require.GreaterOrEqual(t, hang.For, limit)
				require.False(t, hang.Silent)
				if hang.Died.Stderr == "" || strings.HasPrefix(hang.Died.Stderr, "SIGQUIT: quit") {
					t.Log(
						"the process had no time to answer; the report of the Go runtime does not show what runs on other threads",
					)
				} else {
					require.Contains(t, hang.Died.Stderr, "multiprolab_test."+c.function)
					shown.Add(1)
				}
				require.Contains(t, hang.Died.Reason, c.running+" has run for ")
				require.Contains(
					t,
					hang.Died.Reason,
					"longer than WorkerConfig.HandlerTimeout (30ms), and ignored the end of its context",
				)
				require.Equal(t, 2, l.who(t).Life)
			})
		}
	})
	require.Positive(t, shown.Load(), "none of them has shown its stacks")
}

// TestHang_Obedient: a handler that heeds the end of its context keeps its worker, and its error
// reaches the caller.
func TestHang_Obedient(t *testing.T) {
	l := startLab(t, nil, pool{"hanger", &multiprolab.WorkerConfig{HandlerTimeout: 20 * time.Millisecond}})
	before := l.who(t)
	_, err := multiprolab.Call[int](bounded(t), l, "hanger", "obey-call", nil)
	var remote *multiprolab.RemoteError
	require.ErrorAs(t, err, &remote)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, before.PID, remote.PID)
	require.Contains(
		t,
		remote.Text,
		`it obeys: multiprolab: call "obey-call" ran past WorkerConfig.HandlerTimeout of 20ms`,
	)
	require.NoError(t, multiprolab.Send(bounded(t), l, "hanger", "obey-message", nil))
	failed := waitEvent[*multiprolab.HandlerFailed](t, l, nil)
	require.ErrorIs(t, failed.Err, context.DeadlineExceeded)
	require.ErrorContains(t, failed.Err, `message "obey-message" ran past`)
	require.Equal(t, before, l.who(t))
}

// TestHang_NotTasks: HandlerTimeout is not for tasks: one goes on while a call of the same length
// is ended.
func TestHang_NotTasks(t *testing.T) {
	t.Parallel()
	g, l := newGate(
		t,
	), startLab(
		t,
		nil,
		pool{"hanger", &multiprolab.WorkerConfig{Count: 2, HandlerTimeout: 20 * time.Millisecond}},
	)
	long := l.submit(t, "visit", g.visit("long"), nil)
	v := g.expect(t, "long")
	other := waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.PID != v.pid }).Worker
	_, err := multiprolab.Call[int](bounded(t), l, other, "hang-call", "select")
	var hang *multiprolab.HangError
	require.ErrorAs(t, err, &hang)
	v.tell("finished")
	text, err := outcome(t, long)
	require.NoError(t, err)
	require.Equal(t, "finished", text)
	waitEvent[*multiprolab.WorkerFailed](t, l, nil) // it comes after the caller's error
	require.Len(t, eventsOf[*multiprolab.WorkerFailed](l), 1)
}

// beats waits until a worker has given n signs of life while it ran what is said.
func (l *lab) beats(t testing.TB, worker, running string, n int) {
	t.Helper()
	var last any
	eventually(t, fmt.Sprintf("%d signs of life of %s while it runs %q", n, worker, running), func() bool {
		what, sign := l.BeatOf(worker)
		if sign != last && what == running {
			last = sign
			n--
		}
		return n == 0
	})
}

// TestHang_SpinningTask: a task that spins keeps its process from no sign of life, on one processor
// either, nor if it spins on all of them.
func TestHang_SpinningTask(t *testing.T) {
	for processors, task := range map[string]string{"1": "guest-spin", "2": "guest-spin-everywhere"} {
		t.Run(task, func(t *testing.T) {
			t.Parallel()
			l := startLab(
				t,
				nil,
				pool{
					"hanger",
					&multiprolab.WorkerConfig{
						HeartbeatTimeout: 1500 * time.Millisecond,
						Process:          multiprolab.ProcessConfig{Env: []string{"GOMAXPROCS=" + processors}},
					},
				},
			)
			f := l.submit(t, task, nil, &multiprolab.TaskOptions{Grace: time.Millisecond})
			l.beats(t, "hanger/0", fmt.Sprintf("task %q", task), 2)
			require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
			f.Cancel()
			_, err := outcome(t, f)
			require.ErrorIs(t, err, multiprolab.ErrCancelled)
			require.Equal(t, 2, l.who(t).Life)
		})
	}
}
