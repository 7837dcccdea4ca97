package multiprolab

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// action is a function that runs on a loop: at some times, or on every turn. It exists in main or
// in a worker; loop.mu guards it.
type action struct {
	fn    func(ctx context.Context) error // the function; does not change
	after time.Duration                   // from the start of the loop to the first time; does not change
	due   time.Time                       // when the function runs next
	every time.Duration                   // the time between two runs; zero means only one run; does not change
}

// loop is the life of a process after its set-up: handlers, tasks and actions take turns on one
// goroutine. There is one in main and one in each worker. It waits without a tick: for a message, a
// task, the next timer or the exit.
type loop struct {
	// receiver has the messages of the process, their handlers, and what wakes the loop. It does
	// not change.
	receiver *MessageReceiver
	// stopped returns the error, which matches ErrStopped, of everything that comes too late. It
	// does not change once the loop runs. Any goroutine may call it.
	stopped func() error
	// task works on one task, and reports whether there was one; it is nil in main. It does not
	// change. The goroutine of the loop calls it.
	task func(ctx context.Context) bool
	// fail gets the error of an action, after which no other action begins. If it is nil, run
	// returns the error. It does not change. The goroutine of the loop calls it.
	fail func(err error)

	mu      sync.Mutex   // guards timers, turns, held, exiting, mode, actions and cancelActions
	timers  []*action    // the actions that run at some times
	turns   []*action    // the actions that run on every turn
	held    bool         // no action may begin
	exiting bool         // exit was called
	mode    ShutdownMode // the greatest mode that exit was called with
	atOnce  atomic.Bool  // run returns at once, whatever waits; written under mu, read by any goroutine

	actions       context.Context         // the context of the actions, which ends at exit; nil before run
	cancelActions context.CancelCauseFunc // ends actions; nil before run
}

// add registers an action: it runs on every turn, or after a time, once or again and again.
func (l *loop) add(fn func(ctx context.Context) error, after, every time.Duration, turn bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &action{fn: fn, after: after, due: time.Now().Add(after), every: every}
	if turn {
		l.turns = append(l.turns, a)
	} else {
		l.timers = append(l.timers, a)
	}
	l.receiver.wakeLoop()
}

// startClocks makes the actions that were added before the loop count their time from now on. The
// caller holds mu.
func (l *loop) startClocks() {
	now := time.Now()
	for _, a := range l.timers {
		a.due = now.Add(a.after)
	}
}

// release lets the actions begin. Their times count from now on.
func (l *loop) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
	l.startClocks()
	l.receiver.wakeLoop()
}

// exit makes run return: after the running handler or, with DrainQueue, when nothing is left to
// handle. Actions do not run any more.
func (l *loop) exit(mode ShutdownMode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exiting, l.mode = true, max(l.mode, mode)
	if mode != DrainQueue {
		l.atOnce.Store(true)
	}
	if l.cancelActions != nil {
		l.cancelActions(ErrExit)
	}
	l.receiver.wakeLoop()
}

// hold lets no further action begin.
func (l *loop) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// stopActions ends the actions, and nothing else.
func (l *loop) stopActions(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
	if l.cancelActions != nil {
		l.cancelActions(cause)
	}
}

// run is the loop. It returns nil after exit, the first error of an action, or the cause of ctx.
func (l *loop) run(ctx context.Context) error {
	l.mu.Lock()
	l.actions, l.cancelActions = context.WithCancelCause(ctx)
	if l.exiting {
		l.cancelActions(ErrExit)
	}
	if !l.held {
		l.startClocks()
	}
	l.mu.Unlock()
	defer l.cancelActions(ErrExit)

	r := l.receiver
	defer context.AfterFunc(ctx, r.wakeLoop)()
	for {
		if l.atOnce.Load() {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		worked := false
		for fn, ok := r.nextUrgent(); ok; fn, ok = r.nextUrgent() {
			fn()
			worked = true
		}
		acted, spinning, err := l.act()
		if err != nil {
			return err
		}
		worked = worked || acted
		for range r.Len() { // the messages that are here now: actions have their turn before later messages
			m, h := r.next()
			if m == nil || l.atOnce.Load() {
				if m != nil {
					r.leaveBehind(m, l.stopped())
				}
				break
			}
			r.handle(ctx, m, h)
			worked = true
		}
		if l.task != nil && !l.atOnce.Load() && l.task(ctx) {
			worked = true
		}
		if worked {
			continue
		}
		r.up.idle()
		if spinning {
			continue
		}
		wait, draining := l.untilDue()
		if draining {
			if r.pending() {
				continue // a message came after the loop had looked, and before the exit
			}
			return nil
		}
		r.up.wait(ctx, wait)
	}
}

// act runs the actions that are due, and those of every turn. It reports whether a due action ran,
// and whether there are actions of every turn.
func (l *loop) act() (acted, spinning bool, err error) {
	l.mu.Lock()
	if l.held || l.exiting || len(l.timers)+len(l.turns) == 0 {
		l.mu.Unlock()
		return false, false, nil
	}
	var due []*action
	if len(l.timers) > 0 {
		now := time.Now()
		l.timers = slices.DeleteFunc(l.timers, func(a *action) bool {
			if a.due.After(now) {
				return false
			}
			due = append(due, a)
			if a.every == 0 {
				return true
			}
			if a.due = a.due.Add(a.every); !a.due.After(now) { // a whole interval late: missed runs are left out
				a.due = now.Add(a.every)
			}
			return false
		})
	}
	acted = len(due) > 0
	due = append(due, l.turns...)
	spinning = len(l.turns) > 0
	ctx := l.actions
	l.mu.Unlock()
	for _, a := range due {
		if ctx.Err() != nil {
			break
		}
		s := l.receiver.stage.enter(ctx, nil)
		s.limitTime()
		s.begin()
		err := a.fn(s)
		if endedBy(ctx, err) {
			err = nil
		}
		if err != nil && l.fail != nil {
			l.hold()
			l.fail(err) // before the action's context ends: who waits for its end then finds the exit requested
		}
		s.leave()
		switch {
		case err == nil:
		case l.fail == nil:
			return true, spinning, err
		default:
			return true, false, nil
		}
	}
	return acted, spinning, nil
}

// endedBy reports whether err says no more than that exit was requested.
func endedBy(ctx context.Context, err error) bool {
	return ctx.Err() != nil &&
		(errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)) || errors.Is(err, ErrStopped))
}

// untilDue returns the time until the next action is due, or a negative time if there is none, and
// whether exit was called, so that the loop does not wait any more.
func (l *loop) untilDue() (wait time.Duration, draining bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.exiting {
		return -1, true
	}
	if l.held || len(l.timers) == 0 {
		return -1, false
	}
	first := slices.MinFunc(l.timers, func(a, b *action) int { return a.due.Compare(b.due) })
	return max(0, time.Until(first.due)), false
}
