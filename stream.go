package multiprolab

import (
	"context"
	"fmt"
	"iter"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// This file is tasks whose result comes in pieces, for their handlers and for their submitters.

// HandleStream registers the handler of the tasks of a type whose result comes in pieces: each
// piece that fn yields goes to the submitter, which takes them with [Stream]. If the submitter
// takes them more slowly than fn yields, yield waits. The first error that fn yields ends the task,
// as the error of any handler does; so does the end of ctx, when nobody takes pieces any more. It
// panics if the type has a handler already.
//
// While yield waits, the worker does nothing else, and the timeout of the task runs on. When the
// worker that submitted the task has died, nobody takes pieces any more, and ctx ends, too.
//
// At the end of the program, ctx does not end by itself: a stream that has no end of its own runs
// until its range is left or, Config.ShutdownTimeout after the exit message, SIGTERM ends the
// worker's process, in the middle of fn, and the range ends with a *WorkerDiedError. With
// [DrainQueue] the exit message comes only after Config.DrainTimeout, so set one; with [KillAll]
// the process ends at once. With Config.InProcess, ctx ends in place of the process. So leave the
// range, or end its ctx, before or when the program ends.
func HandleStream[T, R any](w *Worker, typ string, fn func(ctx context.Context, body T) iter.Seq2[R, error]) {
	if fn == nil {
		registrationPanic("the handler of task type %q is nil (%s)", typ, callSite())
	}
	one := func(ctx context.Context, t *Task) (any, error) {
		var body T
		if err := t.beginPieces(); err != nil {
			return nil, err
		}
		if err := t.Decode(&body); err != nil {
			return nil, err
		}
		for piece, err := range fn(ctx, body) {
			switch {
			case err != nil:
			case ctx.Err() != nil: // nobody takes the piece
				err = contexts.CauseOf(ctx)
			default:
				err = t.report(ctx, piece)
			}
			if err != nil {
				return nil, err
			}
		}
		return streamEnd{EndOfPieces: true}, nil
	}
	w.inbox.register(typ, one, callSite(), w.ready)
}

// Stream puts a task into the queue whose handler yields its result in pieces, see [HandleStream],
// and ranges over the pieces, in order. Each range is a task of its own. To leave the range, or the
// end of ctx, cancels the task.
//
// The last step of the range, unless the task is done, is the one error that is the task's outcome,
// after all pieces that came before: a worker that dies in the middle ends it with a
// *WorkerDiedError. If the task has more TaskOptions.Attempts, or the handler puts it off with
// [RetryAfter], it begins with the first piece again, and the range is told before by a
// *RestartedError, which is not the last step: what came before is to be thrown away, or the range
// to be left.
//
// A handler that yields faster than the range takes its pieces waits: with its messages, they take
// Config.Window at most, in main and in a worker that submits. So the body of the range must not
// wait for what only the same worker can do, unless the pieces are few: that worker is at the
// stream until all have been yielded. The pieces take the place of reports of Progress:
// TaskOptions.OnProgress must be nil.
func Stream[R any](ctx context.Context, p Process, typ string, body any, o *TaskOptions) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		var none R
		left := false
		err := p.self().stream(ctx, typ, body, o, func(m *Message, attempt int) (more bool, err error) {
			if m == nil {
				left = !yield(none, &RestartedError{Type: typ, Attempt: attempt})
				return !left, nil
			}
			var piece R
			if err := m.Decode(&piece); err != nil {
				return false, err
			}
			left = !yield(piece, nil)
			return !left, nil
		})
		if err != nil && !left {
			yield(none, err)
		}
	}
}

// RestartedError tells who ranges over a Stream that another attempt at the task has begun: the
// pieces come from the first one on again.
type RestartedError struct {
	Type    string // the type of the task
	Attempt int    // the number of the new attempt, from 2; here one that RetryAfter has put off counts, too
}

func (e *RestartedError) Error() string {
	return fmt.Sprintf("multiprolab: task %q begins again, with attempt %d: what came before is void",
		e.Type, e.Attempt)
}

// stream submits a task and hands its pieces to take, one after the other, until take wants no more
// or fails. A nil piece says that another attempt has begun. It returns the error of take, or that
// of the outcome.
func (n *node) stream(
	ctx context.Context, typ string, body any, o *TaskOptions, take func(m *Message, attempt int) (bool, error),
) error {
	if o != nil && o.OnProgress != nil {
		return &ConfigError{"TaskOptions.OnProgress", "a function", "a Stream has pieces, and no reports: leave it nil"}
	}
	if n.sending.none() {
		return n.streamNow(ctx, typ, body, o, take)
	}
	op, begun := n.leaving("task", "", typ, body), false
	return n.sending.through(ctx, op, func(ctx context.Context, op *Operation) error {
		if begun {
			return secondNext("task", typ)
		}
		with, err := o.with(op)
		if err != nil {
			return err
		}
		begun = true
		return n.streamNow(ctx, typ, body, with, take)
	})
}

// streamNow is stream behind the middlewares.
func (n *node) streamNow(
	ctx context.Context, typ string, body any, o *TaskOptions, take func(m *Message, attempt int) (bool, error),
) error {
	p, err := n.encode("", typ, body)
	if err != nil {
		return err
	}
	s, err := n.submitPayload(ctx, typ, p, o, (*submission).collect, true, true)
	if err != nil {
		return err
	}
	defer s.abandon(ctx)
	attempt := 1
	for {
		m, err := s.nextPiece(ctx)
		if err != nil {
			return err
		}
		now := attempt
		if m != nil {
			m.leaveInbox()
			now = int(m.attempt)
		} else if err = n.endOfPieces(typ, s.outcome); overtaken(ctx, err) {
			return fmt.Errorf("multiprolab: task %q: %w", typ, contexts.CauseOf(ctx))
		} else if err != nil {
			return err
		} else {
			now = int(s.outcome.run)
		}
		if now > attempt {
			attempt = now
			if more, err := take(nil, attempt); !more {
				return err
			}
		}
		if m == nil {
			return nil
		}
		if more, err := take(m, attempt); !more {
			return err
		}
	}
}

// collect makes a submission that of a stream, before anybody else can find it.
func (s *submission) collect() {
	s.streams, s.news = true, make(chan struct{}, 1)
	s.listen(1)
}

// nextPiece returns the next piece, or nil if the outcome is there and no piece is left.
func (s *submission) nextPiece(ctx context.Context) (*Message, error) {
	for {
		ended := goroutine.Closed(s.done) // before the look at the pieces, all of which come before the outcome
		if !ended && ctx.Err() != nil {
			return nil, fmt.Errorf("multiprolab: task %q: %w", s.typ, contexts.CauseOf(ctx))
		}
		if m := s.pop(); m != nil || ended {
			return m, nil
		}
		s.awaitPiece(ctx)
	}
}

// awaitPiece waits until there may be something new, or until ctx ends.
func (s *submission) awaitPiece(ctx context.Context) {
	defer stall(ctx)()
	select {
	case <-s.news:
	case <-s.done:
	case <-ctx.Done():
	}
}

// abandon cancels the task unless it has ended, and wants no more pieces.
func (s *submission) abandon(ctx context.Context) {
	switch {
	case goroutine.Closed(s.done):
	case ctx.Err() != nil:
		s.giveUp(ctx)
	default:
		s.cancel()
	}
	s.discard()
}

// pop takes the first piece, or returns nil if there is none.
func (r *taskReports) pop() *Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, _ := r.reports.Pop()
	return m
}

// discard drops the pieces that have come, and those that will.
func (r *taskReports) discard() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for m, ok := r.reports.Pop(); ok; m, ok = r.reports.Pop() {
		m.leaveInbox()
	}
}
