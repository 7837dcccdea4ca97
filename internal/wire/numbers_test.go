package wire_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// received returns a frame as it comes out at the other end of a wire.
func received(t *testing.T, f *wire.Frame) *wire.Frame {
	t.Helper()
	got := new(wire.Frame)
	require.NoError(t, wire.NewReader(bytes.NewReader(wire.Append(nil, f)), 0).Next(got))
	return got
}

// The numbers of a frame come out as they went in, under the same names, and none of them is taken
// for an id.
func TestNumbersOfFrames(t *testing.T) {
	f := received(t, wire.NewExit(3, []byte("why")))
	require.Equal(t, uint64(3), f.ExitMode())
	require.Equal(t, "why", string(f.Body))
	require.Zero(t, f.ID)

	f = received(t, wire.NewCredit(1<<40, 7))
	size, messages := f.Credit()
	require.Equal(t, [2]uint64{1 << 40, 7}, [2]uint64{size, messages})
	require.Zero(t, f.ID|f.Defs)

	f = received(t, wire.NewUndelivered(9, "nobody"))
	require.Equal(t, uint64(9), f.Serial())
	require.Equal(t, "nobody", f.Meta)
	require.Zero(t, f.ID|f.Defs)

	f = received(t, wire.NewFailed(1<<64-1, []byte("error")))
	require.Equal(t, uint64(1<<64-1), f.Serial())
	require.Equal(t, "error", string(f.Body))
	require.Zero(t, f.ID|f.Defs)

	f = received(t, wire.NewSplit(5, 6))
	require.Equal(t, [2]uint64{5, 6}, [2]uint64{f.ID, f.SplitFrom()})
	require.Zero(t, f.Defs)

	f = received(t, wire.NewAwait(5, 6))
	require.Equal(t, [2]uint64{5, 6}, [2]uint64{f.ID, f.Spell()})
	require.Zero(t, f.Flags)

	f = received(t, wire.NewRefusal(5, 6, []byte("circle")))
	require.Equal(t, [2]uint64{5, 6}, [2]uint64{f.ID, f.Spell()})
	require.Equal(t, wire.FlagError, f.Flags)
	require.Equal(t, "circle", string(f.Body))

	f = received(t, wire.NewBeat(8, "task", time.Second))
	number, since := f.Beat()
	require.Equal(t, uint64(8), number)
	require.Equal(t, time.Second, since)
	require.Equal(t, "task", f.Meta)
	require.Zero(t, f.ID|f.Defs)

	f = received(t, wire.NewLog(8, "task", 9, []byte("record")))
	require.Equal(t, [2]uint64{8, 9}, [2]uint64{f.ID, f.LostBefore()})
	require.Equal(t, "task record", f.Type+" "+string(f.Body))
	require.Zero(t, f.Defs)

	f = received(t, wire.NewLogRoom(8, -4))
	room, level := f.LogRoom()
	require.Equal(t, []any{uint64(8), -4}, []any{room, level})
	require.Zero(t, f.ID|f.Defs)

	f = received(t, wire.NewOverdue("task", time.Hour))
	require.Equal(t, time.Hour, f.Overdue())
	require.Equal(t, "task", f.Meta)
	require.Zero(t, f.ID)
}

// A task says whether it was asked for, and by which Fetch. What a liar writes there is an error.
func TestFetchOfATask(t *testing.T) {
	f := &wire.Frame{Kind: wire.Task, ID: 1}
	_, asked, err := received(t, f).FetchID()
	require.False(t, asked)
	require.NoError(t, err)
	f.ForFetch(1<<64 - 1)
	id, asked, err := received(t, f).FetchID()
	require.True(t, asked)
	require.NoError(t, err)
	require.Equal(t, uint64(1<<64-1), id)
	for _, lie := range []string{"x", "-1", "18446744073709551616", " 1"} {
		_, _, err = received(t, &wire.Frame{Kind: wire.Task, To: lie}).FetchID()
		require.EqualError(t, err, "a task answers fetch "+lie)
	}
}
