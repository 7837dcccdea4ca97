// Package tokens is the tokens of a throttle: how many there are, and when the next one comes. The
// arithmetic is that of golang.org/x/time/rate.
package tokens

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Bucket holds tokens that come at a rate, up to a number of them. At first it is full. Whoever
// calls its methods guards it with a lock.
type Bucket struct {
	limiter *rate.Limiter // which never blocks: nobody waits at it
	born    time.Time     // from which moments are counted
}

// New returns a full bucket to which so many tokens come in a second, and which holds burst of
// them. Moments are durations since born.
func New(perSecond float64, burst int, born time.Time) *Bucket {
	return &Bucket{rate.NewLimiter(rate.Limit(perSecond), burst), born}
}

// Set changes the rate and how many tokens the bucket holds, from a moment on.
func (b *Bucket) Set(perSecond float64, burst int, now time.Duration) {
	if b.limiter.Limit() != rate.Limit(perSecond) || b.limiter.Burst() != burst {
		b.limiter.SetLimitAt(b.at(now), rate.Limit(perSecond))
		b.limiter.SetBurstAt(b.at(now), burst)
	}
}

// Take takes tokens out, also some that are still to come.
func (b *Bucket) Take(n int, now time.Duration) {
	for range n { // at a time not more than the bucket holds can be taken
		b.limiter.ReserveN(b.at(now), 1)
	}
}

// Left returns how many tokens there are, when there is one, and when the bucket is full.
func (b *Bucket) Left(now time.Duration) (n int, next, full time.Duration) {
	n = max(0, int(min(b.limiter.TokensAt(b.at(now)), math.MaxInt32))) // a float64 may be more than an int can say
	return n, b.when(1, now), b.when(b.limiter.Burst(), now)
}

// when returns the moment at which there are so many tokens.
func (b *Bucket) when(n int, now time.Duration) time.Duration {
	r := b.limiter.ReserveN(b.at(now), n)
	wait := r.DelayFrom(b.at(now))
	r.CancelAt(b.at(now))
	return now + min(wait, never-now)
}

// at is a moment as a time of day.
func (b *Bucket) at(now time.Duration) time.Time { return b.born.Add(now) }

// never is the moment that does not come.
const never = time.Duration(1<<63 - 1)
