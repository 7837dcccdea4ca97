package goroutine_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// A goroutine has its name from Enter until it leaves, and no other has it.
func TestNames(t *testing.T) {
	var names goroutine.Names
	require.Empty(t, names.Own())
	leave := names.Enter("this")
	require.Equal(t, "this", names.Own())
	other := make(chan string)
	go func() { other <- names.Own() }() // ends with the send
	require.Empty(t, <-other)
	leave()
	require.Empty(t, names.Own())
}

// What is waited for, the end of a context and the end of the time each end a wait, and a negative
// time never ends.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, never := time.Now(), make(chan struct{})
		goroutine.Await(t.Context(), never, time.Second)
		require.Equal(t, time.Second, time.Since(began))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		goroutine.Await(ctx, never, -1)
		require.Equal(t, time.Minute+time.Second, time.Since(began))
		wake := make(chan struct{}, 1)
		goroutine.Wake(wake)
		goroutine.Await(t.Context(), wake, -1)
		require.Empty(t, wake)
	})
}
