package outbox

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// TestCreditIsToldSoon: what is due to a worker that may be waiting for it is told after a moment,
// however little it is, and to one that does not wait, when it is a quarter of the window.
func TestCreditIsToldSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		life := NewAccount(64 << 10).Purse()
		told := make(chan uint64, 2)
		room := life.Open(func(f *wire.Frame) {
			bytes, _ := f.Credit()
			told <- bytes
		})
		require.EqualValues(t, 64<<10, room)
		charge := func(size int64) {
			_, err := life.Charge(&wire.Frame{Body: make([]byte, size-wire.FrameCost)})
			require.NoError(t, err)
		}
		charge(10_000)
		life.Grant(1_000)
		synctest.Wait()
		time.Sleep(grantTime)
		synctest.Wait()
		require.Empty(t, told, "it has most of its window left")
		charge(30_000) // it was due before, and is in a hurry now
		time.Sleep(grantTime - 1)
		synctest.Wait()
		require.Empty(t, told)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.EqualValues(t, 1_000, <-told)
		life.Grant(16 << 10)
		require.EqualValues(t, 16<<10, <-told, "a quarter of the window")
		require.EqualValues(t, 39_000-16<<10, life.Kept())
	})
}
