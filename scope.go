package multiprolab

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// scope is the context of a handler, task or action while it runs. It knows on which loop it runs, so that what waits for
// another process inside it can say that the loop waits too. It exists in the process of the function; what most functions never use, the
// machinery of a context that can end, is made when it is first asked for.
type scope struct {
	parent context.Context
	node   *node
	msg    *Message
	task   *Task
	chain  string
	over   atomic.Bool // it has returned; the loop does not wait any more

	running bool        // on the loop, see begin
	outer   *scope      // that runs meanwhile
	timer   *time.Timer // of WorkerConfig.HandlerTimeout

	mu    sync.Mutex
	own   context.Context // nil until it is asked for
	end   context.CancelCauseFunc
	ended bool // before it was asked for
	cause error
}

type scopeKey struct{}

// context returns the context that the scope stands for.
func (s *scope) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == nil {
		s.own, s.end = context.WithCancelCause(s.parent)
		if s.ended {
			s.end(s.cause)
		}
	}
	return s.own
}

// cancel ends the context.
func (s *scope) cancel(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.own != nil:
		s.end(cause)
	case !s.ended:
		s.ended, s.cause = true, cause
	}
}

// Deadline is that of the process, which has none.
func (s *scope) Deadline() (deadline time.Time, ok bool) { return s.parent.Deadline() }

// Done returns a channel that is closed when the function has returned, or must end.
func (s *scope) Done() <-chan struct{} { return s.context().Done() }

// Err says whether Done is closed, and why.
func (s *scope) Err() error {
	s.mu.Lock()
	own, ended := s.own, s.ended
	s.mu.Unlock()
	switch {
	case own != nil:
		return own.Err()
	case ended:
		return context.Canceled
	}
	return s.parent.Err()
}

// Value makes the scope findable from every context derived from it.
func (s *scope) Value(key any) any {
	if key == (scopeKey{}) {
		return s
	}
	return s.context().Value(key) // its own, for context.Cause asks in this way
}

// enter makes the scope of a handler, task or action.
func (n *node) enter(ctx context.Context, m *Message, t *Task, chain string) *scope {
	return &scope{parent: ctx, node: n, msg: m, task: t, chain: chain}
}

func (s *scope) leave() {
	s.over.Store(true)
	if s.running {
		s.node.current.Store(s.outer)
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	s.cancel(nil)
}

// scopeOf returns the scope that ctx belongs to, or nil if it belongs to none that still runs.
func scopeOf(ctx context.Context) *scope {
	s, ok := ctx.(*scope)
	if !ok {
		s, _ = ctx.Value(scopeKey{}).(*scope)
	}
	if s == nil || s.over.Load() {
		return nil
	}
	return s
}
