//go:build !solo

package main

import (
	"errors"
	"time"
)

// The contenders that have a program in another language measure.

type scriptCall struct {
	*script
	size int
}

func (c *scriptCall) start() error {
	if err := c.script.start(1); err != nil {
		return err
	}
	if _, err := c.round(warmUp); err != nil {
		return errors.Join(err, c.stop())
	}
	return nil
}

func (c *scriptCall) round(budget time.Duration) ([]float64, error) {
	a, err := c.ask(request{Op: "call", Size: c.size, Budget: int64(budget)})
	if err != nil {
		return nil, err
	}
	return latencies(a.Times), nil
}

type scriptStream struct {
	*script
	size, n int
}

func (c *scriptStream) run(n int) (time.Duration, error) {
	a, err := c.ask(request{Op: "stream", Size: c.size, N: n})
	if err != nil {
		return 0, err
	}
	return time.Duration(a.Ns), nil
}

func (c *scriptStream) start() (err error) {
	if err = c.script.start(1); err != nil {
		return err
	}
	if c.n, err = calibrate(warmUp, 8, c.run); err != nil {
		return errors.Join(err, c.stop())
	}
	return nil
}

func (c *scriptStream) round(budget time.Duration) ([]float64, error) {
	n := max(1, int(float64(c.n)*float64(budget)/float64(warmUp)))
	took, err := c.run(n)
	return []float64{rate(c.size, n, took)}, err
}

type scriptHops struct {
	*script
	n int
}

func (c *scriptHops) start() (err error) {
	if err = c.script.start(2); err != nil {
		return err
	}
	c.n, err = calibrate(warmUp, 10, func(n int) (time.Duration, error) {
		begin := time.Now()
		_, err := c.ask(request{Op: "relay", N: n})
		return time.Since(begin), err
	})
	if err != nil {
		return errors.Join(err, c.stop())
	}
	return nil
}

func (c *scriptHops) round(budget time.Duration) ([]float64, error) {
	a, err := c.ask(request{Op: "relay", N: max(10, int(float64(c.n)*float64(budget)/float64(warmUp)))})
	if err != nil {
		return nil, err
	}
	return latencies(a.Times), nil
}

type scriptFarm struct {
	*script
	length   time.Duration
	chunk, n int
}

func (c *scriptFarm) run(n int) (*answer, error) {
	return c.ask(request{Op: "farm", Us: int(c.length / time.Microsecond), N: n, Chunk: c.chunk})
}

func (c *scriptFarm) start() (err error) {
	if err = c.script.start(2); err != nil {
		return err
	}
	c.n, err = calibrate(warmUp, 64, func(n int) (time.Duration, error) {
		a, err := c.run(n)
		if err != nil {
			return 0, err
		}
		return time.Duration(a.Ns), nil
	})
	if err != nil {
		return errors.Join(err, c.stop())
	}
	return nil
}

func (c *scriptFarm) round(budget time.Duration) ([]float64, error) {
	n := max(64, int(float64(c.n)*float64(budget)/float64(warmUp)))
	a, err := c.run(n)
	if err != nil {
		return nil, err
	}
	took := time.Duration(a.Ns)
	return []float64{efficiency(n, a.Task, took), float64(n) / took.Seconds() / 1e3}, nil
}

// scriptFirst measures the start of one worker, until its first reply, and the memory of the worker
// when it has nothing to do.
type scriptFirst struct{ *script }

const (
	startsPerRound = 5                      // one after the other; the median counts
	idleTime       = 150 * time.Millisecond // that a worker has nothing to do until its memory is looked at
)

func (c *scriptFirst) start() error { return c.launch() }

func (c *scriptFirst) round(time.Duration) ([]float64, error) {
	var ms, memory []float64
	for k := range startsPerRound {
		a, err := c.ask(request{Op: "first", Kind: c.kind})
		if err != nil {
			return nil, err
		}
		ms = append(ms, float64(a.Ns)/1e6)
		if k == 0 && canReadMemory {
			time.Sleep(idleTime)
			if memory, err = memoryOf(a.Pid); err != nil {
				return nil, err
			}
		}
		if _, err := c.ask(request{Op: "stop"}); err != nil {
			return nil, err
		}
	}
	return append([]float64{median(ms)}, memory...), nil
}

// scriptCrowd measures many workers: the start of all, until each has answered, and then one
// question to all, until each has answered.
type scriptCrowd struct {
	*script
	workers int
}

func (c *scriptCrowd) start() error { return c.launch() }

func (c *scriptCrowd) round(budget time.Duration) ([]float64, error) {
	a, err := c.ask(request{Op: "crowd", Kind: c.kind, Workers: c.workers, Budget: int64(budget)})
	if err != nil {
		return nil, err
	}
	if _, err := c.ask(request{Op: "stop"}); err != nil {
		return nil, err
	}
	l := latencies(a.Times)
	return []float64{float64(a.Ns) / 1e6, l[0] / 1e3, l[1] / 1e3}, nil
}
