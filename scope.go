package multiprolab

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/ablate"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// scope is the context of a handler, task or action while it runs. It knows on which loop it runs,
// so that what waits for another process inside it can say that the loop waits too. It exists in
// the process of the function; what most functions never use, the machinery of a context that can
// end, is made when it is first asked for.
type scope struct {
	parent  context.Context
	node    *node
	msg     *Message
	task    *Task
	outer   *scope       // that runs meanwhile
	setup   bool         // it is of a setup function, and has no context of its own
	waits   atomic.Int32 // see stall
	over    atomic.Bool  // it has returned; the loop does not wait any more
	running bool         // on the loop, see begin
	limit   *timeLimit   // of the context, or nil; set before the function runs
	overdue *time.Timer  // tells main of a function that ignores its WorkerConfig.HandlerTimeout; or nil. The loop's
	end     atomic.Pointer[ending]
}

// ending is how the context of a scope ends.
type ending struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	stop   context.CancelFunc // gives up the timer of the limit; or nil
}

type scopeKey struct{}

// setupContext is the context of a setup function. What waits under it while the function runs
// holds the worker up as a handler would; it ends with the worker, for goroutines may have it from
// there.
type setupContext struct {
	context.Context
	scope *scope
}

// Value makes the scope findable from every context derived from it.
func (c *setupContext) Value(key any) any {
	if key == (scopeKey{}) {
		return c.scope
	}
	return c.Context.Value(key)
}

// ending returns how the context ends, which it makes if need be.
func (s *scope) ending() *ending {
	if e := s.end.Load(); e != nil {
		return e
	}
	e := &ending{}
	e.ctx, e.cancel = context.WithCancelCause(s.parent)
	if l := s.limit; l != nil {
		e.ctx, e.stop = context.WithDeadlineCause(e.ctx, l.due, l.cause) // which ends with cancel, too
	}
	if !s.end.CompareAndSwap(nil, e) {
		e.cancel(nil) // nobody has it
		return s.end.Load()
	}
	if s.over.Load() { // leave may not have seen it
		e.cancel(nil)
	}
	return e
}

// cancel ends the context.
func (s *scope) cancel(cause error) { s.ending().cancel(cause) }

// Deadline is when the function must have returned, at the latest: the timeout of a task, the
// deadline of who waits for the outcome, or WorkerConfig.HandlerTimeout.
func (s *scope) Deadline() (deadline time.Time, ok bool) {
	deadline, ok = s.parent.Deadline()
	if l := s.limit; l != nil && (!ok || l.due.Before(deadline)) {
		return l.due, true
	}
	return deadline, ok
}

// Done returns a channel that is closed when the function has returned, or must end.
func (s *scope) Done() <-chan struct{} { return s.ending().ctx.Done() }

// Err says whether Done is closed, and why.
func (s *scope) Err() error {
	if e := s.end.Load(); e != nil {
		return e.ctx.Err()
	}
	if s.over.Load() {
		return context.Canceled
	}
	if s.limit != nil {
		return s.ending().ctx.Err()
	}
	return s.parent.Err()
}

// Value makes the scope findable from every context derived from it.
func (s *scope) Value(key any) any {
	if key == (scopeKey{}) {
		return s
	}
	// context.Cause asks for the cause with a key of its own, which the context of ending answers.
	return s.ending().ctx.Value(key)
}

// chain returns the processes that wait for what the scope is of, separated by commas.
func (s *scope) chain() string {
	switch {
	case s.msg != nil:
		return s.msg.chain
	case s.task != nil:
		return s.task.chain
	}
	return ""
}

// enter makes the scope of a task or an action. That of a message is part of it.
func (n *node) enter(ctx context.Context, t *Task) *scope {
	return &scope{parent: ctx, node: n, task: t}
}

func (s *scope) leave() {
	s.over.Store(true)
	if s.waits.Load() > 0 { // of goroutines that go on
		s.node.up.waitsForNothing()
	}
	if s.running {
		s.node.current.Store(s.outer)
	}
	if s.overdue != nil {
		s.overdue.Stop()
	}
	if e := s.end.Load(); e != nil {
		e.cancel(nil)
	}
}

// scopeOf returns the scope that ctx belongs to, or nil if it belongs to none that still runs.
func scopeOf(ctx context.Context) *scope {
	if s := anyScopeOf(ctx); s != nil && !s.over.Load() {
		return s
	}
	return nil
}

// anyScopeOf returns the scope that ctx belongs to, also if its function has returned; or nil.
func anyScopeOf(ctx context.Context) *scope {
	s, ok := ctx.(*scope)
	if !ok {
		s, _ = ctx.Value(scopeKey{}).(*scope)
	}
	return s
}

// correct makes a call or a task say that no loop waits for it, if the function has returned that
// it is made under. Of no scope, there is nothing to correct.
func (s *scope) correct(f *wire.Frame) {
	if s == nil || !s.over.Load() {
		return
	}
	switch f.Kind {
	case wire.Call:
		f.Meta = ""
	case wire.Submit:
		if m, err := unmarshalTaskMeta(f.Meta); err == nil {
			m.Chain, m.Waits = "", false
			f.Meta = m.marshal()
		}
	}
}

// handlerGrace is the time between the end of a handler's context, by WorkerConfig.HandlerTimeout,
// and the kill.
const handlerGrace = time.Second

// begin notes that the function of the scope runs on the loop from now on, and limits its time if
// it is not a task.
func (s *scope) begin() {
	n := s.node
	s.running = true
	s.outer = n.current.Swap(s)
	if ablate.Without(ablate.Contexts) {
		s.ending()
	}
	if limit := n.handlerTimeout; limit > 0 && s.task == nil {
		s.limit = s.limit.sooner(time.Now().Add(limit), s.tooLong(limit))
		s.overdue = time.AfterFunc(limit+handlerGrace, func() {
			if !s.over.Load() {
				n.overdue(s, limit+handlerGrace)
			}
		})
	}
}

// tooLongError is the cause of a context that ends by WorkerConfig.HandlerTimeout. It exists in the
// process of the function.
type tooLongError struct {
	verb, typ string // see what
	limit     time.Duration
}

func (s *scope) tooLong(limit time.Duration) error {
	e := &tooLongError{limit: limit}
	if s.msg != nil {
		e.verb, e.typ = s.msg.verb(), s.msg.Type
	}
	return e
}

func (e *tooLongError) Error() string {
	what := "an action"
	if e.verb != "" {
		what = fmt.Sprintf("%s %q", e.verb, e.typ)
	}
	return fmt.Sprintf(
		"multiprolab: %s ran past WorkerConfig.HandlerTimeout of %v: %v",
		what,
		e.limit,
		context.DeadlineExceeded,
	)
}

func (e *tooLongError) Unwrap() error { return context.DeadlineExceeded }

// verb says whether it is a call or a message.
func (m *Message) verb() string {
	if m.reply != nil {
		return "call"
	}
	return "message"
}

// what says what the scope is of.
func (s *scope) what() string {
	switch {
	case s.task != nil:
		return fmt.Sprintf("task %q", s.task.Type)
	case s.msg != nil:
		return fmt.Sprintf("%s %q", s.msg.verb(), s.msg.Type)
	}
	return "an action"
}

// nearTime is by how much the deadline of a function may come later in its own process than where
// it was set. That one's clock does not tell.
const nearTime = 100 * time.Millisecond

// expire ends the context because its deadline has passed where it was set. Here it comes by
// itself, in the next moment: then the context says of itself that its deadline has passed.
func (s *scope) expire() {
	if s.limit == nil || time.Until(s.limit.due) > nearTime {
		s.cancel(context.DeadlineExceeded)
	}
}

// giveUp ends the context because nobody waits for the function any more: since the deadline has
// passed, if soft is set.
func (s *scope) giveUp(soft bool, cause error) {
	if soft {
		s.expire()
	} else {
		s.cancel(cause)
	}
}
