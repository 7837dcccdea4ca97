package multiprolab_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// rebornVar is the file in which a reborn worker writes which items it handles, in every life.
const rebornVar = "MULTIPROLAB_TEST_REBORN"

// item is a message whose length is its number: a dead letter tells the length.
const firstItem = 16

// spread asks a worker to send items to another one.
type spread struct {
	To          string
	From, Until int
}

func itemBody(n int) []byte {
	b := make([]byte, firstItem+n)
	binary.LittleEndian.PutUint64(b, uint64(n))
	return b
}

// The reborn worker keeps a book of the items that it handles.
var _ = worker("reborn", func(ctx context.Context, w *multiprolab.Worker) error {
	keepBook(w)
	multiprolab.HandleCall(w, "alive", func(context.Context, struct{}) (whoami, error) {
		return whoami{PID: os.Getpid(), Life: w.Life()}, nil
	})
	multiprolab.HandleCall(w, "hold", func(_ context.Context, v visit) (string, error) { return v.wait() })
	multiprolab.Handle(w, "held", func(_ context.Context, v visit) error { _, err := v.wait(); return err })
	// ask has the loop wait for another worker.
	multiprolab.Handle(w, "ask", func(ctx context.Context, v visit) error {
		_, err := multiprolab.Call[string](ctx, w, "guest/0", "visit-call", v)
		return err
	})
	// spread sends items to another one, without waiting for room on its loop.
	multiprolab.Handle(w, "spread", func(ctx context.Context, s spread) error {
		for n := s.From; n < s.Until; n++ {
			if err := multiprolab.Send(ctx, w, s.To, "item", itemBody(n)); err != nil {
				return err
			}
		}
		return multiprolab.Send(ctx, w, "main", "spread-done", nil)
	})
	return nil
})

// keepBook lets a worker write down which items it handles.
func keepBook(w *multiprolab.Worker) {
	multiprolab.Handle(w, "item", func(_ context.Context, b []byte) error {
		f, err := os.OpenFile(os.Getenv(rebornVar), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = fmt.Fprintf(f, "%d %d\n", w.Life(), binary.LittleEndian.Uint64(b))
		return err
	})
}

// The reborn worker that nests keeps a book as well, and handles items inside the handler of another
// message.
var _ = worker("reborn-nests", func(_ context.Context, w *multiprolab.Worker) error {
	keepBook(w)
	var action context.Context
	multiprolab.Handle(w, "nest", func(_ context.Context, v visit) error {
		for range 3 {
			if err := w.Receiver().Receive(action); err != nil {
				return err
			}
		}
		_, err := v.wait()
		return err
	})
	w.After(0, func(ctx context.Context) error {
		action = ctx
		return w.Receiver().Receive(ctx)
	})
	return nil
})

// TestHandledInsideAnotherIsNotLost: what a worker has handled while the handler of an earlier
// message runs is not reported as lost when it dies, and the earlier one is.
func TestHandledInsideAnotherIsNotLost(t *testing.T) {
	if !proc.HasBox {
		t.Skip("here a worker leaves nothing behind that tells what it had handled")
	}
	path := filepath.Join(t.TempDir(), "book")
	l := newLab(t, nil, pool{"reborn-nests", &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: []string{rebornVar + "=" + path}}}})
	g := newGate(t)
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	require.NoError(t, multiprolab.Send(bounded(t), l, "reborn-nests/0", "nest", g.visit("inside")))
	for n := range 5 {
		require.NoError(t, multiprolab.Send(bounded(t), l, "reborn-nests/0", "item", itemBody(n)))
	}
	require.NoError(t, killProcess(g.expect(t, "inside").pid))
	waitEvent[*multiprolab.WorkerFailed](t, l, nil)
	require.NoError(t, l.Close())
	book, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "1 0\n1 1\n1 2\n", string(book))
	letters := itemLetters(t, l)
	require.Len(t, letters, 2, "those that it had not handled")
	require.Len(t, letters[3], 1)
	require.Len(t, letters[4], 1)
	nests := 0
	for _, d := range eventsOf[*multiprolab.DeadLetter](l) {
		if d.Type == "nest" {
			nests++
		}
	}
	require.Equal(t, 1, nests, "its handler had not ended")
}

// rebornLab starts reborn workers and a guest.
func rebornLab(t *testing.T, count int) (l *lab, book func() map[int][]int) {
	path := filepath.Join(t.TempDir(), "book")
	l = newLab(
		t,
		&multiprolab.Config{Window: smallWindow},
		pool{"reborn", &multiprolab.WorkerConfig{Count: count, Process: multiprolab.ProcessConfig{Env: []string{rebornVar + "=" + path}},
			RestartLimit: multiprolab.RestartLimit{Restarts: 1000}, RestartDelay: 1, RestartMaxDelay: 1}},
		workers("guest", 1),
	)
	return l, func() map[int][]int {
		lives := map[int][]int{}
		text, err := os.ReadFile(path)
		if !errors.Is(err, os.ErrNotExist) {
			require.NoError(t, err)
		}
		for line := range strings.Lines(string(text)) {
			var life, n int
			_, err := fmt.Sscanf(line, "%d %d", &life, &n)
			require.NoError(t, err)
			lives[life] = append(lives[life], n)
		}
		return lives
	}
}

// itemLetters returns the dead letters of items by their numbers.
func itemLetters(t *testing.T, l *lab) map[int][]string {
	letters := map[int][]string{}
	for _, d := range eventsOf[*multiprolab.DeadLetter](l) {
		if d.Type == "item" {
			letters[d.Size-firstItem] = append(letters[d.Size-firstItem], d.Reason)
		}
	}
	return letters
}

// TestExactlyTheUnhandledAreReported: of the messages that a dead worker was sent, those become
// dead letters that its handlers had not ended with, and no others, however lately it had told main
// of what it had done.
func TestExactlyTheUnhandledAreReported(t *testing.T) {
	if !proc.HasBox {
		t.Skip("here a worker leaves nothing behind that tells what it had handled")
	}
	for _, handled := range []int{0, 1, 17} {
		l, book := rebornLab(t, 1)
		g := newGate(t)
		require.NoError(t, l.Start(t.Context()))
		for n := range handled {
			require.NoError(t, multiprolab.Send(bounded(t), l, "reborn/0", "item", itemBody(n)))
		}
		require.NoError(t, multiprolab.Send(bounded(t), l, "reborn/0", "held", g.visit("the last")))
		const behind = 5
		for n := range behind {
			require.NoError(t, multiprolab.Send(bounded(t), l, "reborn/0", "item", itemBody(handled+n)))
		}
		v := g.expect(t, "the last")
		require.NoError(t, killProcess(v.pid))
		waitEvent[*multiprolab.WorkerFailed](t, l, nil)
		// the letters were written before the replacement began
		_, err := multiprolab.Call[whoami](bounded(t), l, "reborn/0", "alive", nil)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.Len(t, book()[1], handled)
		letters := itemLetters(t, l)
		require.Len(t, letters, behind, "%v", letters)
		for n := range behind {
			require.Len(t, letters[handled+n], 1)
		}
		require.Len(t, eventsOf[*multiprolab.DeadLetter](l), behind+1, "and the one whose handler it died in")
	}
}

// TestRestartKeepsNames: an instance that dies keeps its name and gets another pid and the next
// life; the worker, its calls, the events and the errors agree on them.
func TestRestartKeepsNames(t *testing.T) {
	l, _ := rebornLab(t, 2)
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	receivers := l.Router().Receivers()
	seen := map[int]bool{}
	for life := 1; life <= 4; life++ {
		w, err := multiprolab.Call[whoami](bounded(t), l, "reborn/0", "alive", nil)
		require.NoError(t, err)
		require.Equal(t, life, w.Life)
		require.False(t, seen[w.PID], "a new process")
		seen[w.PID] = true
		ready := waitEvent(
			t,
			l,
			func(e *multiprolab.WorkerReady) bool { return e.Worker == "reborn/0" && e.Life == life },
		)
		require.Equal(t, w.PID, ready.PID)
		started := waitEvent(
			t,
			l,
			func(e *multiprolab.WorkerStarted) bool { return e.Worker == "reborn/0" && e.Life == life },
		)
		require.Equal(t, w.PID, started.PID)
		require.NoError(t, killProcess(w.PID))
		failed := waitEvent(
			t,
			l,
			func(e *multiprolab.WorkerFailed) bool { return e.Worker == "reborn/0" && e.Life == life },
		)
		require.Equal(t, w.PID, failed.PID)
		require.True(t, failed.Restart)
		var died *multiprolab.WorkerDiedError
		require.ErrorAs(t, failed.Err, &died)
		require.Equal(t, []any{"reborn/0", w.PID, life}, []any{died.Worker, died.PID, died.Life})
		require.Equal(t, receivers, l.Router().Receivers())
	}
	other, err := multiprolab.Call[whoami](bounded(t), l, "reborn/1", "alive", nil)
	require.NoError(t, err)
	require.Equal(t, 1, other.Life, "nothing has happened to the other")
}

// TestRestartFailsCalls: a call that runs, and those behind it in the inbox, fail with the death at
// once, those of other workers as well; one that had not been sent for want of room is put to the
// next life.
func TestRestartFailsCalls(t *testing.T) {
	l, _ := rebornLab(t, 2)
	g := newGate(t)
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	ctx := bounded(t)
	call := func(typ string, body any) <-chan error {
		outcome := make(chan error, 1)
		go func() { // ends with the call
			_, err := multiprolab.Call[any](ctx, l, "reborn/0", typ, body)
			outcome <- err
		}()
		return outcome
	}
	running := call("hold", g.visit("running"))
	v := g.expect(t, "running")
	var queued []<-chan error
	for range 5 {
		queued = append(queued, call("alive", nil))
	}
	// they are on their way
	require.Eventually(t, func() bool { return l.Pending("reborn/0") == 6 }, patience, time.Millisecond)
	require.NoError(t, killProcess(v.pid))
	for _, c := range append(queued, running) {
		var died *multiprolab.WorkerDiedError
		err := await(t, c, "the end of a call")
		require.ErrorAs(t, err, &died)
		require.Equal(t, v.pid, died.PID)
		require.Equal(t, 1, died.Life)
		require.Contains(t, died.During, "call ")
	}
	w, err := multiprolab.Call[whoami](ctx, l, "reborn/0", "alive", nil)
	require.NoError(t, err)
	require.Equal(t, 2, w.Life)
}

// TestRestartForwardsWhatWaits: of what two senders had for a worker that dies, its window full,
// what it had not been sent goes to its next life, in order; the rest is a dead letter that names
// the death.
func TestRestartForwardsWhatWaits(t *testing.T) {
	const mine, theirs = 150, 100
	l, book := rebornLab(t, 2)
	g := newGate(t)
	done := make(chan struct{}, 1)
	multiprolab.Handle(l, "spread-done", func(context.Context, struct{}) error { done <- struct{}{}; return nil })
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	ctx := bounded(t)
	require.NoError(t, multiprolab.Send(ctx, l, "reborn/0", "held", g.visit("held")))
	v := g.expect(t, "held")
	sent := make(chan error, 1)
	go func() { // ends when the next life has taken them
		for n := range mine {
			if err := multiprolab.Send(ctx, l, "reborn/0", "item", itemBody(n)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	require.NoError(t, multiprolab.Send(ctx, l, "reborn/1", "spread", spread{"reborn/0", mine, mine + theirs}))
	// of more than 144 bytes each
	eventually(t, "the window to be full", func() bool { return l.Pending("reborn/0") > 40 })
	select {
	case err := <-sent:
		require.FailNow(t, "everything was sent", "%v", err)
	default:
	}
	require.NoError(t, killProcess(v.pid))
	require.NoError(t, await(t, sent, "the messages of main to be sent"))
	await(t, done, "the messages of the other worker to be sent")
	var handled []int
	eventually(t, "each item to be seen to", func() bool {
		handled = book()[2]
		return len(handled)+len(itemLetters(t, l)) >= mine+theirs
	})
	lives, letters := book(), itemLetters(t, l)
	require.Empty(t, lives[1])
	require.NotEmpty(t, lives[2])
	require.NotEmpty(t, letters)
	for n := range mine + theirs {
		require.Equal(t, !slices.Contains(lives[2], n), len(letters[n]) == 1, "item %d", n)
	}
	// of each sender the first are lost, and what follows comes in order
	for _, from := range [][2]int{{0, mine}, {mine, mine + theirs}} {
		var came []int
		for _, n := range lives[2] {
			if n >= from[0] && n < from[1] {
				came = append(came, n)
			}
		}
		require.NotEmpty(t, came)
		for i, n := range came {
			require.Equal(t, from[1]-len(came)+i, n)
		}
	}
	for _, reasons := range letters {
		require.Contains(t, reasons[0], fmt.Sprintf("worker reborn/0 (pid %d): killed by SIGKILL", v.pid))
	}
}

// TestResizeAccountsForWhatWaits: what waits for a worker that is taken away, and dies on the way,
// ends: messages of workers as dead letters, a Send and a call of main with an error. (Found by the
// soak test: main died of a nil error, and before that Send and Call reported success.)
func TestResizeAccountsForWhatWaits(t *testing.T) {
	const count = 70
	l, book := rebornLab(t, 2)
	g := newGate(t)
	done := make(chan struct{}, 1)
	multiprolab.Handle(l, "spread-done", func(context.Context, struct{}) error { done <- struct{}{}; return nil })
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	ctx := bounded(t)
	require.NoError(t, multiprolab.Send(ctx, l, "reborn/1", "held", g.visit("held")))
	v := g.expect(t, "held")
	require.NoError(t, multiprolab.Send(ctx, l, "reborn/0", "spread", spread{"reborn/1", 0, count}))
	eventually(t, "more than the window", func() bool { return l.Pending("reborn/1") == 1+count })
	outcomes := make(chan error, 2)
	go func() { // ends with the worker
		outcomes <- multiprolab.Send(ctx, l, "reborn/1", "item", itemBody(count))
	}()
	go func() { // likewise
		_, err := multiprolab.Call[whoami](ctx, l, "reborn/1", "alive", nil)
		outcomes <- err
	}()
	eventually(t, "all to wait", func() bool { return l.Pending("reborn/1") == 1+count+1+1 })
	require.NoError(t, l.Resize("reborn", 1))
	require.NoError(t, killProcess(v.pid))
	failed := waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.Worker == "reborn/1" })
	require.False(t, failed.Restart, "it is not replaced")
	for range 2 {
		require.Error(t, await(t, outcomes, "the end of what main waits for"))
	}
	await(t, done, "the messages of the other worker")
	require.NoError(t, l.Close())
	require.Empty(t, book())
	letters := itemLetters(t, l)
	left := 0
	for n := range count {
		require.Len(t, letters[n], 1, "item %d", n)
		if strings.Contains(letters[n][0], "worker reborn/1 has left") {
			left++
		}
	}
	require.Positive(t, left)
	require.Empty(t, letters[count], "its Send has failed")
}

// TestRestartAccountsForRefusals: a worker whose loop waits for another process, and whose inbox
// has overflowed, dies: in the middle of that wait, or later, between the messages that it had
// taken. Each message is accounted for once, though calls were cancelled out of the middle of the
// inbox.
func TestRestartAccountsForRefusals(t *testing.T) {
	const count = 700
	for _, c := range []struct {
		name  string
		goOn  bool // it ends its wait and handles some before it dies
		pause int  // the item after which it stops then
	}{{"while it waits", false, 200}, {"early", true, 0}, {"among what it took", true, 200}} {
		t.Run(c.name, func(t *testing.T) {
			l, book := rebornLab(t, 1)
			g := newGate(t)
			require.NoError(t, l.Start(t.Context()))
			defer l.Close()
			ctx := bounded(t)
			require.NoError(t, multiprolab.Send(ctx, l, "reborn/0", "ask", g.visit("asked")))
			asked := g.expect(t, "asked") // a handler of the guest, for which the loop of the worker waits
			ready := waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "reborn/0" })

			calls, cancel := context.WithCancel(ctx)
			outcomes := make(chan error, count)
			others := 0
			for n := range count {
				require.NoError(t, multiprolab.Send(ctx, l, "reborn/0", "item", itemBody(n)))
				switch {
				case n == c.pause:
					require.NoError(t, multiprolab.Send(ctx, l, "reborn/0", "held", g.visit("held")))
				case n%20 == 10:
					others++
					go func() { // ends with the call
						_, err := multiprolab.Call[whoami](calls, l, "reborn/0", "alive", nil)
						outcomes <- err
					}()
				}
			}
			backlog := func() (refused int) {
				for _, reasons := range itemLetters(t, l) {
					for _, r := range reasons {
						if strings.Contains(r, multiprolab.ErrBacklog.Error()) {
							refused++
						}
					}
				}
				return refused
			}
			eventually(
				t,
				"refusals",
				func() bool { return backlog() > 100 && slices.Contains(refusedItems(itemLetters(t, l)), count-1) },
			)
			cancel()
			for range others {
				err := await(t, outcomes, "the end of a call")
				require.True(
					t,
					err != nil && (errors.Is(err, context.Canceled) || errors.Is(err, multiprolab.ErrBacklog)),
					"%v",
					err,
				)
			}
			if c.goOn {
				asked.tell("go on")
				require.Equal(t, ready.PID, g.expect(t, "held").pid) // it hangs there
			}
			require.NoError(t, killProcess(ready.PID))
			failed := waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.Worker == "reborn/0" })
			if !c.goOn {
				asked.tell("go on")
			}
			w, err := multiprolab.Call[whoami](ctx, l, "reborn/0", "alive", nil)
			require.NoError(t, err)
			require.Equal(t, 2, w.Life)
			require.NoError(t, l.Close()) // nothing comes after that
			handled, letters := book(), itemLetters(t, l)
			require.Empty(t, handled[2], "all had been sent to the first life")
			if c.goOn {
				require.Len(t, handled[1], c.pause+1)
			} else {
				require.Empty(t, handled[1])
			}
			both, refused := 0, 0
			for n := range count {
				was := slices.Contains(handled[1], n)
				switch {
				case len(letters[n]) > 1, len(letters[n]) == 0 && !was:
					require.Fail(t, "an item is not accounted for once", "item %d, handled %v: %q", n, was, letters[n])
				case len(letters[n]) == 0:
				case strings.Contains(letters[n][0], multiprolab.ErrBacklog.Error()):
					refused++
					require.False(t, was, "item %d was refused and handled", n)
				case was:
					both++ // the worker had not said so yet
				default:
					require.Contains(t, letters[n][0], failed.Err.Error())
				}
			}
			require.Greater(t, refused, 100)
			t.Logf(
				"%d handled, %d of them reported as well, %d refused, %d died with the worker",
				len(handled[1]),
				both,
				refused,
				count-len(handled[1])+both-refused,
			)
		})
	}
}

func refusedItems(letters map[int][]string) (items []int) {
	for n, reasons := range letters {
		if slices.ContainsFunc(
			reasons,
			func(r string) bool { return strings.Contains(r, multiprolab.ErrBacklog.Error()) },
		) {
			items = append(items, n)
		}
	}
	return items
}

// TestKillAllTellsOfMainsMessages: what main has in its own inbox when all is killed becomes dead
// letters, and OnEvent is told of them before the end.
func TestKillAllTellsOfMainsMessages(t *testing.T) {
	const count = 10
	l, _ := rebornLab(t, 1)
	begun := make(chan struct{}, 1)
	multiprolab.Handle(l, "spread-done", func(ctx context.Context, _ struct{}) error {
		begun <- struct{}{}
		<-ctx.Done()
		return nil
	})
	multiprolab.Handle(l, "item", func(context.Context, []byte) error { return nil })
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	// sends none, and then the message whose handler does not return
	require.NoError(t, multiprolab.Send(bounded(t), l, "reborn/0", "spread", spread{}))
	await(t, begun, "main to be busy")
	require.NoError(t, multiprolab.Send(bounded(t), l, "reborn/0", "spread", spread{"main", 0, count}))
	eventually(t, "the messages to come", func() bool { return l.Receiver().Len() == count+1 })
	require.NoError(t, ignore[*multiprolab.ShutdownError](l.Stop(bounded(t), multiprolab.KillAll)))
	require.Len(t, eventsOf[*multiprolab.DeadLetter](l), count+1)
}
