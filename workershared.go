package multiprolab

import (
	"context"
	"fmt"
	"sync"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/life"
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
	if err := checkSharedName(name); err != nil {
		return nil, fmt.Errorf("multiprolab: %w", err)
	}
	s := anyScopeOf(ctx)
	if s != nil && s.setup {
		s = nil
	}
	for outer := s; outer != nil; outer = outer.outer {
		if held := outer.holds.Load().Find(name); held != nil {
			return held, nil
		}
	}
	v, err := w.newest(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("multiprolab: worker %s: shared data %q: %w", w.Name(), name, err)
	}
	if s == nil {
		return &Shared{name, v, sync.OnceFunc(func() { w.shares.Release(v) })}, nil
	}
	if held := w.holdsOf(s).Keep(name, v, &Shared{name: name, version: v}); held != nil {
		return held, nil
	}
	return nil, fmt.Errorf("multiprolab: worker %s: shared data %q: its handler has returned", w.Name(), name)
}

// holdsOf returns what the function of a scope keeps.
func (w *Worker) holdsOf(s *scope) *shared.Holds[Shared] {
	h := s.holds.Load()
	if h == nil {
		h = shared.NewHolds[Shared](&w.shares.Cache)
		if !s.holds.CompareAndSwap(nil, h) {
			h = s.holds.Load()
		}
	}
	if s.Over() { // leave may not have seen h
		h.Release()
	}
	return h
}

// newest returns the newest version of a name, for the cache to be given back. It asks main if that
// is not mapped.
func (w *Worker) newest(ctx context.Context, name string) (*shared.Version, error) {
	if v := w.shares.Use(name, 0); v != nil {
		return v, nil
	}
	if ctx.Err() == nil {
		defer stall(ctx)()
		if v, err := w.shares.Await(ctx, name, w.whole.Done()); v != nil || err != nil {
			return v, err
		}
	}
	if ctx.Err() != nil {
		return nil, contexts.CauseOf(ctx)
	}
	return nil, w.stopCause()
}

// askShared asks main for shared data.
func (w *Worker) askShared(name string) {
	w.link.Tell(link.Soon, &wire.Frame{Kind: wire.Share, ID: 1, Type: name})
}

// takeShared takes in what main tells of shared data. It runs on the goroutine that reads the wire.
func (w *Worker) takeShared(f *wire.Frame) error {
	var n shared.News
	if err := life.Unpack(f, &n); err != nil {
		return err
	}
	if f.ID == 0 {
		w.shares.Told(f.Type, n.Version)
		return nil
	}
	var failure error
	if n.Failure != "" {
		failure = w.recognise(unmarshalError([]byte(n.Failure)))
	}
	if !w.shares.Take(f.Type, &n, failure) {
		return lie("main sent shared data %q, which it was not asked for", f.Type)
	}
	return nil
}

// newOutlet returns where the shared data of this process comes from.
func newOutlet() *shared.Outlet {
	fd, _ := proc.TakeHanded(handedLane.key(""))
	return shared.NewOutlet(fd)
}
