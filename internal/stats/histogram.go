// Package stats is figures in a fixed amount of memory: how long things took, as a histogram, the
// few that took longest, and how fast counters grow. It holds no lock and reads no clock: whoever
// has a figure guards it.
package stats

import (
	"math"
	"math/bits"
	"time"
)

// The buckets are log-linear: each power of two is divided into 8 buckets of the same width. So a
// bucket is at most an eighth as wide as the times that it counts are long, and its middle is wrong
// by 6.25 % of them at most. What takes less than 256 ns is told apart by 32 ns, and what takes
// longer than 2⁴⁶ ns, which is 19 hours, is in the last bucket.
const (
	parts   = 8 // buckets of an octave
	least   = 8 // the octave that ends at 2^least ns is the first, and goes down to 0
	octaves = 39
	// Buckets is the number of buckets.
	Buckets = octaves * parts
)

// Histogram counts how long things took. Its memory grows with the range of the times, and not with
// their number: the buckets of an octave are made when the first of its times comes. The zero value
// is empty. Whoever has it guards it.
type Histogram struct {
	// Count is how many times were counted.
	Count uint64
	// Sum is the sum of the times.
	Sum time.Duration
	// Max is the longest of the times.
	Max time.Duration
	// octaves are the counts, by octave and part of it; nil where there is none.
	octaves [octaves]*[parts]uint64
}

// Add counts n things, each of which took d. What took less than nothing counts as 0.
func (h *Histogram) Add(d time.Duration, n uint64) {
	d = max(d, 0)
	h.Count += n
	h.Sum = add(h.Sum, d, n)
	h.Max = max(h.Max, d)
	i := bucketOf(d)
	o := h.octaves[i/parts]
	if o == nil {
		o = new([parts]uint64)
		h.octaves[i/parts] = o
	}
	o[i%parts] += n
}

// add returns sum + n×d, or the longest Duration if that is more.
func add(sum, d time.Duration, n uint64) time.Duration {
	high, low := bits.Mul64(uint64(d), n)
	if high > 0 || low > uint64(math.MaxInt64-sum) {
		return math.MaxInt64
	}
	return sum + time.Duration(low)
}

// Merge counts what another one has counted.
func (h *Histogram) Merge(o *Histogram) {
	h.Count += o.Count
	h.Sum = add(h.Sum, o.Sum, 1)
	h.Max = max(h.Max, o.Max)
	for i, from := range o.octaves {
		if from == nil {
			continue
		}
		if h.octaves[i] == nil {
			h.octaves[i] = new([parts]uint64)
		}
		for j, n := range from {
			h.octaves[i][j] += n
		}
	}
}

// All yields the buckets that count something, the shortest times first: each with its bound, which
// its times do not exceed, and its count.
func (h *Histogram) All(yield func(bound time.Duration, n uint64) bool) {
	for i, o := range h.octaves {
		if o == nil {
			continue
		}
		for j, n := range o {
			if n > 0 && !yield(Bound(i*parts+j), n) {
				return
			}
		}
	}
}

// bucketOf returns the number of the bucket that counts a time.
func bucketOf(d time.Duration) int {
	n := uint64(d)
	if n < 1<<least {
		return int(n >> (least - 3))
	}
	octave := bits.Len64(n) - least // from 1
	if octave >= octaves {
		return Buckets - 1
	}
	return octave*parts + int(n>>(octave+least-4)&(parts-1))
}

// Bound returns the longest time that a bucket counts; the last one counts all that is longer, too.
func Bound(bucket int) time.Duration {
	octave, part := bucket/parts, bucket%parts
	if octave == 0 {
		return time.Duration((part+1)<<(least-3)) - 1
	}
	return time.Duration(1)<<(octave+least-1) + time.Duration(part+1)<<(octave+least-4) - 1
}

// Floor returns the shortest time that the bucket with this bound counts.
func Floor(bound time.Duration) time.Duration {
	if i := bucketOf(bound); i > 0 {
		return Bound(i-1) + 1
	}
	return 0
}
