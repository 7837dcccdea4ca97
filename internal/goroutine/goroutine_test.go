package goroutine_test

import (
	"os"
	"runtime"
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

// atInit and beforeTests are what the initialisers of this package were told.
var atInit, beforeTests = goroutine.Initialises(), goroutine.BeforeTests()

// The initialisers and TestMain come before the tests, and on no other goroutine.
func TestInitialises(t *testing.T) {
	require.True(t, atInit)
	require.True(t, beforeTests)
	require.False(t, atMain)
	require.True(t, beforeTestsAtMain)
	require.False(t, goroutine.Initialises())
	require.False(t, goroutine.BeforeTests())
}

// atMain and beforeTestsAtMain are what TestMain was told.
var atMain, beforeTestsAtMain bool

func TestMain(m *testing.M) {
	atMain, beforeTestsAtMain = goroutine.Initialises(), goroutine.BeforeTests()
	os.Exit(m.Run())
}

// Of two callers the one that was called last is named, through any number of others.
func TestCaller(t *testing.T) {
	const here, deeper = "github.com/multiprolab/multiprolab/internal/goroutine_test.TestCaller",
		"github.com/multiprolab/multiprolab/internal/goroutine_test.deep"
	require.Equal(t, here, goroutine.Caller(here, deeper))
	require.Equal(t, deeper, deep(200, func() string { return goroutine.Caller(here, deeper) }))
	require.Equal(t, here, deep(200, func() string { return goroutine.Caller(here) }))
	require.Empty(t, goroutine.Caller("nobody"))
}

func deep(n int, f func() string) string {
	if n == 0 {
		return f()
	}
	return deep(n-1, f)
}

// What follows a part is called once, whether the part returns or ends the goroutine; if it panics,
// nothing follows.
func TestFinally(t *testing.T) {
	for how, c := range map[string]struct {
		part func()
		want []bool
	}{
		"returns": {func() {}, []bool{false}},
		"exits":   {runtime.Goexit, []bool{true}},
		"panics":  {func() { panic("it panics") }, nil},
	} {
		var got []bool
		done := make(chan struct{})
		go func() { // ends with the part
			defer close(done)
			defer func() { _ = recover() }()
			goroutine.Finally(c.part, func(goexit bool) { got = append(got, goexit) })
		}()
		<-done
		require.Equal(t, c.want, got, how)
	}
}
