package multiprolab

import (
	"context"
	"fmt"
	"sync"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/shared"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how a worker gets shared data.

// Shared returns the newest version of the data that [Main.Publish] has put into memory under a
// name, which WorkerConfig.Shared must have. The data is mapped, and not copied.
//
// Under the context of a handler, task or action the data is the function's until it returns, or
// its task is ended. Each further call in the function returns the same version, so that it never
// sees two. (The items of a Map that travel together are one function in this.) Under any other
// context, that of the setup function or of Loop for example, the data stays mapped until Release
// is called, and each call returns the newest version: who holds a version for as long as the
// worker lives keeps its memory from being free.
//
// An error matches fs.ErrNotExist if nothing is published under the name, and fs.ErrPermission if
// the configuration does not have it. To ask costs a question to main if there is a new version,
// and no more than a lock if there is none.
func (w *Worker) Shared(ctx context.Context, name string) (*Shared, error) {
	if w.link == nil {
		return nil, ErrNotWorker
	}
	if err := checkName("name of the shared data", name); err != nil {
		return nil, fmt.Errorf("multiprolab: %w", err)
	}
	s := anyScopeOf(ctx)
	if s != nil && s.setup {
		s = nil
	}
	for outer := s; outer != nil; outer = outer.outer {
		if held := outer.holds.Load().find(name); held != nil {
			return held, nil
		}
	}
	v, err := w.newest(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("multiprolab: worker %s: shared data %q: %w", w.Name(), name, err)
	}
	if s == nil {
		return &Shared{name, v, sync.OnceFunc(func() { w.shares.cache.Release(v) })}, nil
	}
	if held := w.holdsOf(s).keep(name, v); held != nil {
		return held, nil
	}
	return nil, fmt.Errorf("multiprolab: worker %s: shared data %q: its handler has returned", w.Name(), name)
}

// holdsOf returns what the function of a scope keeps.
func (w *Worker) holdsOf(s *scope) *sharedHolds {
	h := s.holds.Load()
	if h == nil {
		h = &sharedHolds{cache: &w.shares.cache}
		if !s.holds.CompareAndSwap(nil, h) {
			h = s.holds.Load()
		}
	}
	if s.over.Load() { // leave may not have seen h
		h.release()
	}
	return h
}

// newest returns the newest version of a name, for the cache to be given back. It asks main if that
// is not mapped: for one thing at a time, because main does not let many lie in the lane.
func (w *Worker) newest(ctx context.Context, name string) (*shared.Version, error) {
	if v := w.shares.cache.Use(name, 0); v != nil {
		return v, nil
	}
	if ctx.Err() != nil {
		return nil, causeOf(ctx)
	}
	defer stall(ctx)()
	for {
		if v, err := w.awaitAnswer(ctx, name); v != nil || err != nil {
			return v, err
		}
	}
}

// awaitAnswer asks main for a version of a name that will do, for the cache to be given back. It
// returns nil if the answer is one to another question.
func (w *Worker) awaitAnswer(ctx context.Context, name string) (*shared.Version, error) {
	a := w.ask(name)
	defer w.shares.leave(a)
	select {
	case <-a.done:
	case <-ctx.Done():
		return nil, causeOf(ctx)
	case <-w.whole.Done():
		return nil, w.stopCause()
	}
	switch {
	case a.name != name:
		return w.shares.cache.Use(name, 0), nil
	case a.err != nil:
		return nil, a.err
	}
	if v := w.shares.cache.Use(name, a.version); v != nil {
		return v, nil
	}
	return w.shares.hold(a), nil // there is a newer one already, which is not mapped
}

// ask asks main for shared data, unless main has not answered an earlier question. It returns the
// question that has no answer. The caller leaves it in the end.
func (w *Worker) ask(name string) *asking {
	w.shares.shareMu.Lock()
	defer w.shares.shareMu.Unlock()
	if w.shares.asked == nil {
		w.shares.asked = &asking{name: name, done: make(chan struct{})}
		w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Share, ID: 1, Type: name})
	}
	w.shares.asked.waiters++
	return w.shares.asked
}

// takeShared takes in what main tells of shared data. It runs on the goroutine that reads the wire.
func (w *Worker) takeShared(f *wire.Frame) error {
	var n shareNews
	if err := unmarshalBody(f, &n); err != nil {
		return err
	}
	if f.ID == 0 {
		w.shares.cache.Told(f.Type, n.Version)
		return nil
	}
	w.shares.shareMu.Lock()
	defer w.shares.shareMu.Unlock()
	a := w.shares.asked
	if a == nil || a.name != f.Type {
		return lie("main sent shared data %q, which it was not asked for", f.Type)
	}
	if n.Failure != "" {
		a.err = w.recognise(unmarshalError([]byte(n.Failure)))
	} else if w.role.outlet == nil {
		a.err = ErrNotWorker
	} else {
		var memory []byte
		if memory, a.err = w.role.outlet.Map(n.Handle, n.Size); a.err == nil {
			w.shares.cache.Add(f.Type, n.Version, memory)
			a.version, a.held = n.Version, w.shares.cache.Use(f.Type, n.Version)
		}
	}
	w.shares.asked = nil
	if a.waiters == 0 {
		w.shares.letGo(a)
	}
	close(a.done)
	return nil
}

// newOutlet returns where the shared data of this process comes from.
func newOutlet() *shared.Outlet {
	fd, _ := proc.TakeHanded(handedLane.key(""))
	return shared.NewOutlet(fd)
}
