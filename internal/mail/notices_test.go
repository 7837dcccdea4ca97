package mail

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The newest of too many notices are kept, and of too large ones the newest one.
func TestNotices(t *testing.T) {
	var n Notices[int]
	_, ok := n.Next()
	require.False(t, ok)
	for i := range MaxNotices + 3 {
		n.Add(i, 1)
	}
	require.Equal(t, MaxNotices, n.Len())
	require.Equal(t, 3, n.Missed())
	require.Zero(t, n.Missed())
	first, ok := n.Next()
	require.True(t, ok)
	require.Equal(t, 3, first)
	n.Add(-1, MaxNoticeBytes-2)
	require.Equal(t, 3, n.Len(), "two of a byte fit beside it")
	n.Add(-2, MaxNoticeBytes+1)
	require.Equal(t, 1, n.Len())
	require.Equal(t, MaxNotices, n.Missed())
	last, _ := n.Next()
	require.Equal(t, -2, last)
	require.Zero(t, n.bytes)
}
