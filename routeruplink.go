package multiprolab

import (
	"context"
	"time"

	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the rest of mainRouter as the uplink of main, beside send and call: what main
// submits, cancels and waits for.

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
	m := o.meta("")
	r.registry.defaults.fill(&m, typ)
	plain := m.Timeout == 0 && m.Key == "" && m.Delay == 0 && m.Attempts <= 1 && o.OnProgress == nil
	if !plain || r.broker.store != nil || !proc.HasBox && !r.desk.cfg.InProcess {
		return 0
	}
	if r.broker.throttled(m.laneOf(typ).Queue, typ) { // each item counts, and has its own turn
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
	waitFor(ctx, r.node.receiver.wake, d)
}
