package shared

import (
	"context"
	"sync"
)

// Subscriber is the end of a Subscription in the process that maps the data: its Cache, and what it
// has asked for. Any goroutine may use it.
type Subscriber struct {
	Cache // what is mapped; it guards itself

	outlet *Outlet           // where the segments come from, or nil; for one goroutine, which calls Take
	tell   func(name string) // asks the Publisher for a name; it does not wait, and never changes

	askMu sync.Mutex // guards asked, and the fields waiters and held of every question
	asked *question  // what was asked for and has no answer, or nil
}

// question is something that was asked for. Its own fields do not change; the answer is written
// before done is closed, and read after that. It exists in the process of the Subscriber, whose
// askMu guards waiters and held.
type question struct {
	name    string        // what was asked for
	done    chan struct{} // closed when the answer is there
	version uint64        // the answer: the number of the version, or 0
	err     error         // the answer: why there is none, or nil
	waiters int           // how many calls wait for the answer, or have not looked at it
	held    *Version      // what keeps the answer mapped for the waiters, or nil
}

// NewSubscriber returns a Subscriber that takes segments from an outlet, and asks with tell.
func NewSubscriber(outlet *Outlet, tell func(name string)) *Subscriber {
	return &Subscriber{Cache: Cache{Unmap: Unmap}, outlet: outlet, tell: tell}
}

// Await asks for the newest version of a name, for Release to give back: for one thing at a time,
// because the Publisher does not let many lie in the lane. It returns nil and no error if ctx ends
// before the answer comes, or gone is closed.
func (s *Subscriber) Await(ctx context.Context, name string, gone <-chan struct{}) (v *Version, err error) {
	for over := false; v == nil && err == nil && !over; {
		q := s.ask(name)
		select {
		case <-q.done:
			v, err = s.look(q, name)
		case <-ctx.Done():
			over = true
		case <-gone:
			over = true
		}
		s.leave(q)
	}
	return v, err
}

// ask asks for a name, unless an earlier question has no answer. It returns the question that has
// none. The caller leaves it in the end.
func (s *Subscriber) ask(name string) *question {
	s.askMu.Lock()
	defer s.askMu.Unlock()
	if s.asked == nil {
		s.asked = &question{name: name, done: make(chan struct{})}
		s.tell(name)
	}
	s.asked.waiters++
	return s.asked
}

// look returns a version of a name that will do once a question has its answer. It returns nil if
// the answer is one to another question.
func (s *Subscriber) look(q *question, name string) (*Version, error) {
	switch {
	case q.name != name:
		return s.Use(name, 0), nil
	case q.err != nil:
		return nil, q.err
	}
	if v := s.Use(name, q.version); v != nil {
		return v, nil
	}
	s.askMu.Lock() // there is a newer version already, which is not mapped
	defer s.askMu.Unlock()
	if q.held != nil {
		s.Again(q.held)
	}
	return q.held, nil
}

// Take takes in the answer to a question, which comes as News or as an error. It returns false if
// nobody has asked for the name, or if a version comes where there is no lane.
func (s *Subscriber) Take(name string, n *News, failure error) bool {
	s.askMu.Lock()
	defer s.askMu.Unlock()
	q := s.asked
	if q == nil || q.name != name || failure == nil && s.outlet == nil {
		return false
	}
	if q.err = failure; failure == nil {
		var memory []byte
		if memory, q.err = s.outlet.Map(n.Handle, n.Size); q.err == nil {
			s.Add(name, n.Version, memory)
			q.version, q.held = n.Version, s.Use(name, n.Version)
		}
	}
	s.asked = nil
	if q.waiters == 0 {
		s.letGo(q)
	}
	close(q.done)
	return true
}

// leave notes that a call does not wait for the answer any more. What was mapped for nobody else,
// and is not the newest version any more, is given back.
func (s *Subscriber) leave(q *question) {
	s.askMu.Lock()
	defer s.askMu.Unlock()
	if q.waiters--; q.waiters == 0 {
		s.letGo(q)
	}
}

// letGo gives back what is held for the waiters of a question. The caller holds askMu.
func (s *Subscriber) letGo(q *question) {
	if q.held != nil {
		s.Release(q.held)
		q.held = nil
	}
}
