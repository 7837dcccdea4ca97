package multiprolab

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// Letters are known by sender, type and size until they are taken; what they have in common is kept
// once, and not for longer than they are there.
func TestLetters(t *testing.T) {
	var l letters
	frame := func(n int) *wire.Frame {
		return &wire.Frame{From: fmt.Sprint("sender/", n%3), Type: fmt.Sprint("type", n%1000), Body: make([]byte, n%77)}
	}
	const count, most = 5000, 20
	for n := range count {
		l.add(frame(n))
		if l.len() > most {
			l.take(1)
		}
		require.LessOrEqual(t, len(l.addresses), 64+2*(most+1)+1)
		require.Len(t, l.places, len(l.addresses))
	}
	require.Equal(t, most, l.len())
	require.EqualValues(t, count-most, l.taken)
	l.reported(count - most)     // has been taken
	l.reported(count - most + 1) // the first
	l.reported(count)            // the last
	l.reported(count + 1)        // is not there
	lost := l.lost()
	require.Len(t, lost, most-2)
	for i, got := range lost {
		f := frame(count - most + 1 + i)
		require.Equal(t, letter{address{f.From, f.Type}, len(f.Body)}, got)
	}
	require.Zero(t, l.len())
	require.Empty(t, l.lost())
}
