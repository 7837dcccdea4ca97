package multiprolab

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/shared"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// scope is the context of a handler, task or action while it runs. It knows on which loop it runs:
// so a call or a task that is made and waited for inside it can say that the loop waits, too. It
// exists in the process of the function. Any goroutine may use a scope as a context.
type scope struct {
	// Function is the context. Its limit is the timeout of a task, the deadline of who waits for
	// the outcome, or WorkerConfig.HandlerTimeout.
	contexts.Function

	stage   *stage       // where the function runs; does not change
	work    work         // the message, call or task whose handler runs, or nil; set before the function runs
	outer   *scope       // the scope of the action that has called Receive, or nil; for the loop
	setup   bool         // the function is a setup function, whose context is a setupContext; does not change
	waits   atomic.Int32 // how many waits for other processes go on under the context, see stall
	running bool         // begin was called; for the loop
	// overdue tells main if the function goes on after WorkerConfig.HandlerTimeout, or is nil. It
	// is for the loop.
	overdue *time.Timer
	// holds is the shared data that the function has asked for; nil until it does.
	holds atomic.Pointer[shared.Holds[Shared]]
}

// work is what a scope runs: a *Message or a *Task. It exists in the process of the function.
type work interface {
	// kind returns whether it is a "call", a "message" or a "task", and its type.
	kind() (verb, typ string)
	// waiters returns the names of the processes that wait for its outcome, separated by commas.
	waiters() string
}

// stage is where the functions of a process run: what all its scopes have in common. It exists in
// main and in each worker. The fields without a remark do not change once the process handles
// messages, and any goroutine may read them.
type stage struct {
	values // how the process encodes and decodes
	// sending and handling are the middlewares of UseSend and of UseHandle. They guard themselves.
	sending, handling middlewares
	// host is the process, which is told of the waits under its scopes.
	host stageHost
	// current is the scope of what runs on the loop, or nil. The loop writes it; any goroutine may
	// read it.
	current        atomic.Pointer[scope]
	handlerTimeout time.Duration // WorkerConfig.HandlerTimeout, or 0
	// overdue tells main that the function of a scope has run for so long, which is too long. A
	// timer's goroutine calls it.
	overdue func(s *scope, d time.Duration)
}

// stageHost is the process of a stage. It exists in main and in each worker.
type stageHost interface {
	// stalled counts how many waits for other processes hold up the loop.
	stalled(by int)
	// waitsForNothing says that the loop goes on although calls and tasks of its function have no
	// outcome.
	waitsForNothing()
}

// scopeKey is the key under which a context has its scope.
type scopeKey struct{}

// setupContext is the context of a setup function. A wait under it, while the function runs, holds
// the worker up as it would in a handler. But the context ends only with the worker, because
// goroutines that the function has started may use it.
type setupContext struct {
	context.Context        // the context of the worker, which ends with it
	scope           *scope // the scope of the setup function; does not change
}

// Value returns the scope for its key, so that it is found from every context derived from this
// one.
func (c *setupContext) Value(key any) any {
	if key == (scopeKey{}) {
		return c.scope
	}
	return c.Context.Value(key)
}

// Value returns the scope for its key, so that it is found from every context derived from it.
func (s *scope) Value(key any) any {
	if key == (scopeKey{}) {
		return s
	}
	return s.Function.Value(key)
}

// enter makes the scope of a task or, if w is nil, of an action. A message has its scope in it.
func (st *stage) enter(ctx context.Context, w work) *scope {
	return &scope{Function: contexts.Function{Parent: ctx}, stage: st, work: w}
}

// leave notes that the function of the scope has returned, and ends its context.
func (s *scope) leave() {
	s.Return()
	if s.waits.Load() > 0 { // goroutines that the function has started go on waiting
		s.stage.host.waitsForNothing()
	}
	if s.running {
		s.stage.current.Store(s.outer)
	}
	if s.overdue != nil {
		s.overdue.Stop()
	}
	if h := s.holds.Load(); h != nil {
		h.Release()
	}
	s.End()
}

// scopeOf returns the scope that ctx belongs to, or nil if it belongs to none that still runs.
func scopeOf(ctx context.Context) *scope {
	if s := anyScopeOf(ctx); s != nil && !s.Over() {
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

// stall notes that the loop that ctx belongs to waits for another process, until the function that
// it returns is called. Meanwhile the inbox of the loop takes more than its window, up to a limit,
// so that two handlers that send to each other do not wait for each other. What is being handled
// takes no room either: it may be larger than half of the window.
func stall(ctx context.Context) func() {
	s := scopeOf(ctx)
	if s == nil {
		return func() {}
	}
	s.stage.host.stalled(1)
	if m, ok := s.work.(*Message); ok {
		m.giveBack()
	}
	s.waits.Add(1)
	return func() { s.waits.Add(-1); s.stage.host.stalled(-1) }
}

// chainOf returns the names of the processes that wait, or may wait, for what is done under ctx,
// separated by commas. The process of ctx is one of them. It returns "" if no loop waits.
func chainOf(ctx context.Context) string {
	s := scopeOf(ctx)
	if s == nil {
		return ""
	}
	chain := ""
	if s.work != nil {
		chain = s.work.waiters()
	}
	return meta.Longer(chain, s.stage.name())
}

// Correct implements outbox.Loop: it makes a call or a task say that no loop waits for it, if the
// function that it is made under has returned. If s is nil, it does nothing.
func (s *scope) Correct(f *wire.Frame) {
	if s == nil || !s.Over() {
		return
	}
	switch f.Kind {
	case wire.Call:
		f.Meta = ""
	case wire.Submit:
		if m, err := meta.Unmarshal(f.Meta); err == nil {
			m.Chain, m.Waits = "", false
			f.Meta = m.Marshal()
		}
	}
}

// goesOn is called after a call or a task of the function of the scope has said that the loop waits
// for it. If the function has returned meanwhile, goesOn says that the loop does not wait: leave
// cannot have said so of what was sent later. If s is nil, it does nothing.
func (s *scope) goesOn(up interface{ awaitsNoMore(id uint64) }, id uint64) {
	if s != nil && s.Over() {
		up.awaitsNoMore(id)
	}
}

// handlerGrace is the time between the end of a handler's context, by WorkerConfig.HandlerTimeout,
// and the kill.
const handlerGrace = time.Second

// begin notes that the function of the scope runs on the loop from now on.
func (s *scope) begin() {
	s.running = true
	s.outer = s.stage.current.Swap(s)
	s.Begin()
}

// limitTime limits the time of a function that is about to begin to WorkerConfig.HandlerTimeout, if
// there is one. A task is not limited in this way, because it has a Timeout of its own.
func (s *scope) limitTime() {
	st := s.stage
	limit := st.handlerTimeout
	if limit <= 0 {
		return
	}
	s.Limit = s.Limit.Sooner(time.Now().Add(limit), s.tooLong(limit))
	s.overdue = time.AfterFunc(limit+handlerGrace, func() {
		if !s.Over() {
			st.overdue(s, limit+handlerGrace)
		}
	})
}

// tooLongError is the cause of a context that ends by WorkerConfig.HandlerTimeout. It exists in the
// process of the function, and never changes.
type tooLongError struct {
	verb  string        // "call" or "message"; empty for an action
	typ   string        // the type of the call or message; empty for an action
	limit time.Duration // WorkerConfig.HandlerTimeout
}

// tooLong makes the tooLongError of a scope.
func (s *scope) tooLong(limit time.Duration) error {
	e := &tooLongError{limit: limit}
	if s.work != nil {
		e.verb, e.typ = s.work.kind()
	}
	return e
}

func (e *tooLongError) Error() string {
	what := "an action"
	if e.verb != "" {
		what = fmt.Sprintf("%s %q", e.verb, e.typ)
	}
	return fmt.Sprintf("multiprolab: %s ran past WorkerConfig.HandlerTimeout of %v: %v", what, e.limit,
		context.DeadlineExceeded)
}

func (e *tooLongError) Unwrap() error { return context.DeadlineExceeded }

// what says what runs in the scope, such as `task "thumbnail"`.
func (s *scope) what() string {
	if s.work == nil {
		return "an action"
	}
	verb, typ := s.work.kind()
	return fmt.Sprintf("%s %q", verb, typ)
}
