package shared

import (
	"errors"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// These are the errors of a subscriber that asks for what it cannot have.
var (
	ErrNotAllowed   = errors.New("the subscription does not have this name")
	ErrNotPublished = errors.New("nothing is published under this name")
)

// News is what a subscriber is told of a name: in an answer which version is in its lane, or why
// none is; otherwise which version there is now.
type News struct {
	Version uint64 // the number of the version
	Size    int64  // its size in bytes
	Handle  uint64 // where Outlet.Map finds it
	Failure string // why there is none, in a form that is not this package's; empty if there is one
}

// Pack describes the layout.
func (n *News) Pack(p *pack.Packing) {
	version, handle := int64(n.Version), int64(n.Handle)
	pack.Number(p, &version)
	pack.Number(p, &n.Size)
	pack.Number(p, &handle)
	pack.Text(p, &n.Failure)
	n.Version, n.Handle = uint64(version), uint64(handle)
}

// Publisher is the versions that one process has published, and who is told of them. It exists in
// that process. Any goroutine may use it.
type Publisher struct {
	mu     sync.Mutex             // guards every other field
	now    map[string]*Segment    // the newest version of each name that is published
	last   map[string]uint64      // the number of the last version of each name; it never goes back
	asked  map[*Subscription]bool // those that have asked for something
	closed bool                   // nothing is published any more
}

// Subscription is a process that may ask a Publisher for data, in the process of the Publisher. It
// does not change but for its end, which the Publisher's mu guards.
type Subscription struct {
	Lane  *Lane                      // the way of segments to the process; it guards itself
	Names []string                   // what the process may ask for
	Tell  func(name string, n *News) // tells the process of a version; it does not wait

	left bool // Leave was called
}

// Replace makes s the next version of a name, or with nil the one that is no more, and returns its
// number. It returns 0 if there was nothing to take away, and after Close, when it closes s.
func (p *Publisher) Replace(name string, s *Segment) (version uint64) {
	version, all := p.replace(name, s)
	for _, to := range all { // the others ask before they use it
		if slices.Contains(to.Names, name) {
			to.Tell(name, &News{Version: version})
		}
	}
	return version
}

// replace does what Replace says, and returns those that have asked for something.
func (p *Publisher) replace(name string, s *Segment) (version uint64, all []*Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.now[name]
	switch {
	case p.closed:
		if s != nil {
			s.Close()
		}
		return 0, nil
	case s == nil && old == nil:
		return 0, nil
	case s == nil:
		delete(p.now, name)
	default:
		if p.now == nil {
			p.now, p.last = map[string]*Segment{}, map[string]uint64{}
		}
		p.now[name] = s
	}
	if old != nil {
		old.Close()
	}
	p.last[name]++
	return p.last[name], slices.Collect(maps.Keys(p.asked))
}

// Pass passes the newest version of a name on to a process, and returns what the process is to be
// told. The process is not trusted: it gets what its subscription names, and nothing if that is
// nil. The error may be ErrNotAllowed, ErrNotPublished or ErrFull, and os.ErrClosed after Leave.
func (p *Publisher) Pass(name string, to *Subscription) (*News, error) {
	if to == nil || !slices.Contains(to.Names, name) {
		return nil, ErrNotAllowed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if to.left {
		return nil, os.ErrClosed
	}
	if p.asked == nil {
		p.asked = map[*Subscription]bool{}
	}
	p.asked[to] = true
	s := p.now[name]
	if s == nil {
		return nil, ErrNotPublished
	}
	handle, err := to.Lane.Pass(s)
	return &News{Version: p.last[name], Size: s.Size(), Handle: handle}, err
}

// Leave ends a subscription, which may be nil, and closes its lane.
func (p *Publisher) Leave(of *Subscription) {
	if of == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	of.left = true
	of.Lane.Close()
	delete(p.asked, of)
}

// Close gives everything up.
func (p *Publisher) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for name, s := range p.now {
		s.Close()
		delete(p.now, name)
	}
}
