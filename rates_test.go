package multiprolab

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRateOfAQueue: it is over a second or more whoever else looks meanwhile, and never less than 0.
func TestRateOfAQueue(t *testing.T) {
	began := time.Now()
	var r rates
	look := func(after time.Duration, name string, ended uint64) float64 {
		s := Stats{Started: began, Time: began.Add(after), Queues: []QueueStats{{Name: name}}}
		s.Queues[0].Succeeded, s.Queues[0].Failed, s.Queues[0].Cancelled = ended-2, 1, 1
		r.fill(&s)
		return s.Queues[0].Rate
	}
	r.fill(&Stats{Time: began.Add(-time.Minute)}) // before the start nothing is counted
	const sec, ms = time.Second, time.Millisecond
	for _, step := range []struct {
		after time.Duration
		ended uint64
		want  float64
	}{
		{0, 2, 0},                  // no time has passed
		{500 * ms, 50, 100},        // since the beginning
		{2 * sec, 200, 100},        // as nobody has looked for a second
		{2*sec + 500*ms, 250, 100}, // since the beginning: the one before is too near
		{3 * sec, 500, 300},        // since 2 s
		{3*sec + ms, 500, 300 * sec.Seconds() / (sec + ms).Seconds()},
		{4 * sec, 500, 0},
		{4 * sec, 500, 0}, // another one at the same time
		{10 * sec, 440 + 2, 0},
		{3 * sec, 600, 0}, // one that has come late
	} {
		require.InDelta(t, step.want, look(step.after, "a", step.ended), 1e-9, "%+v", step)
	}
	require.InDelta(t, 10, look(20*sec, "new", 100), 1e-9)
}
