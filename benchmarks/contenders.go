//go:build !solo

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"
)

// The contenders that measure a Go peer. The workers of a peer are started for one scenario and
// stopped after it.

// warmUp is how long a contender works before its first round.
const warmUp = 50 * time.Millisecond

// call measures request and reply: of items, or of blocks of size bytes.
type call struct {
	caller
	size int
}

func (c *call) start() error {
	if err := c.caller.start(1); err != nil {
		return err
	}
	if _, err := c.round(warmUp); err != nil {
		return errors.Join(err, c.stop())
	}
	return nil
}

func (c *call) round(budget time.Duration) ([]float64, error) {
	var t []int64
	var err error
	if c.size == 0 {
		var want, got Item
		t, err = times(budget, func(k int) (err error) {
			want = sampleItem(uint64(k))
			got, err = c.callItem(want)
			return err
		}, func(k int) error {
			if !got.equal(want) {
				return fmt.Errorf("item %d came back as %+v", k, got)
			}
			return nil
		})
	} else {
		want := block(c.size)
		var got []byte
		t, err = times(budget, func(int) (err error) {
			got, err = c.callBytes(want)
			return err
		}, func(k int) error {
			if !bytes.Equal(got, want) {
				return fmt.Errorf("block %d came back changed", k)
			}
			number(want, k)
			return nil
		})
	}
	if err != nil {
		return nil, err
	}
	return latencies(t), nil
}

// stream measures messages that are not answered, until their receiver has said that it has counted
// all.
type stream struct {
	streamer
	size  int // 0: items
	n     int
	block []byte
}

func (c *stream) run(n int) (time.Duration, error) {
	var want, got Tally
	var err error
	var took time.Duration
	if c.size == 0 {
		begin := time.Now()
		got, err = c.streamItems(n)
		took = time.Since(begin)
		for k := range n {
			i := sampleItem(uint64(k))
			want.item(&i)
		}
	} else {
		if c.block == nil {
			c.block = block(c.size)
		}
		begin := time.Now()
		got, err = c.streamBytes(n, c.block)
		took = time.Since(begin)
		for k := range n {
			number(c.block, k)
			want.bytes(c.block)
		}
	}
	if err == nil && got != want {
		err = fmt.Errorf("the receiver has counted %+v, it should be %+v", got, want)
	}
	return took, err
}

func (c *stream) start() (err error) {
	if err = c.streamer.start(1); err != nil {
		return err
	}
	if c.n, err = calibrate(warmUp, 8, c.run); err != nil {
		return errors.Join(err, c.stop())
	}
	return nil
}

func (c *stream) round(budget time.Duration) ([]float64, error) {
	n := max(1, int(float64(c.n)*float64(budget)/float64(warmUp)))
	took, err := c.run(n)
	return []float64{rate(c.size, n, took)}, err
}

// rate is in millions of messages per second for items, in gigabytes per second for blocks.
func rate(size, n int, took time.Duration) float64 {
	if size == 0 {
		return float64(n) / took.Seconds() / 1e6
	}
	return float64(n) * float64(size) / took.Seconds() / 1e9
}

// hops measures request and reply between two workers.
type hops struct {
	relayer
	n int
}

func (c *hops) start() (err error) {
	if err = c.relayer.start(2); err != nil {
		return err
	}
	c.n, err = calibrate(warmUp, 10, func(n int) (time.Duration, error) {
		begin := time.Now()
		_, err := c.relay(n)
		return time.Since(begin), err
	})
	if err != nil {
		return errors.Join(err, c.stop())
	}
	return nil
}

func (c *hops) round(budget time.Duration) ([]float64, error) {
	n := max(10, int(float64(c.n)*float64(budget)/float64(warmUp)))
	t, err := c.relay(n)
	if err != nil {
		return nil, err
	}
	if len(t) != n {
		return nil, fmt.Errorf("%d of %d requests are answered", len(t), n)
	}
	return latencies(t), nil
}

// farm measures what two workers get done, compared with two cores that do nothing but the tasks.
type farm struct {
	farmer
	length time.Duration // of a task
	n      int
}

func (c *farm) job(n int) job { return job{tasks: n, steps: stepsFor(c.length)} }

func (c *farm) run(n int) (time.Duration, error) {
	begin := time.Now()
	sum, err := c.farm(c.job(n))
	took := time.Since(begin)
	if err == nil {
		err = c.job(n).check(sum)
	}
	return took, err
}

func (c *farm) start() (err error) {
	if err = c.farmer.start(2); err != nil {
		return err
	}
	if c.n, err = calibrate(warmUp, 64, c.run); err != nil {
		return errors.Join(err, c.stop())
	}
	return nil
}

func (c *farm) round(budget time.Duration) ([]float64, error) {
	each := taskTime(stepsFor(c.length)) // now: other programs may be running on this machine
	n := max(64, int(float64(c.n)*float64(budget)/float64(warmUp)))
	took, err := c.run(n)
	return []float64{efficiency(n, each, took), float64(n) / took.Seconds() / 1e3}, err
}

// efficiency is in percent of what two cores can do. each is in nanoseconds.
func efficiency(n int, each float64, took time.Duration) float64 {
	return 100 * float64(n) * each / 2 / float64(took)
}

// stepsFor returns how many steps a task of a length has on this machine.
func stepsFor(length time.Duration) uint64 {
	return max(1, uint64(float64(length)/nsPerStep()))
}

// nsPerStep is the least that a step has taken in many short batches: the length of a task must not
// depend on what else runs on this machine.
var nsPerStep = sync.OnceValue(func() float64 {
	const batches, steps = 2000, 20_000
	least := time.Duration(math.MaxInt64)
	for k := range batches {
		begin := time.Now()
		x := job{steps: steps}.task(k).spin()
		if took := time.Since(begin); x != 0 { // it never is, but the compiler does not know
			least = min(least, took)
		}
	}
	return float64(least) / steps
})

// taskTime returns the nanoseconds of a task of so many steps while two cores work on such tasks
// and on nothing else. Other programs on this machine make some of the batches slower than they
// are; that is why a low quantile counts.
func taskTime(steps uint64) float64 {
	const batches, batchTime = 30, 500 * time.Microsecond
	begin := time.Now()
	runtime.KeepAlive(Task{1, steps}.spin())
	perBatch := max(1, int(batchTime/max(1, time.Since(begin))))
	var each [2]float64
	var ready, all sync.WaitGroup
	ready.Add(len(each))
	for g := range each {
		all.Go(func() {
			ready.Done()
			ready.Wait()
			var batch []float64
			for range batches {
				begin := time.Now()
				var x uint64
				for k := range perBatch {
					x += job{steps: steps}.task(k).spin()
				}
				batch = append(batch, float64(time.Since(begin))/float64(perBatch))
				if x == 0 {
					batch = nil // never: it only keeps the compiler from leaving the work out
				}
			}
			each[g] = quantile(batch, cleanQuantile)
		})
	}
	all.Wait()
	return (each[0] + each[1]) / 2
}

// cleanQuantile is the quantile of the batches that counts.
const cleanQuantile = 0.2
