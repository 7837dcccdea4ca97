package shared

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// An answer that comes when there is a newer version already is mapped for those who wait for it,
// however quickly versions follow each other, and for nobody else.
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
			lane, outlet := NewLocalLane()
			defer lane.Close()
			w := NewSubscriber(outlet, func(string) {})
			defer w.Close()
			s, err := New(bytes.NewReader([]byte("data")))
			require.NoError(t, err)
			defer s.Close()
			var q *question
			for range 2 {
				q = w.ask("n")
			}
			for range c.leaves {
				w.leave(q)
			}
			news := func() {
				if c.newer {
					w.Told("n", 2)
				}
			}
			if !c.after {
				news()
			}
			handle, err := lane.Pass(s)
			require.NoError(t, err)
			require.True(t, w.Take("n", &News{Version: 1, Size: s.Size(), Handle: handle}, nil))
			if c.after {
				news()
			}
			<-q.done
			for range q.waiters {
				v, err := w.look(q, "n")
				require.NoError(t, err)
				require.EqualValues(t, 1, v.Number)
				w.leave(q)
				require.Equal(t, "data", string(v.Memory))
				w.Release(v)
			}
			if c.newer {
				require.Zero(t, w.Size(), "nobody uses what is mapped")
			} else {
				require.EqualValues(t, 4, w.Size(), "the newest version stays mapped")
			}
		})
	}
}

// Calls whose contexts have ended leave nothing mapped behind.
func TestSharedAskedInVain(t *testing.T) {
	w := NewSubscriber(nil, func(string) {})
	q := w.ask("other")
	w.leave(q)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	v, err := w.Await(ctx, "n", nil)
	require.NoError(t, err)
	require.Nil(t, v)
	require.Zero(t, q.waiters)
}

// An answer for which nobody has asked is none.
func TestSharedAnswerToNothing(t *testing.T) {
	w := NewSubscriber(nil, func(string) {})
	require.False(t, w.Take("n", &News{}, nil))
	w.ask("n")
	require.False(t, w.Take("other", &News{}, nil))
	require.False(t, w.Take("n", &News{}, nil), "there is no lane")
	require.True(t, w.Take("n", &News{}, ErrNotPublished))
	require.False(t, w.Take("n", &News{}, ErrNotPublished), "it has its answer")
}
