package goroutine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// What is closed is seen at once, and what is not closed is waited for as long as was asked.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := make(chan struct{})
		began := time.Now()
		require.False(t, goroutine.Closed(c))
		require.False(t, goroutine.Within(c, time.Second))
		require.Equal(t, time.Second, time.Since(began))
		time.AfterFunc(time.Second, func() { close(c) })
		require.True(t, goroutine.Within(c, time.Hour))
		require.Equal(t, 2*time.Second, time.Since(began))
		require.True(t, goroutine.Closed(c))
		require.True(t, goroutine.Within(c, 0))
	})
}

// A channel of capacity 1 holds one wake-up, however many there were.
func TestWake(t *testing.T) {
	c := make(chan struct{}, 1)
	goroutine.Wake(c)
	goroutine.Wake(c)
	<-c
	require.Empty(t, c)
}

// A goroutine keeps its number, and no other has it.
func TestID(t *testing.T) {
	other := make(chan uint64)
	go func() { other <- goroutine.ID() }() // ends with the send
	require.NotEqual(t, goroutine.ID(), <-other)
	require.Equal(t, goroutine.ID(), goroutine.ID())
	require.NotZero(t, goroutine.ID())
}
