package multiprolab_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// parcels asks a worker to send messages with bodies of so many bytes.
type parcels struct {
	To    string
	Count int
	Size  int
	Wait  time.Duration // for room for each; the first that has none ends it
}

var _ = worker("sender", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "send-parcels", func(ctx context.Context, p parcels) (int, error) {
		for i := range p.Count {
			short, cancel := context.WithTimeout(ctx, p.Wait)
			err := multiprolab.Send(short, w, p.To, "parcel", make([]byte, p.Size))
			cancel()
			if err != nil {
				return i, nil
			}
		}
		return p.Count, nil
	})
	multiprolab.HandleTask(w, "call-from", func(ctx context.Context, v visit) (int, error) {
		return multiprolab.Call[int](ctx, w, v.Label, "wait-call", v)
	})
	return nil
})

var _ = worker("taker", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(w, "hold", func(_ context.Context, v visit) error { _, err := v.wait(); return err })
	multiprolab.Handle(w, "parcel", func(ctx context.Context, b []byte) error {
		return multiprolab.Send(ctx, w, "main", "taken", len(b))
	})
	multiprolab.HandleCall(w, "wait-call", waitCall)
	multiprolab.HandleCall(w, "taker-pid", func(context.Context, struct{}) (int, error) { return os.Getpid(), nil })
	return nil
})

// waitCall visits the gate, and again when its context has ended.
func waitCall(ctx context.Context, v visit) (int, error) {
	v.Label = "called"
	_, err := v.waitSoft(ctx)
	if errors.Is(err, context.Canceled) {
		v.Label = "cancelled"
		_, err = v.wait()
	}
	return 0, err
}

// TestCreditReachesWhoWaits: what a worker has left with one that is stuck takes its room and no
// more: it can send to others whatever fits beside that.
func TestCreditReachesWhoWaits(t *testing.T) {
	const window = 100_000
	l := newLab(t, &multiprolab.Config{Window: window}, workers("sender", 1), workers("taker", 1))
	multiprolab.Handle(l, "parcel", func(_ context.Context, b []byte) error { return nil })
	multiprolab.Handle(l, "taken", func(_ context.Context, n int) error { return nil })
	g := newGate(t)
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	send := func(to string, count, size, want int) {
		n, err := multiprolab.Do[int](bounded(t), l, "send-parcels", parcels{to, count, size, patience / 2})
		require.NoError(t, err)
		require.Equal(t, want, n, "to %s, %d of %d bytes", to, count, size)
	}
	require.NoError(t, multiprolab.Send(bounded(t), l, "taker/0", "hold", g.visit("stuck")))
	v := g.expect(t, "stuck")
	n, err := multiprolab.Do[int](bounded(t), l, "send-parcels", parcels{"taker/0", 1000, 9500, 100 * time.Millisecond})
	require.NoError(t, err)
	require.Less(t, n, 1000, "there is an end")
	// The receiver's window and the sender's are full: make room for six of ten, then send what
	// fits.
	v.tell("go on")
	send("taker/0", 10, 9500, 10)
	require.NoError(t, multiprolab.Send(bounded(t), l, "taker/0", "hold", g.visit("stuck again")))
	v = g.expect(t, "stuck again")
	require.NoError(t, multiprolab.Send(bounded(t), l, "taker/0", "parcel", make([]byte, 99_000)))
	send("taker/0", 4, 9500, 4) // 40 % of the window are with the stuck one
	send("main", 1, 55_000, 1)  // this fits beside it, and is given back at once
	send("main", 15, 1000, 15)  // these are less than a quarter of the window
	send("main", 1, 55_000, 1)  // and this fits again
	v.tell("go on")
	send("main", 1, 99_000, 1)
}

// TestCallsOfTheDead: a call whose caller has died is over: the handler's context ends, in main and
// in a worker.
func TestCallsOfTheDead(t *testing.T) {
	for _, to := range []string{"main", "taker/0"} {
		t.Run(to, func(t *testing.T) {
			l := newLab(t, nil, quickly("sender", 1), workers("taker", 1))
			multiprolab.HandleCall(l, "wait-call", waitCall)
			require.NoError(t, l.Start(t.Context()))
			t.Cleanup(func() { require.NoError(t, l.Close()) })
			g := newGate(t) // it ends before l, and with it what a handler of main waits for
			_, err := multiprolab.Submit[int](bounded(t), l, "call-from", g.visit(to), nil)
			require.NoError(t, err)
			g.expect(t, "called")
			require.NoError(t, killProcess(l.pidOf(t, "sender/0")))
			g.expect(t, "cancelled").tell("go on")
		})
	}
}

// TestWaitingCallsOfTheDead: a call whose caller has died before its turn came is not handled.
func TestWaitingCallsOfTheDead(t *testing.T) {
	l := newLab(t, nil, quickly("sender", 1))
	multiprolab.HandleCall(l, "wait-call", waitCall)
	multiprolab.Handle(l, "hold", func(_ context.Context, v visit) error { _, err := v.wait(); return err })
	require.NoError(t, l.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	g := newGate(t)
	require.NoError(t, multiprolab.Send(bounded(t), l, "main", "hold", g.visit("held")))
	held := g.expect(t, "held")
	_, err := multiprolab.Submit[int](bounded(t), l, "call-from", g.visit("main"), nil)
	require.NoError(t, err)
	eventually(t, "the call to come", func() bool { return l.Receiver().Len() == 1 })
	require.NoError(t, killProcess(l.pidOf(t, "sender/0")))
	eventually(t, "it to be taken back", func() bool { return l.Receiver().Len() == 0 })
	held.tell("go on")
	waitEvent[*multiprolab.WorkerFailed](t, l, nil)
	g.quiet(t)
}
