package lockorder

import (
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestOrder: with the race detector, a lock that is taken out of order panics; in every program,
// locks in their order, and one of an earlier rank that is only tried for, do not.
func TestOrder(t *testing.T) {
	var (
		turn, other Mutex[Turn]
		tasks       Mutex[Tasks]
		chunks      Mutex[Chunks]
	)
	for range 2 {
		turn.Lock()
		tasks.Lock()
		chunks.Lock()
		tasks.Unlock()
		require.True(t, tasks.TryLock(), "in any order")
		require.False(t, tasks.TryLock())
		chunks.Unlock()
		tasks.Unlock()
		turn.Unlock()
	}
	turn.Lock()
	done := make(chan struct{})
	go func() { // what one goroutine holds is nothing to another
		defer close(done)
		other.Lock()
		defer other.Unlock()
	}()
	<-done
	turn.Unlock()
	if unsafe.Sizeof(tasks) == unsafe.Sizeof(sync.Mutex{}) {
		return // not built with the race detector
	}
	tasks.Lock()
	require.PanicsWithValue(
		t,
		"a lock of rank lockorder.Turn is taken while one of rank lockorder.Tasks is held: see package lockorder",
		turn.Lock,
	)
	tasks.Unlock()
	turn.Lock()
	require.Panics(t, other.Lock, "two of the same rank")
	turn.Unlock()
	require.Empty(t, heldNow())
}
