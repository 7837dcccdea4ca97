package multiprolab

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/shared"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the versions of shared data that main holds, and how they get to its workers.

// published is the shared data of a Main. It exists in main. Any goroutine may use it.
type published struct {
	mu     sync.Mutex                 // guards every other field
	now    map[string]*shared.Segment // the newest version of each name that is published
	last   map[string]uint64          // the number of the last version of each name; it never goes back
	asked  map[*peer]bool             // the lives of workers that have asked for something
	closed bool                       // the program has ended
}

// replace publishes another version of a name, or with nil none, and returns its number. It returns
// 0 if there was nothing to take away.
func (p *published) replace(name string, s *shared.Segment) (version uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.now[name]
	switch {
	case p.closed:
		if s != nil {
			s.Close()
		}
		return 0, ErrStopped
	case s == nil && old == nil:
		return 0, nil
	case s == nil:
		delete(p.now, name)
	default:
		if p.now == nil {
			p.now, p.last = map[string]*shared.Segment{}, map[string]uint64{}
		}
		p.now[name] = s
	}
	if old != nil {
		old.Close()
	}
	p.last[name]++
	return p.last[name], nil
}

// tell tells the workers that have asked for shared data that there is another version of it. The
// others ask before they use it.
func (p *published) tell(name string, version uint64) {
	p.mu.Lock()
	all := slices.Collect(maps.Keys(p.asked))
	p.mu.Unlock()
	for _, to := range all {
		if slices.Contains(to.slot().pool.cfg.Shared, name) {
			to.link.Tell(link.Soon, shareFrame(name, 0, &shareNews{Version: version}))
		}
	}
}

// pass passes the newest version of a name on to a worker, and returns what the worker is told.
func (p *published) pass(name string, to *peer) (*shareNews, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked == nil {
		p.asked = map[*peer]bool{}
	}
	p.asked[to] = true
	s := p.now[name]
	if s == nil {
		return nil, fmt.Errorf("nothing is published under this name: call Main.Publish before: %w", fs.ErrNotExist)
	}
	handle, err := to.lane.Pass(s)
	return &shareNews{Version: p.last[name], Size: s.Size(), Handle: handle}, err
}

// close gives everything up.
func (p *published) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for name, s := range p.now {
		s.Close()
		delete(p.now, name)
	}
}

// share answers a worker that asks for shared data. The worker is not trusted: it gets what its
// configuration names, and an error of share ends it.
func (p *published) share(to *peer, f *wire.Frame) error {
	news := &shareNews{}
	err := fmt.Errorf("name it in WorkerConfig.Shared: %w", fs.ErrPermission)
	if to.lane != nil && slices.Contains(to.slot().pool.cfg.Shared, f.Type) {
		news, err = p.pass(f.Type, to)
	}
	switch {
	case errors.Is(err, shared.ErrFull):
		return lie("it asked for shared data again and again, and did not take it")
	case err != nil:
		news = &shareNews{Failure: packedError(err)}
	}
	to.link.Tell(link.Soon, shareFrame(f.Type, f.ID, news))
	return nil
}

// openLane starts a worker with a lane, if its configuration names shared data.
func openLane(
	cfg *WorkerConfig, start func(more []proc.Handed) (*life.Process, error),
) (*life.Process, *shared.Lane, error) {
	if len(cfg.Shared) == 0 {
		b, err := start(nil)
		return b, nil, err
	}
	lane, theirs, err := shared.NewLane()
	if err != nil {
		return nil, nil, err
	}
	var more []proc.Handed
	if theirs != nil {
		defer theirs.Close() // the worker has its own by then
		more = append(more, proc.Handed{Name: handedLane.key(""), From: theirs})
	}
	b, err := start(more)
	if err != nil {
		lane.Close()
		return nil, nil, err
	}
	if err := lane.Bind(b.PID()); err != nil {
		fmt.Fprintf(os.Stderr, "multiprolab: worker process %d gets no shared data: %v\n", b.PID(), err)
	}
	return b, lane, nil
}

// leave closes the lane to a worker whose life has ended.
func (p *published) leave(of *peer) {
	if of.lane == nil {
		return
	}
	of.lane.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.asked, of)
}
