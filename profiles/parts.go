package profiles

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// This file is how profiles are taken that are computed with, in bounded memory.

const (
	// maxPart is the greatest size in bytes of a profile that is computed with.
	maxPart = 16 << 20
	// maxParts is how many bytes of profiles one request keeps.
	maxParts = 256 << 20
	// atOnce is how many profiles one request takes at a time, unless they are recorded over a
	// time.
	atOnce = 64
	// computing is for how many workers one request computes at a time.
	computing = 4
)

// taking is the profiles that one request takes. Any goroutine may use it.
type taking struct {
	h       *handler      // the handler; does not change
	profile string        // the name of the profile; does not change
	o       *options      // the parameters; do not change
	left    atomic.Int64  // how many bytes may be kept in addition
	turns   chan struct{} // has room for one of each goroutine that computes
}

// taking begins with the profiles of a request.
func (h *handler) taking(profile string, o *options) *taking {
	t := &taking{h: h, profile: profile, o: o, turns: make(chan struct{}, computing)}
	t.left.Store(h.room)
	return t
}

// parts returns the profiles of several workers, or what was added to them if delta is true. Those
// that are recorded over a time are taken at the same time. What has no room is left out, and says
// so.
func (t *taking) parts(ctx context.Context, workers []string, delta bool) []Part {
	parts := make([]Part, len(workers))
	most := atOnce
	if delta || recorded(t.profile) {
		most = len(workers)
	}
	turns := make(chan struct{}, most)
	for i, worker := range workers {
		turns <- struct{}{}
		go func() { // ends with its profile, or with ctx
			defer func() { <-turns }()
			parts[i].Worker = worker
			if delta {
				parts[i].Profile, parts[i].Err = t.delta(ctx, worker)
				return
			}
			parts[i].Profile, parts[i].Err = t.take(ctx, worker)
		}()
	}
	for range most { // until each turn has been given back
		turns <- struct{}{}
	}
	return parts
}

// part is a profile that is being taken. Who takes it uses it.
type part struct {
	bytes.Buffer         // what has come
	t            *taking // whose room it takes
}

func (p *part) Write(b []byte) (int, error) {
	if p.t.left.Add(-int64(len(b))) < 0 {
		return 0, fmt.Errorf("the profiles of one request take more than %d MiB together: ask for fewer workers",
			p.t.h.room>>20)
	}
	return p.Buffer.Write(b)
}

// take returns the profile of one worker.
func (t *taking) take(ctx context.Context, worker string) ([]byte, error) {
	c := t.o.cfg
	c.MaxSize = maxPart
	p := part{t: t}
	if err := t.h.app.Profile(ctx, &p, worker, t.profile, &c); err != nil {
		t.left.Add(int64(p.Len()))
		return nil, err
	}
	return p.Bytes(), nil
}

// delta returns what was added to the profile of a worker in some seconds.
func (t *taking) delta(ctx context.Context, worker string) ([]byte, error) {
	before, err := t.take(ctx, worker)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(t.o.seconds)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	after, err := t.take(ctx, worker)
	if err != nil {
		return nil, err
	}
	t.turns <- struct{}{}
	defer func() { <-t.turns }()
	var b bytes.Buffer
	err = t.h.combine.Delta(&b, before, after)
	t.left.Add(int64(len(before) + len(after) - b.Len()))
	return b.Bytes(), err
}
