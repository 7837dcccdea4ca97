package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// times measures calls for the time of a budget, ten at least. What call does is measured, what
// check does is not.
func times(budget time.Duration, call, check func(k int) error) ([]int64, error) {
	var t []int64
	for k, end := 0, time.Now().Add(budget); ; k++ {
		begin := time.Now()
		err := call(k)
		now := time.Now()
		t = append(t, int64(now.Sub(begin)))
		if err == nil {
			err = check(k)
		}
		if err != nil {
			return nil, err
		}
		if k >= 9 && now.After(end) {
			return t, nil
		}
	}
}

// timeItems calls n times and returns the nanoseconds of each call. What comes back is checked
// outside of the time.
func timeItems(n int, call func(Item) (Item, error)) ([]int64, error) {
	times := make([]int64, n)
	for k := range times {
		want := sampleItem(uint64(k))
		begin := time.Now()
		got, err := call(want)
		times[k] = int64(time.Since(begin))
		if err != nil {
			return nil, err
		}
		if !got.equal(want) {
			return nil, fmt.Errorf("item %d came back as %+v", k, got)
		}
	}
	return times, nil
}

// So many calls are not answered yet when a peer that can go on without waiting for each does so.
const (
	streamInFlight = 256
	bytesInFlight  = 8 << 20 // bytes; of a stream of blocks
	farmInFlight   = 16      // per worker
)

// farmInPairs does the tasks of a job on goroutines that each wait for one result at a time,
// inFlight for each worker. The first error ends it.
func farmInPairs(workers, inFlight int, j job, do func(worker int, t Task) (uint64, error)) (uint64, error) {
	var next, sum atomic.Int64
	all, ctx := errgroup.WithContext(context.Background())
	for g := range workers * inFlight {
		all.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= j.tasks || ctx.Err() != nil {
					return nil
				}
				r, err := do(g%workers, j.task(i))
				if err != nil {
					return err
				}
				sum.Add(int64(r))
			}
		})
	}
	if err := all.Wait(); err != nil {
		return 0, err
	}
	return uint64(sum.Load()), nil
}
