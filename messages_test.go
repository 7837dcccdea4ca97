package multiprolab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// smallWindow holds some thirty of the messages of these tests, so that thousands of them wait for
// credit many times.
const smallWindow = 16 << 10

var _ = program("send numbered", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	to, count, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(count)
	for i := range n {
		if err == nil {
			err = multiprolab.Send(ctx, w, to, "numbered", numbered{N: i, Pad: make([]byte, i%100)})
		}
	}
	return "", err
})

// E03: messages between two processes arrive one for one and in order, however small the window.
func TestE03_OrderPerSender(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		count := 10_000
		if inProcess {
			count = 3_000
		}
		l := newLab(t, &multiprolab.Config{InProcess: inProcess, Window: smallWindow}, workers("prog", 3))
		var row ledger
		multiprolab.Handle(l, "numbered", row.take)
		require.NoError(t, l.Start(t.Context()))
		ctx := bounded(t)
		var group sync.WaitGroup
		group.Go(func() { // main -> worker
			for i := range count {
				if err := multiprolab.Send(ctx, l, "prog/1", "numbered", numbered{N: i}); err != nil {
					t.Error(err)
					return
				}
			}
		})
		// worker -> worker, worker -> main
		for _, way := range []struct{ from, to string }{{"prog/0", "prog/1"}, {"prog/2", "main"}} {
			group.Go(func() {
				_, err := multiprolab.Call[string](
					ctx,
					l,
					way.from,
					"program-call",
					order{"send numbered", fmt.Sprint(way.to, " ", count)},
				)
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		eventually(t, "the messages to a worker", func() bool {
			got, err := multiprolab.Call[map[string]int](ctx, l, "prog/1", "ledger", nil)
			require.NoError(t, err)
			return got["main"] == count && got["prog/0"] == count
		})
		eventually(t, "the messages to main", func() bool {
			got, err := row.state()
			require.NoError(t, err)
			return got["prog/2"] == count
		})
		require.NoError(t, l.Close())
		require.Empty(t, eventsOf[*multiprolab.DeadLetter](l))
	})
}

// A call stands in the same row as the messages that were sent before it.
func TestE03_CallsAreInOrderWithMessages(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess, Window: smallWindow}, workers("lab", 1))
		for i := range 500 {
			require.NoError(t, multiprolab.Send(bounded(t), l, "lab/0", "add", 1))
			if i%100 == 99 {
				got, err := multiprolab.Call[int](bounded(t), l, "lab/0", "state", nil)
				require.NoError(t, err)
				require.Equal(t, i+1, got)
			}
		}
	})
}

// E03: empty and tiny bodies, and those around the sizes at which the wire changes its ways, come
// back as they went.
func TestE03_BodiesOfAllSizes(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess, Window: smallWindow}, workers("lab", 1))
		for _, size := range []int{0, 1, 2, 35, 36, 37, 100, 127, 128, 4095, 4096, 8192, 32<<10 - 1, 32 << 10, 32<<10 + 1, 65535, 65536, 65537, 1<<20 - 1, 1<<20 + 1, 4<<20 + 7} {
			body := pattern(size)
			got, err := multiprolab.Call[[]byte](bounded(t), l, "lab", "call-bytes", body)
			require.NoError(t, err, size)
			require.True(t, bytes.Equal(body, got), "a call with %d bytes", size)
			got, err = multiprolab.Do[[]byte](bounded(t), l, "bytes", body)
			require.NoError(t, err, size)
			require.True(t, bytes.Equal(body, got), "a task with %d bytes", size)
			text, err := multiprolab.Call[string](bounded(t), l, "lab", "call-echo", string(body))
			require.NoError(t, err, size)
			require.True(t, string(body) == text, "a string of %d bytes", size)
		}
	})
}

// pattern makes bytes of which no two stretches are alike.
func pattern(size int) []byte {
	var row [997]byte // a prime: no power of two repeats it
	for i := range row {
		row[i] = byte(i*7 + i>>8)
	}
	return bytes.Repeat(row[:], size/len(row)+1)[:size]
}

// E04: bodies up to the limit pass both ways.
func TestE04_LargeBodies(t *testing.T) {
	l := startLab(t, &multiprolab.Config{MaxMessageSize: 100 << 20}, workers("lab", 2))
	sizes := []int{16 << 20, 100 << 20}
	if raceBuilt {
		sizes[1] = 40 << 20
	}
	for _, size := range sizes {
		body := pattern(size)
		got, err := multiprolab.Do[[]byte](bounded(t), l, "bytes", body)
		require.NoError(t, err)
		require.True(t, bytes.Equal(body, got))
	}
}

var _ = program("answer bytes", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	n, err := strconv.Atoi(arg)
	return strings.Repeat("x", n), err
})

var _ = program("send bytes", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	n, err := strconv.Atoi(arg)
	if err != nil {
		return "", err
	}
	err = multiprolab.Send(ctx, w, "main", "bytes", make([]byte, n))
	var size *multiprolab.SizeError
	if !errors.As(err, &size) {
		return "", fmt.Errorf("no *SizeError: %w", err)
	}
	return err.Error(), nil
})

// E04: a body over the limit is refused where it is made, with both sizes and what to do; the
// worker and the ones behind it go on.
func TestE04_TooLargeBodies(t *testing.T) {
	const limit = 1 << 20
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(
			t,
			&multiprolab.Config{InProcess: inProcess, MaxMessageSize: limit},
			workers("lab", 1),
			workers("prog", 1),
		)
		ctx := bounded(t)
		pid, err := multiprolab.Call[int](ctx, l, "lab", "call-pid", nil)
		require.NoError(t, err)
		tooLarge := make([]byte, limit+1)
		_, doErr := multiprolab.Do[[]byte](ctx, l, "bytes", tooLarge)
		_, callErr := multiprolab.Call[[]byte](ctx, l, "lab", "call-bytes", tooLarge)
		_, stringErr := multiprolab.Call[string](ctx, l, "lab", "call-echo", string(tooLarge))
		_, gobErr := multiprolab.Call[string](ctx, l, "prog", "program-call", order{"", string(tooLarge)})
		_, answerErr := runProgram(t, l, "answer bytes", strconv.Itoa(limit+1))
		for what, err := range map[string]error{
			"task": doErr, "call": callErr, "string": stringErr, "gob": gobErr, "result": answerErr,
			"message":   multiprolab.Send(ctx, l, "lab", "bytes", tooLarge),
			"broadcast": multiprolab.Broadcast(ctx, l, "", "bytes", tooLarge),
		} {
			var size *multiprolab.SizeError
			require.ErrorAs(t, err, &size, what)
			require.Greater(t, size.Size, int64(limit), what)
			require.EqualValues(t, limit, size.Limit, what)
			require.ErrorContains(t, err, "Config.MaxMessageSize", what)
		}
		text, err := runProgram(t, l, "send bytes", strconv.Itoa(limit+1))
		require.NoError(t, err)
		require.Contains(t, text, "Config.MaxMessageSize")

		got, err := multiprolab.Do[[]byte](ctx, l, "bytes", make([]byte, limit)) // as large as it may be
		require.NoError(t, err)
		require.Len(t, got, limit)
		again, err := multiprolab.Call[int](ctx, l, "lab", "call-pid", nil)
		require.NoError(t, err)
		require.Equal(t, pid, again)
	})
}

// What the library itself says is not under the limit of users' bodies.
func TestE04_TinyLimit(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(
			t,
			&multiprolab.Config{InProcess: inProcess, MaxMessageSize: 40, Window: 1},
			workers("lab", 2),
			workers("prog", 1),
		)
		got, err := multiprolab.Do[int](bounded(t), l, "double", 21)
		require.NoError(t, err)
		require.Equal(t, 42, got)
		// its type's definitions are longer than that
		_, err = multiprolab.Call[string](bounded(t), l, "prog", "program-call", order{"none", ""})
		require.ErrorContains(t, err, "no program is named")
		_, err = runProgram(t, l, "long error", "5000")
		require.ErrorContains(t, err, strings.Repeat("e", 5000))
	})
}

var _ = program("long error", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	n, err := strconv.Atoi(arg)
	if err != nil {
		return "", err
	}
	return "", errors.New(strings.Repeat("e", n))
})

// An error is an outcome, however long its text is.
func TestE04_LongError(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess, MaxMessageSize: 1 << 20}, workers("prog", 1))
		size := strconv.Itoa(3 << 20)
		_, err := runProgram(t, l, "long error", size)
		require.ErrorContains(t, err, strings.Repeat("e", 1000))
		_, err = multiprolab.Call[string](bounded(t), l, "prog", "program-call", order{"long error", size})
		require.ErrorContains(t, err, strings.Repeat("e", 1000))
		require.NoError(t, multiprolab.Send(bounded(t), l, "prog", "program-message", order{"long error", size}))
		failed := waitEvent[*multiprolab.HandlerFailed](t, l, nil)
		require.ErrorContains(t, failed.Err, strings.Repeat("e", 1000))
	})
}

// A message to a pool goes to the instance with the least to do.
func TestSendToPoolGoesToTheLeastBusy(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("prog", 3))
		blocked := make(chan struct{}, 10)
		multiprolab.Handle(l, "blocked", func(context.Context, string) error { blocked <- struct{}{}; return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx, release := context.WithCancel(bounded(t))
		var group sync.WaitGroup
		defer group.Wait()
		defer release()
		for _, busy := range []string{"prog/0", "prog/2"} {
			group.Go(func() {
				_, _ = multiprolab.Call[string](ctx, l, busy, "program-call", order{"block", ""})
			})
			await(t, blocked, "a worker to be busy")
			for range 5 {
				require.NoError(t, multiprolab.Send(bounded(t), l, busy, "note", "stays in the inbox"))
			}
		}
		// Each message is acknowledged before the next is sent, by a call to the same instance.
		for i := range 5 {
			require.NoError(t, multiprolab.Send(bounded(t), l, "prog", "note", fmt.Sprint(i)))
			got, err := multiprolab.Call[[]string](bounded(t), l, "prog/1", "notes", nil)
			require.NoError(t, err)
			require.Len(t, got, i+1)
		}
	})
}

var _ = program("block", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	if err := multiprolab.Send(ctx, w, "main", "blocked", w.Name()); err != nil {
		return "", err
	}
	<-ctx.Done()
	return "", context.Cause(ctx)
})

// Messages to a pool that has nothing to do are shared out.
func TestSendToPoolTakesTurns(t *testing.T) {
	l := startLab(t, nil, workers("lab", 3))
	for range 30 {
		require.NoError(t, multiprolab.Send(bounded(t), l, "lab", "add", 1))
	}
	sum := 0
	for i := range 3 {
		n, err := multiprolab.Call[int](bounded(t), l, fmt.Sprint("lab/", i), "state", nil)
		require.NoError(t, err)
		require.Positive(t, n, "lab/%d got nothing", i)
		sum += n
	}
	require.Equal(t, 30, sum)
}

var _ = program("broadcast", func(ctx context.Context, w *multiprolab.Worker, pool string) (string, error) {
	return "", multiprolab.Broadcast(ctx, w, pool, "note", w.Name())
})

// A broadcast reaches every instance once: of one pool or of all, but not its sender.
func TestBroadcast(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("prog", 3), workers("other", 2))
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		require.NoError(t, multiprolab.Broadcast(ctx, l, "prog", "note", "main to prog"))
		require.NoError(t, multiprolab.Broadcast(ctx, l, "", "note", "main to all"))
		for _, pool := range []string{"", "other", "prog"} {
			_, err := multiprolab.Call[string](ctx, l, "prog/1", "program-call", order{"broadcast", pool})
			require.NoError(t, err)
		}
		want := map[string][]string{
			"prog/0":  {"main to prog", "main to all", "prog/1", "prog/1"},
			"prog/1":  {"main to prog", "main to all"},
			"prog/2":  {"main to prog", "main to all", "prog/1", "prog/1"},
			"other/0": {"main to all", "prog/1", "prog/1"},
			"other/1": {"main to all", "prog/1", "prog/1"},
		}
		for name, notes := range want {
			got, err := multiprolab.Call[[]string](ctx, l, name, "notes", nil)
			require.NoError(t, err)
			require.Equal(t, notes, got, name)
		}
	})
}

// A receiver that is slow makes its sender wait, whose wait ends with its context; what was not
// sent is not delivered.
func TestBackPressure(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess, Window: smallWindow}, workers("prog", 1))
		blocked := make(chan struct{}, 1)
		multiprolab.Handle(l, "blocked", func(context.Context, string) error { blocked <- struct{}{}; return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		task, err := multiprolab.Submit[string](bounded(t), l, "program", order{"block", ""}, nil)
		require.NoError(t, err)
		await(t, blocked, "the worker to be busy")

		full := errors.New("the test has seen enough")
		ctx, cancel := context.WithCancelCause(bounded(t))
		var sent atomic.Int64
		ended := make(chan error, 1)
		go func() {
			for {
				if err := multiprolab.Send(ctx, l, "prog", "numbered", numbered{N: int(sent.Load())}); err != nil {
					ended <- err
					return
				}
				sent.Add(1)
			}
		}()
		// It stands still: a message of 128 bytes and more has no room where 8 KiB are taken.
		const most = smallWindow / 256
		eventually(
			t,
			"the sender to wait",
			func() bool { return sent.Load() > most/4 && l.Router() != nil && standsStill(&sent) },
		)
		require.LessOrEqual(t, sent.Load(), int64(most))
		cancel(full)
		require.ErrorIs(t, await(t, ended, "the end of the wait"), full)

		task.Cancel()
		_, err = task.Wait(bounded(t))
		require.ErrorIs(t, err, multiprolab.ErrCancelled)
		got, err := multiprolab.Call[map[string]int](bounded(t), l, "prog", "ledger", nil)
		require.NoError(t, err)
		require.EqualValues(t, sent.Load(), got["main"])
	})
}

// standsStill reports whether a counter has not moved for a while. It is a hint for eventually, not
// a proof.
func standsStill(n *atomic.Int64) bool {
	before := n.Load()
	time.Sleep(50 * time.Millisecond)
	return n.Load() == before
}

var _ = program("flood", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	to, count, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		return "", err
	}
	// so that both are at it before one has ended
	if err := multiprolab.Send(ctx, w, "main", "blocked", w.Name()); err != nil {
		return "", err
	}
	for i := range n {
		if err := multiprolab.Send(ctx, w, to, "numbered", numbered{N: i, Pad: make([]byte, 100)}); err != nil {
			return "", err
		}
	}
	return "", nil
})

// Two workers whose handlers send to each other, or one whose handler sends to main while main
// sends to it, far more than the window: neither waits for the other.
func TestMutualFloodsDoNotDeadlock(t *testing.T) {
	const count = 300 // of 250 bytes: nine windows, and less than the sixteen that an inbox holds
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess, Window: smallWindow}, workers("prog", 2))
		var row ledger
		multiprolab.Handle(l, "numbered", row.take)
		multiprolab.Handle(l, "blocked", func(context.Context, string) error { return nil })
		flood := make(chan error, 1)
		multiprolab.Handle(l, "go", func(ctx context.Context, to string) error {
			for i := range count {
				if err := multiprolab.Send(ctx, l, to, "numbered", numbered{N: i, Pad: make([]byte, 100)}); err != nil {
					flood <- err
					return nil
				}
			}
			flood <- nil
			return nil
		})
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		require.NoError(
			t,
			multiprolab.Send(ctx, l, "prog/0", "program-message", order{"flood", fmt.Sprint("prog/1 ", count)}),
		)
		require.NoError(
			t,
			multiprolab.Send(ctx, l, "prog/1", "program-message", order{"flood", fmt.Sprint("prog/0 ", count)}),
		)
		for i := range 2 {
			got, err := multiprolab.Call[map[string]int](ctx, l, fmt.Sprint("prog/", i), "ledger", nil)
			require.NoError(t, err)
			_ = got
		}
		require.NoError(
			t,
			multiprolab.Send(ctx, l, "prog/0", "program-message", order{"flood", fmt.Sprint("main ", count)}),
		)
		require.NoError(t, multiprolab.Send(ctx, l, "main", "go", "prog/0"))
		require.NoError(t, await(t, flood, "main's handler"))
		eventually(t, "all messages", func() bool {
			inMain, err := row.state()
			require.NoError(t, err)
			first, err := multiprolab.Call[map[string]int](ctx, l, "prog/0", "ledger", nil)
			require.NoError(t, err)
			second, err := multiprolab.Call[map[string]int](ctx, l, "prog/1", "ledger", nil)
			require.NoError(t, err)
			return inMain["prog/0"] == count && first["main"] == count && first["prog/1"] == count &&
				second["prog/0"] == count
		})
		require.Empty(t, eventsOf[*multiprolab.DeadLetter](l))
		require.Empty(t, eventsOf[*multiprolab.HandlerFailed](l))
	})
}

// ErrBacklog: what comes to a process whose loop waits for another one is kept up to a limit.
// Beyond it messages become dead letters with the reason; none is lost in silence.
func TestBacklogIsBounded(t *testing.T) {
	const count = 2000 // of 150 bytes and more: over sixteen windows of 8 KiB
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess, Window: smallWindow}, workers("prog", 2))
		waiting, goOn := make(chan struct{}, 1), make(chan struct{})
		l.Receiver().HandleCall("wait", func(ctx context.Context, m *multiprolab.Message) (any, error) {
			waiting <- struct{}{}
			<-goOn
			return nil, nil
		})
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		asked := make(chan error, 1)
		go func() {
			_, err := multiprolab.Call[string](ctx, l, "prog/0", "program-call", order{"ask main to wait", ""})
			asked <- err
		}()
		await(t, waiting, "the worker to wait for main")
		for i := range count { // they go to a worker that waits for main
			require.NoError(t, multiprolab.Send(ctx, l, "prog/0", "numbered", numbered{N: i}))
		}
		letters := func() int {
			all := eventsOf[*multiprolab.DeadLetter](l)
			for _, d := range all {
				require.Contains(t, d.Reason, "waits for another process")
				require.Equal(t, "numbered", d.Type)
				require.Equal(t, "main", d.Sender)
				require.Equal(t, "prog/0", d.Receiver)
			}
			return len(all)
		}
		close(goOn)
		require.NoError(t, await(t, asked, "the call"))
		var kept int
		eventually(t, "the end", func() bool {
			got, _ := multiprolab.Call[map[string]int](ctx, l, "prog/0", "count", nil)
			kept = got["main"]
			return kept+letters() == count
		})
		require.Positive(t, letters())
		require.GreaterOrEqual(t, kept*256, smallWindow) // it took more than its window
	})
}

var _ = program("ask main to wait", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	_, err := multiprolab.Call[struct{}](ctx, w, "main", "wait", nil)
	return "", err
})

// A message of main to itself goes to its own handlers.
func TestSendToOneself(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess, Window: smallWindow}, workers("prog", 1))
		var row ledger
		multiprolab.Handle(l, "numbered", row.take)
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		for i := range 100 {
			require.NoError(t, multiprolab.Send(bounded(t), l, "main", "numbered", numbered{N: i}))
		}
		_, err := runProgram(t, l, "send numbered", "prog/0 100")
		require.NoError(t, err)
		eventually(t, "the messages", func() bool {
			mine, err := row.state()
			require.NoError(t, err)
			theirs, err := multiprolab.Call[map[string]int](bounded(t), l, "prog", "ledger", nil)
			require.NoError(t, err)
			return mine["main"] == 100 && theirs["prog/0"] == 100
		})
	})
}

// The untyped core: a message by name and type, a handler by type.
func TestUntypedMessages(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("prog", 2))
		got := make(chan *multiprolab.Message, 1)
		l.Receiver().Handle("note", func(_ context.Context, m *multiprolab.Message) error { got <- m; return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		require.Equal(t, []string{"main", "prog/0", "prog/1"}, l.Router().Receivers())
		require.NoError(t, l.Router().Send(bounded(t), "prog/1", "program-message", order{"note to main", "hello"}))
		m := await(t, got, "the message")
		var text string
		require.NoError(t, m.Decode(&text))
		require.Equal(t, "hello", text)
		require.Equal(t, "prog/1", m.Sender)
		require.Equal(t, "main", m.Receiver)
		require.Equal(t, "note", m.Type)
		require.Equal(t, 5, m.Size())
		require.NoError(t, l.Router().Broadcast(bounded(t), "prog", "note", "to all"))
		for i := range 2 {
			var notes []string
			require.NoError(t, l.Router().Call(bounded(t), fmt.Sprint("prog/", i), "notes", nil, &notes))
			require.Equal(t, []string{"to all"}, notes)
		}
	})
}

var _ = program("note to main", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	return "", multiprolab.Send(ctx, w, "main", "note", arg)
})

// DrainQueue handles the messages that were accepted before, and reports none as lost.
func TestDrainHandlesQueuedMessages(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess, Shutdown: multiprolab.DrainQueue}, workers("prog", 1))
		var texts notes
		multiprolab.Handle(l, "note", func(_ context.Context, text string) error { texts.add(text); return nil })
		require.NoError(t, l.Start(t.Context()))
		want := []string{}
		for i := range 200 {
			want = append(want, fmt.Sprint(i))
			require.NoError(
				t,
				multiprolab.Send(bounded(t), l, "prog", "program-message", order{"note to main", fmt.Sprint(i)}),
			)
		}
		require.NoError(t, l.Close())
		require.Equal(t, want, texts.all())
		require.Empty(t, eventsOf[*multiprolab.DeadLetter](l))
	})
}

// relayed is a message that a relay is at while it sends others of the same size.
type relayed struct {
	To    string
	Count int
	Pad   []byte
}

var relay = worker("relay", func(_ context.Context, w *multiprolab.Worker) error {
	var row ledger
	multiprolab.Handle(w, "numbered", row.take)
	multiprolab.HandleCall(w, "ledger", func(context.Context, struct{}) (map[string]int, error) { return row.state() })
	multiprolab.Handle(w, "relayed", func(ctx context.Context, r relayed) error {
		for begun := 0; begun < 2; { // so that both are at it before one has ended
			var err error
			if begun, err = multiprolab.Call[int](ctx, w, "main", "begun", w.Name()); err != nil {
				return err
			}
		}
		for i := range r.Count {
			if err := multiprolab.Send(ctx, w, r.To, "numbered", numbered{N: i, Pad: r.Pad}); err != nil {
				return err
			}
		}
		return nil
	})
	return nil
})

// The same for messages of more than half a window: one that is being handled holds up no other
// message while its handler waits.
func TestMutualFloodsOfLargeMessagesDoNotDeadlock(t *testing.T) {
	const count = 12 // of three quarters of a window: less than the sixteen that an inbox holds
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess, Window: smallWindow}, workers(relay, 2))
		begun := map[string]bool{}
		multiprolab.HandleCall(l, "begun", func(_ context.Context, who string) (int, error) {
			begun[who] = true
			return len(begun), nil
		})
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		names := []string{"relay/0", "relay/1"}
		for i, name := range names {
			r := relayed{To: names[1-i], Count: count, Pad: make([]byte, smallWindow*3/4)}
			require.NoError(t, multiprolab.Send(ctx, l, name, "relayed", r))
		}
		for i, name := range names {
			eventually(t, "all messages to "+name, func() bool {
				got, err := multiprolab.Call[map[string]int](ctx, l, name, "ledger", nil)
				require.NoError(t, err)
				return got[names[1-i]] == count
			})
		}
		require.Empty(t, eventsOf[*multiprolab.DeadLetter](l))
		require.Empty(t, eventsOf[*multiprolab.HandlerFailed](l))
	})
}
