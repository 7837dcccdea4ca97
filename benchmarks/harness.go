//go:build !solo

package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"time"
)

// A contender is one peer in one scenario.
type contender interface {
	name() string
	// start makes it ready, and warm. If it fails it leaves nothing behind.
	start() error
	// round measures once, for about the time of the budget, and returns a value for each metric of
	// the scenario, in their order.
	round(budget time.Duration) ([]float64, error)
	stop() error
}

// metric is something that a scenario measures.
type metric struct {
	name, unit string
	more       bool // is better
	chart      bool // has a panel in the chart
}

// scenario is what contenders are compared in. The first contender is the one that the others are
// compared with.
type scenario struct {
	id, title  string
	metrics    []metric
	contenders []contender
}

// result is what one contender has shown in one scenario.
type result struct {
	contender string
	err       error       // nil, or why there are no values; wraps errAbsent if it is nobody's fault
	rounds    [][]float64 // by metric, then by round
	ratios    []float64   // by metric: the median of the rounds' ratios to the first contender
}

// report is a scenario with its results.
type report struct {
	scenario
	results []*result
}

// options are what the user may choose.
type options struct {
	rounds int
	budget time.Duration // of one round of one contender
	log    io.Writer     // progress
}

// roundTimeout is when a round counts as hung.
const roundTimeout = 90 * time.Second

// measure starts all contenders of a scenario, lets them take turns, and stops them.
func (s scenario) measure(o options) *report {
	r := &report{scenario: s}
	started := make([]bool, len(s.contenders))
	for k, c := range s.contenders {
		res := &result{contender: c.name(), rounds: make([][]float64, len(s.metrics))}
		r.results = append(r.results, res)
		err := within(roundTimeout, c.start)
		if started[k] = err == nil; err != nil {
			res.err = fmt.Errorf("start: %w", err)
			if !errors.Is(err, errAbsent) {
				_, _ = fmt.Fprintf(o.log, "%s: %s: %v\n", s.id, c.name(), res.err)
			}
		}
	}
	for n := range o.rounds {
		_, _ = fmt.Fprintf(o.log, "%s: round %d of %d\n", s.id, n+1, o.rounds)
		for k, c := range s.contenders {
			res := r.results[k]
			if res.err != nil {
				continue
			}
			runtime.GC() // what one contender leaves behind is not the next one's
			var values []float64
			err := within(roundTimeout, func() (err error) {
				values, err = c.round(o.budget)
				return err
			})
			if err == nil {
				err = checkValues(values, len(s.metrics))
			}
			if err != nil {
				res.err = fmt.Errorf("round %d: %w", n+1, err)
				_, _ = fmt.Fprintf(o.log, "%s: %s: %v\n", s.id, c.name(), res.err)
				continue
			}
			for m, v := range values {
				res.rounds[m] = append(res.rounds[m], v)
			}
		}
	}
	for k, c := range s.contenders {
		if !started[k] {
			continue
		}
		res := r.results[k]
		if err := within(roundTimeout, c.stop); err != nil && res.err == nil {
			res.err = fmt.Errorf("stop: %w", err)
			_, _ = fmt.Fprintf(o.log, "%s: %s: %v\n", s.id, c.name(), res.err)
		}
	}
	for _, res := range r.results {
		res.ratios = ratios(res.rounds, r.results[0].rounds)
	}
	return r
}

// within calls fn and gives up on it after a time. The goroutine of one that hangs stays.
func within(d time.Duration, fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		return err
	case <-time.After(d):
		return fmt.Errorf("it hangs: nothing for %v", d)
	}
}

func checkValues(values []float64, n int) error {
	if len(values) != n {
		return fmt.Errorf("%d values for %d metrics", len(values), n)
	}
	for _, v := range values {
		if !(v > 0) || math.IsInf(v, 0) {
			return fmt.Errorf("a value is %v", v)
		}
	}
	return nil
}

// ratios compares each round with the same round of the base, and returns the medians.
func ratios(rounds, base [][]float64) []float64 {
	r := make([]float64, len(rounds))
	for m := range rounds {
		var each []float64
		for n := range min(len(rounds[m]), len(base[m])) {
			each = append(each, rounds[m][n]/base[m][n])
		}
		r[m] = median(each)
	}
	return r
}

// median returns NaN if there is nothing.
func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile interpolates between the two nearest values.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	at := q * float64(len(s)-1)
	low := int(at)
	high := min(low+1, len(s)-1)
	return s[low] + (s[high]-s[low])*(at-float64(low))
}

// latencies turns the times of calls into the median and the 99th percentile, in microseconds.
func latencies(times []int64) []float64 {
	us := make([]float64, len(times))
	for k, t := range times {
		us[k] = float64(t) / 1e3
	}
	return []float64{median(us), quantile(us, 0.99)}
}

// calibrate finds the number of messages or tasks that take about the time of the budget.
func calibrate(budget time.Duration, n int, run func(n int) (time.Duration, error)) (int, error) {
	for {
		took, err := run(n)
		if err != nil {
			return 0, err
		}
		if took >= budget/4 {
			return max(1, int(float64(n)*float64(budget)/float64(took))), nil
		}
		n *= 2
		if took > 0 {
			n = max(n, int(float64(n/2)*float64(budget)/float64(took)/3))
		}
	}
}
