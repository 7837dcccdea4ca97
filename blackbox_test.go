package multiprolab

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// What a link has posted and not written is in the box, wherever in the stream the pipe has come
// to; what has been written is not.
func TestBlackBoxHoldsWhatIsNotWritten(t *testing.T) {
	memory := make([]byte, boxSize)
	var pipe bytes.Buffer
	l := newLink(&codec.Codec{}, &bytes.Buffer{}, &pipe, 1<<20, nil)
	l.box = newBlackBox(memory)
	frame := func(id uint64) *wire.Frame { return &wire.Frame{Kind: wire.Start, ID: id} }
	read := func(stream []byte) (ids []uint64) {
		r := wire.NewReader(bytes.NewReader(stream), 1<<20)
		for f := new(wire.Frame); r.Next(f) == nil; {
			ids = append(ids, f.ID)
		}
		return ids
	}
	for id := range uint64(3) {
		require.NoError(t, l.post(frame(id)))
	}
	require.True(t, l.recorded())
	require.Equal(t, []uint64{0, 1, 2}, read(unwritten(bytes.NewReader(memory), 0)))
	require.Equal(t, []uint64{1, 2}, read(unwritten(bytes.NewReader(memory), wire.HeaderSize)))
	require.NoError(t, l.flush())
	written := int64(pipe.Len())
	require.Equal(t, []uint64{0, 1, 2}, read(pipe.Bytes()))
	require.Empty(t, unwritten(bytes.NewReader(memory), written))
	require.NoError(t, l.post(frame(3)))
	require.Equal(t, []uint64{3}, read(unwritten(bytes.NewReader(memory), written)))

	// What does not fit is not recorded, and the worker knows it; once all is written the record
	// begins anew.
	require.NoError(t, l.post(&wire.Frame{Kind: wire.Message, Type: "x", Body: make([]byte, boxSize)}))
	require.NoError(t, l.post(frame(4)))
	require.False(t, l.recorded())
	require.Equal(t, []uint64{3}, read(unwritten(bytes.NewReader(memory), written)))
	require.NoError(t, l.flush())
	require.True(t, l.recorded())
	require.NoError(t, l.post(frame(5)))
	require.Equal(t, []uint64{5}, read(unwritten(bytes.NewReader(memory), int64(pipe.Len()))))
}

// A dead worker's box may hold anything.
func TestBlackBoxIsNotTrusted(t *testing.T) {
	memory := make([]byte, boxSize)
	number := func(at int, v uint64) { binary.LittleEndian.PutUint64(memory[at:], v) }
	for _, start := range []uint64{0, 1, 100, math.MaxUint64, math.MaxInt64, 1 << 32} {
		for _, length := range []uint64{0, 1, 99, boxSize, boxSize - batchRoom - boxHeader, boxSize - batchRoom - boxHeader + 1, math.MaxUint64} {
			for _, from := range []int64{0, 1, 100, math.MaxInt64} {
				number(0, start)
				number(8, length)
				require.LessOrEqual(t, len(unwritten(bytes.NewReader(memory), from)), boxSize)
			}
		}
	}
	for _, n := range []uint64{0, 1, batchRoom, batchRoom + 1, math.MaxUint64} {
		number(16, 7)
		number(24, n)
		id, outcomes := runningIn(bytes.NewReader(memory))
		require.Equal(t, uint64(7), id)
		require.LessOrEqual(t, len(outcomes), batchRoom)
	}
	require.Nil(t, unwritten(bytes.NewReader(memory[:4]), 0))
	id, _ := runningIn(bytes.NewReader(memory[:18]))
	require.Zero(t, id)
}
