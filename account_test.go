package multiprolab

import (
	"testing"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// TestLiesLeaveNoDebt: what a life was ended for is not kept, and costs the next ones no room.
func TestLiesLeaveNoDebt(t *testing.T) {
	th := newTheatre(t, &Config{Window: 64 << 10}, map[string]WorkerConfig{"p": {}})
	room := int64(0)
	for range 40 {
		w := th.enter("p/0", "t")
		room = w.room
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
