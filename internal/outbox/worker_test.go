package outbox

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// credits returns what the frames of credit that have come say.
func (r *receiver) credits() (all []string) {
	require.NoError(r.t, r.link.Flush())
	for reader := wire.NewReader(r.pipe, 1<<20); ; {
		var f wire.Frame
		if reader.Next(&f) != nil {
			return all
		}
		if f.Flags&wire.FlagSoft != 0 {
			all = append(all, fmt.Sprint("alone ", f.Serial()))
			continue
		}
		bytes, upTo := f.Credit()
		all = append(all, fmt.Sprint(bytes, " up to ", upTo))
	}
}

// TestReceiptsGather: main is told what has gathered when that is a quarter of the window, or when
// the worker is idle; at once of what has left the inbox before its turn; and at once of everything
// if that is wanted.
func TestReceiptsGather(t *testing.T) {
	main := newReceiver(t)
	var r Receipts
	r.Open(main.link, testWindow, false)
	r.Give(1, 100, true, false)
	r.Give(1, 100, false, false)
	require.Empty(t, main.credits())
	r.Flush()
	r.Flush()
	require.Equal(t, []string{"200 up to 1"}, main.credits())
	r.Give(2, testWindow/4, true, false)
	require.Equal(t, []string{"1000 up to 2"}, main.credits())
	r.Give(4, 10, true, false)
	r.Give(5, 10, true, true)
	require.Equal(t, []string{"alone 4"}, main.credits(), "of the other one it was told")
	r.Give(3, 10, true, false)
	r.Flush()
	require.Equal(t, []string{"30 up to 5"}, main.credits())
	r.Open(main.link, testWindow, true)
	r.Give(1, 1, false, false)
	require.Empty(t, main.credits())
	r.Give(6, 1, true, false)
	require.Equal(t, []string{"2 up to 6"}, main.credits())
}

// TestMainIsAskedAgain: main is asked whether a wait for room may go on when it begins, and again
// and again until it ends. What main refuses ends that wait alone, and one refusal is enough.
func TestMainIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Starving
		var asked [2]atomic.Int32
		first, over := s.Begin(1, func() { asked[0].Add(1) })
		second, overToo := s.Begin(2, func() { asked[1].Add(1) })
		time.Sleep(2*starveTime + starveTime/2)
		synctest.Wait()
		require.Equal(t, []int32{3, 3}, []int32{asked[0].Load(), asked[1].Load()})
		over()
		for range 2 {
			s.Refuse(1, errors.New("too late"))
			s.Refuse(2, errors.New("refused"))
		}
		require.EqualError(t, <-second, "refused")
		require.Empty(t, second)
		require.Empty(t, first)
		time.Sleep(starveTime)
		synctest.Wait()
		require.Equal(t, []int32{3, 4}, []int32{asked[0].Load(), asked[1].Load()})
		overToo()
	})
}
