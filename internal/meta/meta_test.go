package meta

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/queue"
)

// TestOptionsCross: the options of a task keep every field, and never get longer when they are
// passed on.
func TestOptionsCross(t *testing.T) {
	m := Task{
		Timeout:  1,
		Grace:    2,
		Attempts: 3,
		Retry:    Retry{On: queue.Errors, First: 4, Factor: 1.5, Max: 5},
		Queue:    "q",
		Priority: -1,
		Delay:    6,
		Key:      "<k>",
		Attempt:  7,
		Chain:    "main,w/0",
		Waits:    true,
		Header:   "h",
	}
	got, err := Unmarshal(m.Marshal())
	require.NoError(t, err)
	require.Equal(t, m, got)
	require.Empty(t, Task{}.Marshal())
	for _, bad := range []string{"{}", "\x02", m.Marshal()[:20], m.Marshal() + "x"} {
		_, err := Unmarshal(bad)
		require.Error(t, err)
	}
	require.NoError(t, CheckChain(strings.Repeat("w/1,", maxChainNames-1)+"w"))
	for _, bad := range []string{strings.Repeat("w,", maxChainNames), strings.Repeat("w", maxChain+1), "<", "a b", "a\x00"} {
		require.Error(t, CheckChain(bad))
	}
}

// A task that another run has kept waits in the same lane there, and has the same options for the
// rules: what is left out is the default.
func TestKeptTask(t *testing.T) {
	all := queue.Options{Timeout: 1, Grace: 2, Delay: 3, Attempts: 4, Key: "k", Sticky: true,
		On: queue.Deaths, First: 5, Factor: 1.5, Max: 6}
	for _, o := range []*queue.Options{nil, &all} {
		for _, p := range []queue.Priority{queue.Low, queue.Normal, queue.High} {
			for _, name := range []string{DefaultQueue, "q"} {
				at := queue.Lane{Queue: name, Type: "t", Priority: p}
				got, err := Unmarshal(Kept(at, o, "h").Marshal())
				require.NoError(t, err)
				require.Equal(t, at, got.Lane("t"))
				require.Equal(t, o, new(Recent).Of(&got))
				require.Equal(t, "h", got.Header)
			}
		}
	}
	require.Equal(t, queue.Lane{Queue: DefaultQueue, Type: "t"}, (&Task{Priority: 1}).Lane("t"), "a normal one says so")
	require.Empty(t, Kept((&Task{}).Lane("t"), nil, "").Marshal())
}

// Consecutive tasks with the same options share them, and take no memory for that.
func TestRecentOptionsAreShared(t *testing.T) {
	var r Recent
	first, second := Task{Attempts: 2, Chain: "main"}, Task{Attempts: 2}
	o := r.Of(&first)
	require.NotNil(t, o)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if r.Of(&second) != o || r.Of(&Task{}) != nil {
			panic("they are not shared")
		}
	}))
	require.NotSame(t, o, r.Of(&Task{Attempts: 3}))
}

// The number of an attempt comes out as it went in; the first one takes no room, and whatever else
// comes is taken for it.
func TestAttemptsCross(t *testing.T) {
	require.Empty(t, MarshalAttempt(1))
	for n, s := range map[int32]string{1: "", 2: "2", 300: "300"} {
		require.Equal(t, s, MarshalAttempt(int(n)))
		require.Equal(t, n, UnmarshalAttempt(s))
	}
	for _, bad := range []string{"x", "2 ", "99999999999"} {
		require.EqualValues(t, 1, UnmarshalAttempt(bad))
	}
}
