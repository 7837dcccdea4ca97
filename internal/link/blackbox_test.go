package link

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// boxSize is the size in bytes of the boxes of these tests.
const boxSize = 256 << 10

// boxOf returns a box as the other end reads it when this one is gone.
func boxOf(memory []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(memory), 0, boxSize)
}

// restOf returns what is left in a box of the stream from a place on.
func restOf(t *testing.T, memory []byte, from int64) []byte {
	rest, err := io.ReadAll(unwritten(boxOf(memory), from))
	require.NoError(t, err)
	return rest
}

// idsIn returns the ids of the frames in a stream.
func idsIn(stream []byte) (ids []uint64) {
	r := wire.NewReader(bytes.NewReader(stream), 1<<20)
	for f := new(wire.Frame); r.Next(f) == nil; {
		ids = append(ids, f.ID)
	}
	return ids
}

// What a link has posted and not written is in the box, wherever in the stream the pipe has come
// to; what has been written is not.
func TestBlackBoxHoldsWhatIsNotWritten(t *testing.T) {
	memory := make([]byte, boxSize)
	var pipe bytes.Buffer
	l := New(&codec.Codec{}, &bytes.Buffer{}, &pipe, Options{})
	l.SetBox(memory)
	post := func(id uint64) { require.NoError(t, l.Post(Soon, &wire.Frame{Kind: wire.Start, ID: id})) }
	for id := range uint64(3) {
		post(id)
	}
	require.True(t, l.Recorded())
	require.Equal(t, []uint64{0, 1, 2}, idsIn(restOf(t, memory, 0)))
	require.Equal(t, []uint64{1, 2}, idsIn(restOf(t, memory, wire.HeaderSize)))
	require.NoError(t, l.Flush())
	written := int64(pipe.Len())
	require.Equal(t, []uint64{0, 1, 2}, idsIn(pipe.Bytes()))
	require.Empty(t, restOf(t, memory, written))
	post(3)
	require.Equal(t, []uint64{3}, idsIn(restOf(t, memory, written)))

	// What does not fit is not recorded, and the worker knows it; once all is written the record
	// begins anew.
	require.NoError(t, l.Post(Soon, &wire.Frame{Kind: wire.Message, Type: "x", Body: make([]byte, boxSize)}))
	post(4)
	require.False(t, l.Recorded())
	require.Equal(t, []uint64{3}, idsIn(restOf(t, memory, written)))
	require.NoError(t, l.Flush())
	require.True(t, l.Recorded())
	post(5)
	require.Equal(t, []uint64{5}, idsIn(restOf(t, memory, int64(pipe.Len()))))
}

// Who reads the frames that came by the pipe and then the rest in the box gets each frame once.
func TestReadRestGoesOnWhereThePipeEnds(t *testing.T) {
	memory := make([]byte, boxSize)
	var pipe bytes.Buffer
	theirs := New(&codec.Codec{}, &bytes.Buffer{}, &pipe, Options{})
	theirs.SetBox(memory)
	for id := range uint64(5) {
		require.NoError(t, theirs.Post(Soon, &wire.Frame{Kind: wire.Start, ID: id}))
	}
	theirs.Mark(7)
	theirs.Count(9)
	theirs.Miss(11)
	require.True(t, theirs.Note(append(theirs.NoteMemory()[:0], "done"...)))
	for _, cut := range []int{0, 1, wire.HeaderSize, 2*wire.HeaderSize + 1} {
		var stream bytes.Buffer // what of the frames came through the pipe
		for id := range uint64(5) {
			stream.Write(wire.Append(nil, &wire.Frame{Kind: wire.Start, ID: id}))
		}
		stream.Truncate(cut)
		var ids []uint64
		ours := New(&codec.Codec{}, &stream, io.Discard, Options{})
		err := ours.ReadLoop(func(f *wire.Frame) (bool, error) { ids = append(ids, f.ID); return false, nil })
		require.Error(t, err)
		ours.ReadRest(boxOf(memory))
		require.Equal(t, []uint64{0, 1, 2, 3, 4}, ids, "%d bytes came through the pipe", cut)
	}
	require.Equal(t, Remains{Mark: 7, Count: 9, Missed: 11, Note: []byte("done")}, ReadRemains(boxOf(memory)))
	theirs.Mark(8)
	require.Equal(t, Remains{Mark: 8, Count: 9, Missed: 11}, ReadRemains(boxOf(memory)))
}

// A box in the memory of the same process has what one that outlives it has, but for the stream.
func TestKeptBox(t *testing.T) {
	theirs := New(&codec.Codec{}, &bytes.Buffer{}, io.Discard, Options{})
	require.Nil(t, theirs.Box())
	theirs.KeepBox()
	require.True(t, theirs.Recorded())
	require.NoError(t, theirs.Post(Soon, &wire.Frame{Kind: wire.Start, ID: 1}))
	require.False(t, theirs.Recorded(), "the box has no room for the stream")
	theirs.Mark(7)
	theirs.Count(9)
	theirs.Begin(10)
	theirs.Miss(11)
	require.True(t, theirs.Note(append(theirs.NoteMemory()[:0], "done"...)))
	require.Equal(t, Remains{Mark: 7, Count: 9, Begun: 10, Missed: 11, Note: []byte("done")}, ReadRemains(theirs.Box()))
	mark, count, ok := Glance(theirs.Box())
	require.True(t, ok)
	require.Equal(t, []uint64{7, 9}, []uint64{mark, count})
	theirs.Mark(8)
	require.Equal(t, Remains{Mark: 8, Count: 9, Begun: 10, Missed: 11}, ReadRemains(theirs.Box()))
}

// A note that has outgrown its memory is none, and what was noted before stands. Without a box
// there is no note.
func TestNoteThatHasMoved(t *testing.T) {
	memory := make([]byte, boxSize)
	l := New(&codec.Codec{}, &bytes.Buffer{}, io.Discard, Options{})
	require.Nil(t, l.NoteMemory())
	require.False(t, l.Note([]byte("x")))
	l.Mark(1)
	l.Count(1)
	l.SetBox(memory[:BoxHeader+NoteRoom]) // too small for a box
	require.Nil(t, l.NoteMemory())
	l.SetBox(memory)
	note := append(l.NoteMemory()[:0], "first"...)
	require.True(t, l.Note(note))
	require.False(t, l.Note(append(note, make([]byte, NoteRoom)...)))
	require.Equal(t, "first", string(ReadRemains(boxOf(memory)).Note))
}

// A dead worker's box may hold anything.
func TestBlackBoxIsNotTrusted(t *testing.T) {
	memory := make([]byte, boxSize)
	number := func(at int, v uint64) { binary.LittleEndian.PutUint64(memory[at:], v) }
	const most = boxSize - NoteRoom - BoxHeader
	for _, start := range []uint64{0, 1, 100, math.MaxUint64, math.MaxInt64, 1 << 32} {
		for _, length := range []uint64{0, 1, 99, boxSize, most, most + 1, math.MaxUint64} {
			for _, from := range []int64{0, 1, 100, math.MaxInt64} {
				number(0, start)
				number(8, length)
				require.LessOrEqual(t, len(restOf(t, memory, from)), most)
			}
		}
	}
	for _, n := range []uint64{0, 1, NoteRoom, NoteRoom + 1, math.MaxUint64} {
		number(16, 7)
		number(24, n)
		left := ReadRemains(boxOf(memory))
		require.Equal(t, uint64(7), left.Mark)
		require.LessOrEqual(t, len(left.Note), NoteRoom)
	}
	require.Empty(t, restOf(t, memory[:4], 0))
	require.Zero(t, ReadRemains(boxOf(memory[:18])))
	require.Zero(t, ReadRemains(io.NewSectionReader(bytes.NewReader(memory), 0, 0)).Note)
}
