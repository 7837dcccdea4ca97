package stats

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestBucketsFollowEachOther holds that every time lies in one bucket, and that no bucket is wider
// than an eighth of what it counts.
func TestBucketsFollowEachOther(t *testing.T) {
	last := time.Duration(-1)
	for i := range Buckets {
		bound := Bound(i)
		require.Greater(t, bound, last, i)
		require.Equal(t, i, bucketOf(bound), i)
		require.Equal(t, i, bucketOf(last+1), i)
		require.Equal(t, last+1, Floor(bound), i)
		if last+1 >= 1<<least {
			require.LessOrEqual(t, (bound-last)*8, last+1, i)
		}
		last = bound
	}
	require.Greater(t, last, 19*time.Hour)
	require.Equal(t, Buckets-1, bucketOf(math.MaxInt64))
}

// TestHistogramCountsEverything compares a histogram with the list of what it was given.
func TestHistogramCountsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h, other, merged Histogram
		var all []time.Duration
		for i, d := range rapid.SliceOf(rapid.Int64Range(-1, int64(40*time.Hour))).Draw(t, "times") {
			to := &h
			if i%2 == 0 {
				to = &other
			}
			to.Add(time.Duration(d), 2)
			all = append(all, time.Duration(max(0, d)), time.Duration(max(0, d)))
		}
		merged.Merge(&h)
		merged.Merge(&other)
		var sum time.Duration
		for _, d := range all {
			sum += d
		}
		require.Equal(t, uint64(len(all)), merged.Count)
		require.Equal(t, sum, merged.Sum)
		if len(all) > 0 {
			require.Equal(t, slices.Max(all), merged.Max)
		}
		var n uint64
		for bound, count := range merged.All {
			n += count
			within := 0
			for _, d := range all {
				if bucketOf(d) == bucketOf(bound) {
					within++
				}
			}
			require.EqualValues(t, within, count)
		}
		require.Equal(t, merged.Count, n)
	})
}

func TestSumStaysAtTheLongestDuration(t *testing.T) {
	var h Histogram
	h.Add(math.MaxInt64, 3)
	h.Add(time.Second, 1)
	require.Equal(t, time.Duration(math.MaxInt64), h.Sum)
	require.EqualValues(t, 4, h.Count)
}

func BenchmarkAdd(b *testing.B) {
	var h Histogram
	for i := 0; b.Loop(); i++ {
		h.Add(time.Duration(i&0xfffff), 1)
	}
}
