package multiprolab

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// TestAccount: whatever the lives of a worker send, and in whatever order what they have sent is
// not kept any more, a life has never more than a window, main never keeps more than 16 and one
// message, and when nothing is kept the life that is there has its window.
func TestAccount(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) { playAccount(t, seed) }) // the timer runs when this says so
	}
}

func playAccount(t *testing.T, seed uint64) {
	const window, largest = 10_000, 30_000
	r := rand.New(rand.NewPCG(seed, 0))
	s := &slot{account: &account{window: window}}
	type sent struct {
		by   *client
		cost int64
	}
	var kept []sent
	var total int64
	give := func(i int) {
		kept[i].by.grant(kept[i].cost)
		total -= kept[i].cost
		kept[i] = kept[len(kept)-1]
		kept = kept[:len(kept)-1]
	}
	var now *client
	begin := func() {
		now = newClient(s, nil)
		require.LessOrEqual(t, s.account.open(now), int64(window))
		_, err := newClient(s, nil).charge(&wire.Frame{})
		require.ErrorIs(t, err, link.ErrClosed, "of a life that is not the present one")
	}
	begin()
	most := int64(0)
	for range 10_000 {
		switch n := r.IntN(100); {
		case n == 0:
			begin()
		case n < 60 || len(kept) == 0:
			f := &wire.Frame{Body: make([]byte, r.IntN(1000))}
			if n == 1 {
				f.Body = make([]byte, r.IntN(largest))
			}
			if window-now.spent < min(cost(f), window/2) { // an honest worker waits
				_, err := now.charge(f)
				require.ErrorContains(t, err, "with a window of 10000")
				break
			}
			n, err := now.charge(f)
			require.NoError(t, err)
			kept = append(kept, sent{now, n})
			total += n
		case seed%2 == 0 || n > 95: // with an odd seed, little is taken
			give(r.IntN(len(kept)))
		}
		require.GreaterOrEqual(t, now.lack, int64(0))
		require.True(t, s.account.late || now.owed == 0 || now.spent <= window/2, "who may be waiting is told soon")
		require.Equal(t, total, s.account.debt+now.spent-now.owed-now.lack)
		require.LessOrEqual(t, total, int64(keptWindows*window+largest+frameCost))
		most = max(most, total)
	}
	if seed%2 == 1 {
		require.Greater(t, most, int64((keptWindows-1)*window), "it has come near the bound")
	}
	for len(kept) > 0 {
		give(0)
	}
	require.Zero(t, now.lack)
	time.Sleep(grantTime)
	synctest.Wait()
	now.pay() // what was less than a quarter, with more than half a window left
	require.Zero(t, now.spent)
}

// TestLiesLeaveNoDebt: what a life was ended for is not kept, and costs the next ones no room.
func TestLiesLeaveNoDebt(t *testing.T) {
	th := newTheatre(t, &Config{Window: 64 << 10}, map[string]WorkerConfig{"p": {}})
	room := int64(0)
	for range 40 {
		w := th.enter("p/0", "t")
		w.slot.account.mu.Lock()
		room = w.slot.account.window - w.peer.client.lack
		w.slot.account.mu.Unlock()
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
