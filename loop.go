package multiprolab

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// action is a function that runs on a loop: at times, or on every turn.
type action struct {
	fn    func(ctx context.Context) error
	after time.Duration // from the start of the loop to the first time
	due   time.Time
	every time.Duration // zero: once
}

// loop is the life of a process after its set-up: handlers, tasks and actions take turns on one
// goroutine. There is one in main and one in each worker. It waits without a tick: for a message, a
// task, the next timer or the exit.
type loop struct {
	node *node
	task func(ctx context.Context) bool // works on one task, if there is one; nil in main
	// gets the error of an action, after which no other begins; nil: run returns the error
	fail func(err error)

	mu      sync.Mutex
	timers  []*action
	turns   []*action // run on every turn
	held    bool      // no action runs yet
	exiting bool
	mode    ShutdownMode
	over    atomic.Bool // ends at once, whatever waits; written under mu

	actions       context.Context // of the actions: ends at exit
	cancelActions context.CancelCauseFunc
}

// add registers an action: on every turn, or after a time, once or again and again.
func (l *loop) add(fn func(ctx context.Context) error, after, every time.Duration, turn bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &action{fn: fn, after: after, due: time.Now().Add(after), every: every}
	if turn {
		l.turns = append(l.turns, a)
	} else {
		l.timers = append(l.timers, a)
	}
	l.node.receiver.wakeLoop()
}

// startClocks makes the actions that were added before the loop count their time from now on.
func (l *loop) startClocks() {
	now := time.Now()
	for _, a := range l.timers {
		a.due = now.Add(a.after)
	}
}

// release lets the actions begin; their clocks start now.
func (l *loop) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
	l.startClocks()
	l.node.receiver.wakeLoop()
}

// exit makes run end: after the running handler, or when nothing is left to handle. Actions do not
// run any more.
func (l *loop) exit(mode ShutdownMode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exiting, l.mode = true, max(l.mode, mode)
	if mode != DrainQueue {
		l.over.Store(true)
	}
	if l.cancelActions != nil {
		l.cancelActions(ErrExit)
	}
	l.node.receiver.wakeLoop()
}

// hold lets no further action begin.
func (l *loop) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// stopActions ends the actions alone.
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

	defer context.AfterFunc(ctx, func() { l.node.receiver.wakeLoop() })()
	r := l.node.receiver
	for {
		if l.over.Load() {
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
		for range r.Len() { // those that are here now: an action has its turn before those that come meanwhile
			m, h := r.next()
			if m == nil || l.over.Load() {
				if m != nil {
					r.refuse(m, l.node.stopped())
				}
				break
			}
			r.handle(ctx, m, h)
			worked = true
		}
		if l.task != nil && !l.over.Load() && l.task(ctx) {
			worked = true
		}
		if worked {
			continue
		}
		l.node.up.idle()
		if spinning {
			continue
		}
		wait, draining := l.untilDue()
		if draining {
			if r.pending() {
				continue // it came after the look above, and before the exit
			}
			return nil
		}
		l.node.up.wait(ctx, wait)
	}
}

// act runs the actions that are due and those of every turn.
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
			if a.due = a.due.Add(a.every); !a.due.After(now) { // late by a whole interval: what was missed is left out
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
		s := l.node.enter(ctx, nil)
		s.begin()
		err := a.fn(s)
		if endedBy(ctx, err) {
			err = nil
		}
		if err != nil && l.fail != nil {
			l.hold()
			l.fail(err) // before the context of the action ends: who waits for that finds the exit requested
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

// untilDue returns the time until the next timer, or a negative one if there is none, and whether
// nothing is left to wait for.
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
