package multiprolab

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/shared"
)

// An answer of main that comes when there is a newer version already is mapped for those who wait
// for it, however quickly versions follow each other, and for nobody else.
func TestSharedAnswerThatIsOld(t *testing.T) {
	for name, c := range map[string]struct {
		leaves int // how many of two calls do not wait for the answer
		newer  bool
		after  bool // the news come after the answer
	}{
		"both wait":              {0, true, false},
		"one is cancelled":       {1, true, false},
		"both are cancelled":     {2, true, false},
		"the news come after":    {0, true, true},
		"cancelled, then news":   {2, true, true},
		"there is none":          {0, false, false},
		"cancelled, and no news": {2, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			lane, outlet := shared.NewLocalLane()
			defer lane.Close()
			w := &Worker{}
			w.role.outlet = outlet
			w.shares.cache.Unmap = shared.Unmap
			defer w.shares.cache.Close()
			s, err := shared.New(bytes.NewReader([]byte("data")))
			require.NoError(t, err)
			defer s.Close()
			a := &asking{name: "n", done: make(chan struct{}), waiters: 2 - c.leaves}
			w.shares.asked = a
			news := func() {
				if c.newer {
					require.NoError(t, w.takeShared(shareFrame("n", 0, &shareNews{Version: 2})))
				}
			}
			if !c.after {
				news()
			}
			handle, err := lane.Pass(s)
			require.NoError(t, err)
			answer := &shareNews{Version: 1, Size: s.Size(), Handle: handle}
			require.NoError(t, w.takeShared(shareFrame("n", 1, answer)))
			if c.after {
				news()
			}
			<-a.done
			for range a.waiters {
				v := w.shares.cache.Use("n", a.version)
				if v == nil {
					v = w.shares.hold(a)
				}
				require.EqualValues(t, 1, v.Number)
				w.shares.leave(a)
				require.Equal(t, "data", string(v.Memory))
				w.shares.cache.Release(v)
			}
			if c.newer {
				require.Zero(t, w.shares.cache.Size(), "nobody uses what is mapped")
			} else {
				require.EqualValues(t, 4, w.shares.cache.Size(), "the newest version stays mapped")
			}
		})
	}
}

// Calls whose contexts have ended leave nothing mapped behind.
func TestSharedAskedInVain(t *testing.T) {
	l, w := &asking{name: "other", done: make(chan struct{})}, &Worker{}
	w.workerContexts.whole = context.Background()
	w.shares.asked = l
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := w.awaitAnswer(ctx, "n")
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, l.waiters)
}
