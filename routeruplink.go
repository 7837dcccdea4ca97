package multiprolab

import (
	"context"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/outbox"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the rest of mainRouter as the uplink of main, beside send and call: what main
// submits, cancels and waits for; and how calls to workers end that get no reply.

// cancelCall implements uplink: main does not wait for the reply to its call any more.
func (r *mainRouter) cancelCall(id uint64, way *replyWay, soft bool) {
	r.broker.endWait(MainName, id)
	if e, ok := way.entry.(*callEntry); ok {
		e.cancel(soft)
	} else {
		r.node.receiver.cancel(id, MainName, nil, soft)
	}
}

// submit implements uplink: it submits a task of main.
func (r *mainRouter) submit(ctx context.Context, s *submission, f *wire.Frame) error {
	if err := r.standing.running(); err != nil {
		return err
	}
	return r.broker.mainSubmit(ctx, s, f)
}

// batches implements uplink. It returns how many workers may take batches of a type, or 0 if tasks
// with these options must not be put into batches.
func (r *mainRouter) batches(typ string, o *TaskOptions) int {
	m := o.travelling("")
	r.registry.defaults.fill(&m, typ)
	plain := m.Timeout == 0 && m.Key == "" && m.Delay == 0 && m.Attempts <= 1 && o.OnProgress == nil
	if !plain || r.broker.store != nil || !proc.HasBox && !r.desk.cfg.InProcess {
		return 0
	}
	if r.broker.throttled(m.Lane(typ).Queue, typ) { // each item counts, and has its own turn
		return 0
	}
	n := 0
	for _, p := range r.registry.pools {
		takers, ask := r.broker.takers(p, typ)
		if takers > 0 && (p.cfg.MaxTasks > 0 || ask) {
			return 0 // workers of this pool are counted in tasks, or ask for one task at a time
		}
		n += takers
	}
	return n
}

// awaits implements uplink: the loop of main begins to wait for an outcome.
func (r *mainRouter) awaits(s *submission, spell uint64) error {
	return r.broker.await(nil, s.id, spell, false)
}

// awaitsNoMore implements uplink: the loop of main does not wait for this outcome any more.
func (r *mainRouter) awaitsNoMore(id uint64) { r.broker.endWait(MainName, id) }

// waitsForNothing implements uplink: the loop of main waits for nothing any more.
func (r *mainRouter) waitsForNothing() { r.broker.endWaits(MainName) }

// cancelTask implements uplink: it cancels a task of main.
func (r *mainRouter) cancelTask(id uint64, soft bool) { r.broker.cancel(nil, id, soft) }

// undelivered implements uplink: it reports a message that main's inbox did not take, or has lost.
func (r *mainRouter) undelivered(m *Message, reason error) {
	r.desk.emit(&DeadLetter{
		Sender:   m.Sender,
		Receiver: m.Receiver,
		Type:     m.Type,
		Size:     m.Size(),
		Reason:   reason.Error(),
		body:     m.payload.Own(),
		codec:    r.desk.codec,
	})
}

// failed implements uplink: it reports a message whose handler in main has failed.
func (r *mainRouter) failed(m *Message, err error) {
	r.desk.emit(&HandlerFailed{Sender: m.Sender, Receiver: m.Receiver, Type: m.Type, Err: err})
}

// idle implements uplink. Main has nothing to do when its loop has nothing to do.
func (r *mainRouter) idle() {}

// wait implements uplink: the loop of main waits for messages, at most for the time d.
func (r *mainRouter) wait(ctx context.Context, d time.Duration) {
	goroutine.Await(ctx, r.node.receiver.wake, d)
}

// cancelCallOf implements callDesk. It tells the process that handles a call of a worker that the
// caller does not wait any more. It does nothing if the call has its reply, or never was.
func (r *mainRouter) cancelCallOf(origin *client, id uint64, soft bool) {
	origin.waitOver(id)
	if e := origin.call(id); e != nil {
		e.cancel(soft)
		return
	}
	r.node.receiver.cancel(id, origin.slot().name, origin, soft)
}

// cancel takes the call back if it still waits for room. Otherwise it tells the callee that the
// caller does not wait any more, unless the call has its reply.
func (e *callEntry) cancel(soft bool) {
	to := e.callee
	number, withdrawn := to.out.Cancel(e)
	switch {
	case withdrawn:
		to.desk.calls.replied(e, &reply{err: context.Canceled}, nil).Push()
	case number > 0:
		to.tell(&wire.Frame{
			Kind: wire.Cancel, Flags: wire.Softly(soft), Type: "call", ID: number, From: e.origin.name(),
		})
	}
}

// Lost implements outbox.Sender: it tells the caller that a call cannot be sent or, if the parcel
// is a message, reports it as a dead letter.
func (c *client) Lost(p *outbox.Parcel, err error) {
	calls := c.slot().desk.calls
	if e, ok := p.Call.(*callEntry); ok {
		calls.replied(e, &reply{err: err}, nil).Push()
		return
	}
	calls.bounce(p.Frame, err)
}

// failCalls gives an error to callers who will have no reply from the instance. begun says that the
// calls were written to a life that has ended.
func (s *slot) failCalls(calls []outbox.Call, err error, begun bool) {
	for _, call := range calls {
		e, cause := call.(*callEntry), err // the outbox of an instance has no other calls
		if begun {
			cause = during(err, `call "`+e.typ+`"`)
		}
		s.desk.calls.replied(e, &reply{err: cause}, nil).Push()
	}
}
