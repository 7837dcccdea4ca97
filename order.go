package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// This file is the order in which workers start and end, in main: each in its turn, what others
// need before them and after them.

// changes tells those who wait for a worker to come up or to go down that they should look again.
// It exists in main.
type changes struct {
	mu   sync.Mutex
	next chan struct{} // closed with the next change; nil: nobody waits
}

// announce wakes all who wait.
func (c *changes) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}

// wait returns when ok does not return errWait any more, with what it returns, or when ctx ends.
func (c *changes) wait(ctx context.Context, ok func() error) error {
	for {
		c.mu.Lock()
		if c.next == nil {
			c.next = make(chan struct{})
		}
		next := c.next // taken before the look, so that no change is missed
		c.mu.Unlock()
		if err := ok(); err != errWait {
			return err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return causeOf(ctx)
		}
	}
}

// errWait says that what one waits for may still come.
var errWait = errors.New("not yet")

// awaitTurn waits until a life of the instance may begin: those that were registered before have
// had their turn, the others that are restarted with it have ended, and what it needs is ready. It
// returns an error if that will never be, or s.stopping has ended.
func (s *slot) awaitTurn() error {
	if s.previous != nil {
		select {
		case <-s.previous.turn:
		case <-s.stopping.Done():
			return context.Cause(s.stopping)
		}
	}
	needs := s.pool.needs()
	if len(needs) == 0 && s.pool.group == nil {
		return nil
	}
	b := s.main.broker
	defer b.endWait(s.name, startWait)
	missing := "" // the instance that it waits for, as the broker knows it
	look := func() error {
		err := s.mayStart(needs)
		if first := s.main.firstMissing(needs); err == errWait && first != missing {
			missing = first
			b.waitToStart(s.name, first)
		}
		return err
	}
	for {
		shakes := s.shaken()
		if err := s.main.changes.wait(s.stopping, look); err != nil {
			return err
		}
		if s.settleDown(shakes) {
			return nil
		}
	}
}

// mayStart returns nil if a life of the instance may begin, errWait if not yet, and any other error
// if never.
func (s *slot) mayStart(needs []string) error {
	if g := s.pool.group; g != nil && s.disturbed() {
		for _, p := range g.members {
			if slices.ContainsFunc(p.list(), func(o *slot) bool { return o.disturbed() && o.busy() }) {
				return errWait
			}
		}
	}
	for _, name := range needs {
		err := s.main.pool(name).upOrGone()
		if err == errWait {
			s.hadTurn() // those behind it need not wait with it
		} else if err != nil {
			reason := fmt.Sprintf("it needs worker %q, which has ended for good", name)
			err = &StartError{Worker: s.name, Reason: reason, Err: err, permanent: true}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// upOrGone returns nil if every instance is ready that ever will be, errWait if one is not yet, and
// if none will be, why.
func (p *pool) upOrGone() error {
	for _, s := range p.list() {
		if !s.isUp() && s.alive() {
			return errWait
		}
	}
	return p.gone() // last: one that ends for good meanwhile is no longer alive
}

// firstMissing returns the name of the first instance of the pools that is not ready and may become
// so, or "".
func (m *Main) firstMissing(pools []string) string {
	for _, name := range pools {
		for _, s := range m.pool(name).list() {
			if !s.isUp() && s.alive() {
				return s.name
			}
		}
	}
	return ""
}

// hadTurn lets the instance that was registered next start.
func (s *slot) hadTurn() { s.turnOnce.Do(func() { close(s.turn) }) }

// dependents returns the instances that need this one.
func (s *slot) dependents() []*slot {
	var found []*slot
	for _, p := range s.main.pools {
		if slices.Contains(p.needs(), s.pool.name) {
			found = append(found, p.list()...)
		}
	}
	return found
}

// awaitDependents waits until those that need this instance have ended, or all are to be killed.
func (s *slot) awaitDependents() {
	for _, d := range s.dependents() {
		select {
		case <-d.ended:
		case <-s.main.killAsked:
			return
		}
	}
}

// endWorkers tells the workers to exit, in the reverse order of their registration. Those that
// others need are told later, by leadOut.
func (m *Main) endWorkers() {
	for _, p := range slices.Backward(m.pools) {
		for _, s := range slices.Backward(p.list()) {
			if p := s.running(); p != nil && len(s.dependents()) == 0 {
				p.tellExit(m.shutdownMode(), m.stopCause())
			}
			s.stop(m.stopCause())
		}
	}
	m.stop(m.stopCause())
	m.changes.announce()
}

// restartOthers ends the workers that share the fate of one that has failed; their supervisors
// start them again.
func (s *slot) restartOthers(why error) {
	g := s.pool.group
	others := g.others(s)
	if len(others) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.disturbed() {
		return // they are being restarted with it already
	}
	cause := &fellowError{s.name, why}
	s.disturb(nil)
	for _, o := range others {
		o.disturb(cause)
	}
	s.main.changes.announce()
}

// endOthers ends them for good.
func (s *slot) endOthers(why error) {
	for _, o := range s.pool.group.others(s) {
		o.leaving.Store(true)
		o.stop(&fellowError{s.name, why})
	}
}

// fellowError is why a worker was ended that has not failed itself.
type fellowError struct {
	worker string
	err    error
}

func (e *fellowError) Error() string {
	return fmt.Sprintf("multiprolab: worker %s of the same group failed: %s", e.worker, brief(e.err))
}

func (e *fellowError) Unwrap() []error { return []error{ErrStopped, e.err} }

// disturb marks an instance as one of those that start again together, and ends its present life if
// there is a cause.
func (s *slot) disturb(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shakes++
	s.up = false
	if cause == nil {
		return
	}
	s.shakenBy = cause
	if s.endLife != nil {
		s.endLife(cause)
	}
}

// disturbed reports whether the instance was disturbed since its last life began.
func (s *slot) disturbed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shakes != s.settled
}

// shaken returns how often it was disturbed.
func (s *slot) shaken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shakes
}

// settleDown forgets the disturbances that were before the look at the others, and reports whether
// those are all.
func (s *slot) settleDown(shakes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shakes == shakes {
		s.settled, s.starting = shakes, true
	}
	return s.shakes == shakes
}

// busy reports whether there is a life, or about to be one.
func (s *slot) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current != nil || s.starting
}

// notStarted notes that the life that was about to begin did not.
func (s *slot) notStarted() {
	s.mu.Lock()
	s.starting = false
	s.mu.Unlock()
	s.main.changes.announce()
}

// running returns the present life, or nil between two.
func (s *slot) running() *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

func (s *slot) isUp() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up
}

// setUp notes that the present life is ready.
func (s *slot) setUp() {
	s.mu.Lock()
	s.up = s.shakes == s.settled // else it is being ended again
	s.mu.Unlock()
	s.main.changes.announce()
}

// beginLife makes p the present life. Its context ends when it must be ended.
func (s *slot) beginLife(p *peer) (life context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.up, s.starting = p, false, false
	s.live.Store(p)
	life, s.endLife = context.WithCancelCause(s.stopping)
	if s.shakes != s.settled && s.shakenBy != nil { // in the moment of its start
		s.endLife(s.shakenBy)
	}
	return life
}

// finishLife notes that nothing is left of the present life.
func (s *slot) finishLife() {
	s.mu.Lock()
	s.current, s.up = nil, false
	s.live.Store(nil)
	s.endLife(nil)
	s.endLife = nil
	s.mu.Unlock()
	s.main.changes.announce()
}
