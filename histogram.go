package multiprolab

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/stats"
)

// Histogram says how long things took. It belongs to the Stats that it is in. The bounds of its
// buckets are the same everywhere and always, eight for each power of two, so that a quantile is
// wrong by 6.25 % at most, and histograms can be added.
type Histogram struct {
	// Count is how many things there were, and Sum how long they took together.
	Count uint64        `json:"count"`
	Sum   time.Duration `json:"sum"`
	// Max is how long the longest took.
	Max time.Duration `json:"max"`
	// P50, P90 and P99 are what Quantile returns for 0.5, 0.9 and 0.99.
	P50 time.Duration `json:"p50"`
	P90 time.Duration `json:"p90"`
	P99 time.Duration `json:"p99"`
	// Buckets are those that are not empty, the shortest times first.
	Buckets []Bucket `json:"buckets"`
}

// Bucket is the things that took no longer than Bound, and longer than the bounds below it.
type Bucket struct {
	Bound time.Duration `json:"bound"`
	Count uint64        `json:"count"`
}

// Quantile returns the time that the part p of all did not exceed, of which p is from 0 to 1: the
// middle of the bucket in which it lies, which is wrong by 6.25 % at most. It returns 0 if there
// were none.
func (h *Histogram) Quantile(p float64) time.Duration {
	var n uint64
	for _, b := range h.Buckets {
		if n += b.Count; float64(n) >= p*float64(h.Count) {
			floor := stats.Floor(b.Bound)
			return min(floor+(b.Bound-floor)/2, h.Max)
		}
	}
	return 0
}

// histogramOf returns the figures of a histogram.
func histogramOf(from *stats.Histogram) Histogram {
	h := Histogram{Count: from.Count, Sum: from.Sum, Max: from.Max}
	for bound, n := range from.All {
		h.Buckets = append(h.Buckets, Bucket{bound, n})
	}
	h.P50, h.P90, h.P99 = h.Quantile(0.5), h.Quantile(0.9), h.Quantile(0.99)
	return h
}
