package multiprolab

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
)

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
