package multiprolab

import (
	"bytes"
	"encoding/binary"
	"errors"
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

// FuzzOutcomes takes the results of batches apart that come from a worker that is not to be
// trusted. Whatever they are, each of the n items of the batch has one outcome or is given out
// again, the counters count as many, and at least one item is done with.
func FuzzOutcomes(f *testing.F) {
	one := endItem(append(beginItem(nil), "abc"...), batchHead, itemOK, codec.Payload{Encoding: codec.String})
	two := endItem(append(beginItem(bytes.Clone(one)), "{}"...), len(one), itemFailed, codec.Payload{})
	gob := endItem(append(beginItem(nil), 1), batchHead, itemOK, codec.Payload{Encoding: codec.GobValue, Defs: 7})
	other := codec.Payload{Encoding: codec.GobValue, Defs: 8}
	gobs := endItem(append(beginItem(bytes.Clone(gob)), 1), len(gob), itemOK, other)
	odd := func(head byte) []byte { b := bytes.Clone(one); b[batchHead] = head; return b }
	for _, b := range [][]byte{nil, one[:batchHead], one, two, two[:len(two)-1], append(bytes.Clone(two), 0), gob, gobs,
		gobs[:len(gobs)-1], odd(itemFailed | codec.String<<1), odd(7 << 1), odd(1 << 5), odd(itemLater),
		odd(itemFailed | itemLater), odd(itemOther | codec.String<<1)} {
		for end := range byte(3) {
			f.Add(b, 2, end)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, n int, end byte) {
		n = 1 + n&1023
		r := &reply{payload: codec.Payload{Data: b}, vouch: func(_ string, err error) error { return err }}
		switch end % 4 {
		case 1:
			r.err = errors.New("the worker says so")
		case 2:
			r.err, r.died = &WorkerDiedError{}, true
		case 3:
			r.err = ErrCancelled
		}
		o, blamed, again := r.shares(n)
		require.True(t, bytes.HasPrefix(b, o.list))
		require.Equal(t, n, o.count()+blamed+again)
		require.GreaterOrEqual(t, min(blamed, again), 0)
		require.Positive(t, o.count()+blamed, "nothing is done with")
		sum := tally(n, r)
		require.Equal(t, again+o.later, sum.notReceived)
		require.Equal(t, n, sum.succeeded+sum.failed+sum.cancelled+sum.notReceived)
		require.GreaterOrEqual(t, min(sum.succeeded, sum.failed, sum.cancelled), 0)
		allOK, allFailed, wellFormed := countOutcomes(b)
		if wellFormed && allOK+allFailed <= n {
			require.Equal(t, [3]any{b, allOK, allFailed}, [3]any{o.list, o.succeeded, o.failed + o.later})
		}

		batch := &mapBatch{vouch: r.vouch}
		batch.common, batch.results = itemsOf(o.list)
		for range blamed {
			batch.outcomes = append(batch.outcomes, reply{err: r.blame()})
		}
		errs := 0
		for i := range n - again {
			_, err, there := batch.next("x")
			require.True(t, there, "outcome %d", i)
			if err != nil {
				errs++
			}
		}
		require.Equal(t, o.failed+o.later+blamed, errs)
		_, _, there := batch.next("x")
		require.False(t, there)
	})
}
