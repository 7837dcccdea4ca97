package watchers_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/watchers"
)

// newWatchers returns watchers of texts, of which "missed 3" stands for three dropped ones.
func newWatchers() *watchers.Watchers[string] {
	return watchers.New(func(n int) string { return "missed " + strconv.Itoa(n) })
}

// told returns everything that a follower is told up to the end.
func told(events <-chan string) (all []string) {
	for e := range events {
		all = append(all, e)
	}
	return all
}

func TestFollowersAreToldWhatConcernsThem(t *testing.T) {
	w, ended := newWatchers(), make(chan struct{})
	w.Tell("a/0 up", watchers.State{Name: "a/0"})
	w.Tell("a/0 down", watchers.State{Name: "a/0"})
	w.Tell("s up", watchers.State{Name: "s"})
	one := w.FollowState(t.Context(), ended, "a/0")
	pool := w.FollowState(t.Context(), ended, "a")
	spare := w.FollowState(t.Context(), ended, "s")
	w.Tell("a letter", watchers.State{})
	w.Tell("s is a/1", watchers.State{Name: "a/1", Was: "s"})
	w.Tell("ab up", watchers.State{Name: "ab"})
	all := w.FollowState(t.Context(), ended, "")
	every := w.Follow(t.Context(), ended)
	close(ended)
	require.Equal(t, []string{"a/0 down"}, told(one))
	require.Equal(t, []string{"a/0 down", "s is a/1"}, told(pool))
	require.Equal(t, []string{"s up", "s is a/1"}, told(spare))
	require.Equal(t, []string{"a/0 down", "s is a/1", "ab up"}, told(all))
	require.Equal(t, []string{"a/0 up", "a/0 down", "s up", "a letter", "s is a/1", "ab up"}, told(every))
}

func TestSlowFollowerIsToldWhatItHasMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ended := newWatchers(), make(chan struct{})
		events := w.Follow(t.Context(), ended)
		w.Tell("0", watchers.State{})
		synctest.Wait() // the first event has left the queue: it is about to be told
		for i := range watchers.MaxUntold + 7 {
			w.Tell(strconv.Itoa(i+1), watchers.State{})
		}
		late := w.Follow(t.Context(), ended)
		close(ended)
		got := told(events)
		require.Equal(t, []string{"0", "missed 7", "8", "9"}, got[:4])
		require.Len(t, got, 2+watchers.MaxUntold)
		recent := told(late)
		require.Len(t, recent, watchers.Recent)
		require.True(t, slices.Equal(recent, got[len(got)-watchers.Recent:]))
	})
}

func TestFollowEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchers()
		ctx, cancel := context.WithCancel(t.Context())
		idle, holding := w.FollowState(ctx, nil, ""), w.Follow(ctx, nil)
		w.Tell("of nobody", watchers.State{})
		synctest.Wait()
		cancel()
		synctest.Wait()
		require.Empty(t, told(idle))
		require.Empty(t, told(holding))
	})
}
