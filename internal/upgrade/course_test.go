package upgrade

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// An upgrade that is prepared goes on, until somebody asks for the end of the program.
func TestCourse(t *testing.T) {
	c := NewCourse()
	require.NoError(t, c.Inherit("main")) // nothing was handed to this process
	require.Nil(t, c.Handed())
	require.Nil(t, c.Bridged())
	require.False(t, c.Trial())
	require.Equal(t, Path(), c.Path())
	c.Fail(errors.New("it is no trial"))

	require.True(t, c.Begin())
	require.False(t, c.Begin())
	require.False(t, c.GoesOn())
	c.EndTrial() // there is none
	given := 0
	c.Prepare(func() error { return errors.ErrUnsupported }, func() { given++ })
	require.True(t, c.GoesOn())
	require.Equal(t, errors.ErrUnsupported, c.Next()())
	select {
	case <-c.Abandoned():
		t.Fatal("nobody has abandoned it")
	default:
	}
	c.Abandon()
	c.Abandon()
	<-c.Abandoned()
	require.False(t, c.GoesOn())
	c.EndTrial()
	require.Equal(t, 1, given)
	c.End()
	require.True(t, c.Begin())
}

// What is handed over comes in the order of the numbers, whichever came first.
func TestHandedOver(t *testing.T) {
	c := NewCourse()
	require.Empty(t, c.HandedOver())
	for _, id := range []uint64{7, 3, 9} {
		c.HandOver(id, Task{Attempts: int(id)})
	}
	require.Equal(t, []Task{{Attempts: 3}, {Attempts: 7}, {Attempts: 9}}, c.HandedOver())
}

// A trial that is gone bridges nothing.
func TestBridgeThatIsGone(t *testing.T) {
	c := NewCourse()
	c.bridged = make(chan struct{})
	require.NotNil(t, c.Bridged())
	c.EndBridge(nil, nil, nil, nil, 0, nil)
	require.Nil(t, c.Bridged())
}
