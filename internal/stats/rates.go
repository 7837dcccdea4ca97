package stats

import "time"

// RateSpan is over how long a rate is taken at least.
const RateSpan = time.Second

// Rates is how fast counters grow that have names. Times are since the counters began at 0. The
// zero value knows no counters. Whoever has it guards it.
type Rates struct {
	before counted // the newest one that is older than last by RateSpan or more
	last   counted // the last one that is older than the one before it by RateSpan or more
	now    counted // the latest one
}

// counted is what the counters had come to at some time. It never changes.
type counted struct {
	at time.Duration     // when it was so
	n  map[string]uint64 // what they had come to, by their names
}

// Look takes in what the counters have come to. They must not change after that.
func (r *Rates) Look(now time.Duration, counters map[string]uint64) {
	if r.now = (counted{now, counters}); now-r.last.at >= RateSpan {
		r.before, r.last = r.last, r.now
	}
}

// Of returns by how much a counter grows in a second. It is 0 if the counter has become less.
func (r *Rates) Of(name string) float64 {
	n, was, span := r.now.n[name], r.before.n[name], r.now.at-r.before.at
	if n <= was || span <= 0 {
		return 0
	}
	return float64(n-was) / span.Seconds()
}
