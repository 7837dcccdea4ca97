package multiprolab

import (
	"cmp"
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how what a process sends goes through the middlewares of UseSend, in main and in
// workers.

// leaving returns what the middlewares see of something that the process sends.
func (n *node) leaving(kind, receiver, typ string, body any) *Operation {
	return &Operation{Kind: kind, Type: typ, Sender: n.name(), Receiver: receiver, Body: body}
}

// send sends a one-way message, or a broadcast if flags say so.
func (n *node) send(ctx context.Context, flags wire.Flags, receiver, typ string, body any) error {
	if n.sending.none() {
		return n.post(ctx, flags, receiver, typ, body, "")
	}
	op := n.leaving("message", receiver, typ, body)
	return n.sending.through(ctx, op, func(ctx context.Context, op *Operation) error {
		header, err := op.packed()
		if err != nil {
			return err
		}
		return n.post(ctx, flags, receiver, typ, body, header)
	})
}

// call sends a call, waits for its outcome and decodes it into the value that out points to.
func (n *node) call(ctx context.Context, receiver, typ string, body, out any) error {
	if n.sending.none() {
		return n.ask(ctx, receiver, typ, body, out, "")
	}
	op := n.leaving("call", receiver, typ, body)
	return n.sending.through(ctx, op, func(ctx context.Context, op *Operation) error {
		header, err := op.packed()
		if err != nil {
			return err
		}
		return n.ask(ctx, receiver, typ, body, out, header)
	})
}

// submit puts a task into the queue. With try set it does not wait while the queue is full.
func (n *node) submit(ctx context.Context, typ string, body any, o *TaskOptions, try bool) (*submission, error) {
	if n.sending.none() {
		return n.put(ctx, typ, body, o, try, false)
	}
	return n.submitThrough(ctx, typ, body, o, try)
}

// submitThrough is submit if there are middlewares.
func (n *node) submitThrough(
	ctx context.Context, typ string, body any, o *TaskOptions, try bool,
) (s *submission, err error) {
	op := n.leaving("task", "", typ, body)
	err = n.sending.through(ctx, op, func(ctx context.Context, op *Operation) error {
		with, err := o.with(op)
		if err == nil {
			s, err = n.put(ctx, typ, body, with, try, false)
		}
		return err
	})
	switch {
	case err != nil && s != nil: // nobody will have it
		s.cancel()
		return nil, err
	case err == nil && s == nil:
		err = fmt.Errorf("multiprolab: task %q was not submitted: a middleware has returned no error, and no task", typ)
	}
	return s, err
}

// do puts a task into the queue, waits for its outcome and decodes it into the value that out
// points to.
func (n *node) do(ctx context.Context, typ string, body any, o *TaskOptions, out any) error {
	if n.sending.none() {
		return n.putAndWait(ctx, typ, body, o, out)
	}
	op := n.leaving("task", "", typ, body)
	return n.sending.through(ctx, op, func(ctx context.Context, op *Operation) error {
		with, err := o.with(op)
		if err != nil {
			return err
		}
		return n.putAndWait(ctx, typ, body, with, out)
	})
}

// putAndWait is do behind the middlewares.
func (n *node) putAndWait(ctx context.Context, typ string, body any, o *TaskOptions, out any) error {
	s, err := n.put(ctx, typ, body, o, false, true)
	if err != nil {
		return err
	}
	err = s.result(ctx, out)
	if overtaken(ctx, err) {
		err = fmt.Errorf("multiprolab: task %q: %w", typ, contexts.CauseOf(ctx))
	}
	if ctx.Err() != nil {
		s.giveUp(ctx) // has no effect if the outcome is there
	}
	return err
}

// mapThrough runs a Map, which calls run once behind the middlewares. These get the error that run
// returns: the first that was yielded. If they refuse the Map before that, their error is returned.
func (n *node) mapThrough(
	ctx context.Context, typ string, o *TaskOptions,
	run func(context.Context, *TaskOptions) (taken int, err error),
) error {
	begun := false
	err := n.sending.through(ctx, n.leaving("map", "", typ, nil), func(ctx context.Context, op *Operation) error {
		if begun {
			return secondNext("map", typ)
		}
		with, err := o.with(op)
		if err != nil {
			return err
		}
		begun = true
		op.Items, err = run(ctx, with)
		return cmp.Or(err, ctx.Err())
	})
	if begun {
		return nil
	}
	return err
}
