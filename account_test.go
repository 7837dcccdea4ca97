package multiprolab

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// TestCreditIsToldSoon: what is due to a worker that may be waiting for it is told after a moment,
// however little it is, and to one that does not wait, when it is a quarter of the window.
func TestCreditIsToldSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newTheatre(t, &Config{Window: 64 << 10}, map[string]WorkerConfig{"p": {}})
		w := th.enter("p/0", "t")
		c := w.peer.client
		kept := func() int64 {
			c.account.mu.Lock()
			defer c.account.mu.Unlock()
			return c.credit.Spent()
		}
		charge := func(size int64) {
			_, err := c.charge(&wire.Frame{Body: make([]byte, size-frameCost)})
			require.NoError(t, err)
		}
		charge(10_000)
		c.grant(1_000)
		synctest.Wait()
		time.Sleep(grantTime)
		synctest.Wait()
		require.EqualValues(t, 10_000, kept(), "it has most of its window left")
		charge(30_000) // it was due before, and is in a hurry now
		time.Sleep(grantTime - 1)
		synctest.Wait()
		require.EqualValues(t, 40_000, kept())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.EqualValues(t, 39_000, kept())
		c.grant(16 << 10)
		require.EqualValues(t, 39_000-16<<10, kept(), "a quarter of the window")
	})
}

// TestLiesLeaveNoDebt: what a life was ended for is not kept, and costs the next ones no room.
func TestLiesLeaveNoDebt(t *testing.T) {
	th := newTheatre(t, &Config{Window: 64 << 10}, map[string]WorkerConfig{"p": {}})
	room := int64(0)
	for range 40 {
		w := th.enter("p/0", "t")
		w.peer.client.account.mu.Lock()
		room = w.peer.client.account.window - w.peer.client.credit.Lack()
		w.peer.client.account.mu.Unlock()
		f := &wire.Frame{
			Kind:  wire.Call,
			ID:    1,
			To:    "p/0",
			Type:  "c",
			Flags: wire.FlagBroadcast,
			Body:  make([]byte, 32<<10),
		}
		if err := w.try(f); err == nil {
			t.Fatal("it is no lie")
		}
		w.die(w.death())
		w.peer.client.gone()
	}
	if room != 64<<10 {
		t.Fatalf("a later life has room for %d bytes, and nothing is kept", room)
	}
}
