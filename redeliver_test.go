package multiprolab_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// surviving is the configuration of workers whose messages survive them.
func surviving(count, redeliver int) *multiprolab.WorkerConfig {
	return &multiprolab.WorkerConfig{
		Count:           count,
		Redeliver:       redeliver,
		RestartLimit:    multiprolab.RestartLimit{Restarts: 1000},
		RestartDelay:    1,
		RestartMaxDelay: 1,
	}
}

// surviveLab starts surviving workers, and says where they write down what they have handled.
func surviveLab(t *testing.T, cfg *multiprolab.Config, pools ...pool) (l *lab, book string) {
	book = filepath.Join(t.TempDir(), "book")
	t.Setenv(rebornVar, book)
	l = newLab(t, cfg, pools...)
	multiprolab.Handle(l, "spread-done", func(context.Context, struct{}) error { return nil })
	require.NoError(t, l.Start(t.Context()))
	return l, book
}

// handled is what a surviving worker writes down of a message when its handler returns.
type handled struct {
	worker string
	life   int
	sender string
	number int
	marked bool
}

// Surviving workers write down what they have handled. Poison ends one in the middle of its handler.
var _ = worker("surviving", func(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "pid", func(context.Context, struct{}) (int, error) { return os.Getpid(), nil })
	multiprolab.Handle(w, "wait", func(_ context.Context, v visit) error { _, err := v.wait(); return err })
	multiprolab.Handle(w, "item", func(ctx context.Context, b []byte) error {
		m, n := multiprolab.MessageFrom(ctx), int(binary.LittleEndian.Uint64(b))
		err := writeHandled(handled{w.Name(), w.Life(), m.Sender, n, m.Redelivered})
		if n%500 == 499 && !m.Redelivered {
			os.Exit(3) // before main is told that the message was handled
		}
		return err
	})
	multiprolab.Handle(w, "poison", func(ctx context.Context, n int) error {
		m := multiprolab.MessageFrom(ctx)
		if err := writeHandled(handled{w.Name(), w.Life(), m.Sender, n, m.Redelivered}); err != nil {
			return err
		}
		runtime.Goexit() // which ends a worker that is a goroutine of main, too
		return nil
	})
	leave := make(chan struct{})
	multiprolab.Handle(w, "leave", func(_ context.Context, v visit) error {
		defer close(leave)
		_, err := v.wait()
		return err
	})
	w.Loop(func(ctx context.Context) error { // a loop that returns ends the worker
		select {
		case <-leave:
		case <-ctx.Done():
		}
		return nil
	})
	return nil
})

func writeHandled(h handled) error {
	f, err := os.OpenFile(os.Getenv(rebornVar), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "%s %d %s %d %v\n", h.worker, h.life, h.sender, h.number, h.marked)
	return err
}

// readHandled reads what surviving workers have written down.
func readHandled(t *testing.T, path string) (all []handled) {
	text, err := os.ReadFile(path)
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	for line := range strings.Lines(string(text)) {
		var h handled
		_, err := fmt.Sscanf(line, "%s %d %s %d %t", &h.worker, &h.life, &h.sender, &h.number, &h.marked)
		require.NoError(t, err)
		all = append(all, h)
	}
	return all
}

// TestMessagesSurviveTheirReceiver kills workers again and again while main and other workers send
// them messages: each is handled at least once and in the order of its sender, only those that were
// begun before come twice, and these are marked. Large bodies go through shared memory.
func TestMessagesSurviveTheirReceiver(t *testing.T) {
	const each, receivers = 3000, 2
	l, path := surviveLab(t, &multiprolab.Config{Window: smallWindow}, pool{"surviving", surviving(receivers, 1_000_000)},
		workers("reborn", receivers))
	defer l.Close()
	ctx := bounded(t)
	sent := make(chan error, 2*receivers)
	for r := range receivers {
		to := fmt.Sprintf("surviving/%d", r)
		go func() { // main sends
			for n := range each {
				if err := multiprolab.Send(ctx, l, to, "item", itemBody(n)); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		go func() { // another worker sends
			sent <- multiprolab.Send(ctx, l, fmt.Sprintf("reborn/%d", r), "spread", spread{To: to, Until: each})
		}()
	}
	random := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	kills := 0
	whole := func() bool {
		done := map[string]int{}
		for _, h := range readHandled(t, path) {
			done[h.worker+h.sender] = max(done[h.worker+h.sender], h.number+1)
		}
		for _, n := range done {
			if n < each {
				return false
			}
		}
		return len(done) == 2*receivers
	}
	for kills < 10 || !whole() {
		to := fmt.Sprintf("surviving/%d", random.IntN(receivers))
		before := len(readHandled(t, path))
		if pid, err := multiprolab.Call[int](ctx, l, to, "pid", struct{}{}); err == nil && kills < 30 && killProcess(pid) == nil {
			kills++ // otherwise it has just died by itself
		}
		require.NoError(t, ctx.Err())
		if kills < 30 && !whole() {
			eventually(t, "some progress", func() bool { return len(readHandled(t, path)) > before+10 || whole() })
		}
	}
	for range 2 * receivers {
		require.NoError(t, <-sent)
	}
	require.NoError(t, l.Close())
	require.Empty(t, eventsOf[*multiprolab.DeadLetter](l))
	next := map[string]int{}
	twice := 0
	for _, h := range readHandled(t, path) {
		pair := h.worker + " from " + h.sender
		switch {
		case h.number == next[pair]:
			next[pair]++
		case h.number < next[pair]:
			require.True(t, h.marked, "it came twice without a mark: %+v", h)
			require.True(t, h.number == next[pair]-1 || !proc.HasBox, "more than one was begun: %+v", h)
			twice++
		default:
			require.Fail(t, "a message was lost, or came too early", "%+v, and %d was to come", h, next[pair])
		}
	}
	require.Len(t, next, 2*receivers)
	require.GreaterOrEqual(t, twice, 2*receivers*each/500)
	for pair, n := range next {
		require.Equal(t, each, n, pair)
	}
	t.Logf("%d kills, %d messages were handled twice", kills, twice)
}

// TestPoisonousMessage: a message that ends every life that begins with it is given up in the end,
// with its body, and those behind it are handled in their order, also where nothing but what a
// worker says tells what it has begun.
func TestPoisonousMessage(t *testing.T) {
	for _, inProcess := range []bool{false, true} {
		l, path := surviveLab(t, &multiprolab.Config{InProcess: inProcess}, pool{"surviving", surviving(1, 2)})
		defer l.Close()
		g := newGate(t)
		ctx := bounded(t)
		require.NoError(t, multiprolab.Send(ctx, l, "surviving", "wait", g.visit("first"))) // so that all come to one life
		first := g.expect(t, "first")
		require.NoError(t, multiprolab.Send(ctx, l, "surviving", "item", itemBody(0)))
		require.NoError(t, multiprolab.Send(ctx, l, "surviving", "poison", 1))
		require.NoError(t, multiprolab.Send(ctx, l, "surviving", "item", itemBody(2)))
		require.NoError(t, multiprolab.Send(ctx, l, "surviving", "item", itemBody(3)))
		first.tell("")
		letter := waitEvent[*multiprolab.DeadLetter](t, l, nil)
		var n int
		require.NoError(t, letter.Decode(&n))
		require.Equal(t, 1, n)
		require.Equal(t, "poison", letter.Type)
		require.Contains(t, letter.Reason, "WorkerConfig.Redeliver is 2")
		eventually(t, "the rest", func() bool { return len(readHandled(t, path)) == 6 })
		require.NoError(t, l.Close())
		require.Len(t, eventsOf[*multiprolab.DeadLetter](l), 1)
		unsure := !inProcess && !proc.HasBox
		want := []handled{
			{number: 0, life: 1},
			{number: 1, life: 1},
			{number: 1, life: 2, marked: true},
			{number: 1, life: 3, marked: true},
			{number: 2, life: 4, marked: unsure},
			{number: 3, life: 4, marked: unsure},
		}
		for i := range want {
			want[i].worker, want[i].sender = "surviving/0", "main"
		}
		require.Equal(t, want, readHandled(t, path))
	}
}

// TestMessagesSurviveAWorkerThatLeaves: a worker whose own loop returns hands on what it has not
// begun, without a mark.
func TestMessagesSurviveAWorkerThatLeaves(t *testing.T) {
	for _, inProcess := range []bool{false, true} {
		cfg := surviving(1, 1)
		cfg.Restart = multiprolab.RestartAlways
		l, path := surviveLab(t, &multiprolab.Config{InProcess: inProcess}, pool{"surviving", cfg})
		defer l.Close()
		g := newGate(t)
		ctx := bounded(t)
		require.NoError(t, multiprolab.Send(ctx, l, "surviving", "leave", g.visit("leaves")))
		leaves := g.expect(t, "leaves")
		for n := range 20 {
			require.NoError(t, multiprolab.Send(ctx, l, "surviving", "item", itemBody(n)))
		}
		leaves.tell("")
		eventually(t, "all", func() bool { return len(readHandled(t, path)) == 20 })
		require.NoError(t, l.Close())
		require.Empty(t, eventsOf[*multiprolab.DeadLetter](l))
		for n, h := range readHandled(t, path) {
			require.Equal(t, n, h.number)
			require.False(t, h.marked)
		}
	}
}

// TestDeadLettersHaveBodies: what could have been handed on, and has nobody to go to, has its body;
// so has what never left main. What was handed to a worker that keeps nothing has none.
func TestDeadLettersHaveBodies(t *testing.T) {
	for _, redeliver := range []int{0, 1} {
		cfg := surviving(1, redeliver)
		cfg.Restart = multiprolab.RestartNever
		l, _ := surviveLab(t, &multiprolab.Config{Window: smallWindow}, pool{"surviving", cfg}, workers("reborn", 1))
		defer l.Close()
		g := newGate(t)
		ctx := bounded(t)
		require.NoError(t, multiprolab.Send(ctx, l, "surviving/0", "wait", g.visit("held")))
		held := g.expect(t, "held")
		// More than the window of the receiver, so that some wait in main.
		require.NoError(t, multiprolab.Send(ctx, l, "reborn/0", "spread", spread{To: "surviving/0", Until: 60}))
		eventually(t, "the spread", func() bool { return l.Pending("surviving/0") == 61 })
		require.NoError(t, killProcess(held.pid))
		eventually(t, "the dead letters", func() bool { return len(eventsOf[*multiprolab.DeadLetter](l)) == 61 })
		require.NoError(t, l.Close())
		bodies := 0
		for _, d := range eventsOf[*multiprolab.DeadLetter](l)[1:] {
			var b []byte
			err := d.Decode(&b)
			if err == nil {
				require.Equal(t, itemBody(int(binary.LittleEndian.Uint64(b))), b)
				bodies++
				continue
			}
			require.ErrorContains(t, err, "WorkerConfig.Redeliver")
			require.ErrorAs(t, err, new(*multiprolab.DecodeError))
		}
		if redeliver > 0 {
			require.Equal(t, 60, bodies)
		} else {
			require.Positive(t, bodies, "those that waited in main")
			require.Less(t, bodies, 60, "those that the worker had")
		}
	}
}

// TestResizedAwayWithMessages: what an instance has not handled when it dies while Resize takes it
// away becomes dead letters.
func TestResizedAwayWithMessages(t *testing.T) {
	l, _ := surviveLab(t, nil, pool{"surviving", surviving(2, 3)})
	defer l.Close()
	g := newGate(t)
	ctx := bounded(t)
	require.NoError(t, multiprolab.Send(ctx, l, "surviving/1", "wait", g.visit("held")))
	held := g.expect(t, "held")
	for n := range 5 {
		require.NoError(t, multiprolab.Send(ctx, l, "surviving/1", "item", itemBody(n)))
	}
	require.NoError(t, l.Resize("surviving", 1))
	require.NoError(t, killProcess(held.pid))
	eventually(t, "the dead letters", func() bool { return len(eventsOf[*multiprolab.DeadLetter](l)) == 6 })
	for n, d := range eventsOf[*multiprolab.DeadLetter](l)[1:] {
		var b []byte
		require.NoError(t, d.Decode(&b))
		require.Equal(t, itemBody(n), b)
	}
}

func ExampleWorkerConfig_redeliver() {
	app := multiprolab.New(&multiprolab.Config{InProcess: true, Logger: slog.New(slog.DiscardHandler)})
	app.RegisterWorker("ledger", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.Handle(w, "book", func(ctx context.Context, amount int) error {
			again := multiprolab.MessageFrom(ctx).Redelivered // then look whether it is booked already
			if w.Life() == 1 {
				runtime.Goexit() // it dies in the middle of the handler
			}
			return multiprolab.Send(ctx, w, "main", "booked", fmt.Sprintf("%d, perhaps again: %v", amount, again))
		})
		return nil
	}, &multiprolab.WorkerConfig{Redeliver: 3})
	multiprolab.Handle(app, "booked", func(ctx context.Context, text string) error {
		fmt.Println(text)
		app.Exit()
		return nil
	})
	app.After(0, func(ctx context.Context) error { return multiprolab.Send(ctx, app, "ledger", "book", 100) })
	if err := app.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: 100, perhaps again: true
}
