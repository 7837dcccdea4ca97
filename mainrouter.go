package multiprolab

import (
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/outbox"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// mainRouter finds the receiver of each message by its name. It exists in the main process,
// through which all messages go. It never decodes a body that is not for main, and never waits for
// a receiver: what has no room waits in the outbox of its receiver, at the cost of its sender's
// credit. All methods may be called from any goroutine.
//
// A message from main goes Send -> mainRouter.send -> outbox -> link of the worker. A message
// from a worker comes from its link -> peer.receive -> mainRouter.forward -> outbox of the other
// worker, or the inbox of main.
type mainRouter struct {
	// node is main as a process. It never changes.
	node *node
	// registry is the pools and their instances. The field never changes.
	registry *registry
	// standing is how far main has come. It guards itself.
	standing *standing
	// broker has the queue, and knows who waits for whom. It guards itself.
	broker *broker
	// desk is what the parts of main share that deal with workers. The field never changes.
	desk *desk
}

// receivers implements uplink.
func (r *mainRouter) receivers() []string {
	names := []string{MainName}
	for _, p := range r.registry.pools {
		for _, s := range p.list() {
			names = append(names, s.name)
		}
	}
	return names
}

// resolve finds the instance that a name means. If it is the name of a pool, that is the instance
// with the least to do; if Keyed has made it, the one that the key belongs to.
func (r *mainRouter) resolve(name string) (*slot, error) {
	if pool, i, ok := splitInstance(name); ok {
		if p := r.registry.pool(pool); p != nil {
			if slots := p.list(); i < len(slots) {
				return slots[i], nil
			}
		}
	} else if p := r.registry.pool(name); p != nil {
		return p.leastBusy(), nil
	} else if pool, bucket := splitKeyed(name); bucket > 0 {
		if p := r.registry.pool(pool); p != nil {
			return p.home(bucket), nil
		}
	}
	return nil, &UnknownReceiverError{Receiver: name, Known: append(r.registry.poolNames(), MainName)}
}

// targets returns the instances that a broadcast goes to: those of a pool, or all if the name is
// "", but not the sender.
func (r *mainRouter) targets(name string, except *slot) ([]*slot, error) {
	pools := r.registry.pools
	if name != "" {
		p := r.registry.pool(name)
		if p == nil {
			return nil, &UnknownReceiverError{Receiver: name, Known: r.registry.poolNames()}
		}
		pools = []*pool{p}
	}
	var slots []*slot
	for _, p := range pools {
		for _, s := range p.list() {
			if s != except && s.alive() {
				slots = append(slots, s)
			}
		}
	}
	return slots, nil
}

// send implements uplink. It sends a message of main, and waits until there is room for it.
func (r *mainRouter) send(ctx context.Context, f *wire.Frame) error {
	if err := r.standing.running(); err != nil {
		return err
	}
	if f.Flags&wire.FlagBroadcast != 0 {
		slots, err := r.targets(f.To, nil)
		if err != nil {
			return err
		}
		for _, s := range slots {
			c := *f
			c.To, c.Flags = s.name, 0
			if err := s.out.Send(ctx, &c, nil, nil, link.Quietly); err != nil {
				return fmt.Errorf("multiprolab: broadcast %q stopped at %s: %w", f.Type, s.name, err)
			}
			s.out.Push()
		}
		return nil
	}
	if f.To == MainName {
		return r.toSelf(f)
	}
	s, err := r.resolve(f.To)
	if err != nil {
		return err
	}
	if err := s.out.Send(ctx, f, nil, nil, link.Soon); err != nil {
		return fmt.Errorf("multiprolab: message %q to %s: %w", f.Type, s.name, err)
	}
	return nil
}

// toSelf delivers a message or a call of main to main itself.
func (r *mainRouter) toSelf(f *wire.Frame) error {
	m := r.message(f)
	m.payload = m.payload.Own()
	if f.Kind == wire.Call {
		m.reply = func(reply *reply) {
			reply.payload = reply.payload.Own()
			r.node.answer(m.id, reply)
		}
	} else if r.node.receiver.full() {
		return fmt.Errorf("multiprolab: message %q of main to itself: %w", f.Type, ErrBacklog)
	}
	r.node.receiver.deliver(m)
	return nil
}

// message makes the message for a handler of main out of a frame.
func (r *mainRouter) message(f *wire.Frame) *Message {
	header, _ := meta.UnmarshalHeader(f.Header) // it was checked when it came
	m := &Message{
		Header:   header,
		Sender:   f.From,
		Receiver: MainName,
		Type:     f.Type,
		id:       f.ID,
		chain:    f.Meta,
		payload:  link.Body(f),
		scope:    scope{stage: &r.node.stage, Function: contexts.Function{Limit: contexts.Within(f.Left)}},
	}
	m.size.Store(f.Cost())
	return m
}

// call implements uplink. It sends a call of main, and returns the way by which its reply comes.
func (r *mainRouter) call(ctx context.Context, f *wire.Frame) (*replyWay, error) {
	if err := r.standing.running(); err != nil {
		return nil, err
	}
	if f.To == MainName {
		if f.Meta != "" {
			if err := r.broker.beginCall(nil, MainName, f); err != nil {
				return nil, err
			}
		}
		return &replyWay{}, r.toSelf(f)
	}
	s, err := r.resolve(f.To)
	if err != nil {
		return nil, err
	}
	id := f.ID
	if s, err = r.waitFor(nil, s, f); err != nil {
		return nil, err
	}
	e := s.newCall(nil, f)
	if err := s.out.Send(ctx, f, e, nil, link.Quietly); err != nil {
		r.broker.endWait(MainName, id)
		return nil, fmt.Errorf("multiprolab: call %q to %s: %w", f.Type, s.name, err)
	}
	return &replyWay{link: s.out.Push(), others: s.owes, entry: e}, nil
}

// waitFor notes that the loop of a process waits for the reply to a call to an instance, if it
// does. If that would close a circle of waits, and the call is to a pool, it chooses another
// instance of the pool. It returns the instance to call, or an error if every choice closes a
// circle.
func (r *mainRouter) waitFor(by *client, s *slot, f *wire.Frame) (*slot, error) {
	if f.Meta == "" {
		return s, nil
	}
	begin := func(s *slot) error {
		return r.broker.beginCall(by, s.name, f)
	}
	err := begin(s)
	if err != nil && f.To == s.pool.name {
		for _, other := range s.pool.list() {
			if other != s && other.alive() && begin(other) == nil {
				return other, nil
			}
		}
	}
	return s, err
}

// forward implements callDesk. It runs on the goroutine that reads the worker's wire.
func (r *mainRouter) forward(from *peer, f *wire.Frame, n int64) {
	f.From = from.slot().name
	switch {
	case f.Flags&wire.FlagBroadcast != 0:
		r.forwardAll(from, f, n)
	case f.To == MainName:
		m := r.message(f)
		c := from.client
		m.left, m.from = c.leave, c
		m.size.Store(n)
		if f.Kind == wire.Call {
			m.reply = func(reply *reply) {
				if m.chain != "" {
					c.waitOver(m.id)
				}
				c.answer(link.Soon, replyFrame(wire.Reply, m.id, reply))
			}
			if m.chain != "" {
				if err := r.broker.beginCall(c, MainName, f); err != nil {
					c.Grant(n)
					c.answer(link.Soon, replyFrame(wire.Reply, m.id, &reply{err: err}))
					return
				}
			}
		}
		r.node.receiver.deliver(m)
	default:
		s, err := r.resolve(f.To)
		if f.Kind == wire.Call {
			r.forwardCall(from, s, f, n, err)
			return
		}
		if err == nil {
			var l *link.Link
			l, err = s.out.Post(&outbox.Parcel{Frame: f, From: from.client, Cost: n}, link.Quietly)
			from.pushSoon(l)
		}
		if err != nil {
			from.client.Grant(n)
			r.bounce(f, err)
		}
	}
}

// bounce implements callDesk. It reports a one-way message that cannot be delivered.
func (r *mainRouter) bounce(f *wire.Frame, err error) {
	l := outbox.Unsent(f)
	r.desk.emit(deadLetter(&l, f.To, err.Error(), r.desk.codec))
}

// forwardCall routes a call of a worker to an instance. If err is not nil, or the call cannot be
// sent, the caller gets the error as its reply.
func (r *mainRouter) forwardCall(from *peer, s *slot, f *wire.Frame, n int64, err error) {
	if err == nil {
		s, err = r.waitFor(from.client, s, f)
	}
	id := f.ID
	if err == nil {
		e := s.newCall(from.client, f)
		from.client.calling(e.id, e)
		var l *link.Link
		l, err = s.out.Post(&outbox.Parcel{Frame: f, From: from.client, Cost: n, Call: e}, link.Quietly)
		from.pushSoon(l)
		if err == nil {
			return
		}
		from.client.called(e.id, e, e.loops)
	}
	from.client.Grant(n)
	from.link.Answer(link.Soon, replyFrame(wire.Reply, id, &reply{err: err}))
}

// forwardAll routes a broadcast of a worker to all instances that it goes to.
func (r *mainRouter) forwardAll(from *peer, f *wire.Frame, n int64) {
	slots, err := r.targets(f.To, from.slot())
	if err != nil {
		r.bounce(f, err)
	}
	all := outbox.NewBroadcast(from.client, n, len(slots))
	for _, s := range slots {
		c := *f
		c.To, c.Flags = s.name, 0
		if _, err := s.out.Post(&outbox.Parcel{Frame: &c, From: all}, link.Soon); err != nil {
			all.Grant(0)
			r.bounce(&c, err)
		}
	}
	all.Grant(0)
}

// replied implements callDesk: it routes the outcome of a call back to its caller, and returns the
// link that is to be pushed, or nil. The entry of a call is kept with the instance that was asked,
// so that nobody else can answer it.
func (r *mainRouter) replied(e *callEntry, outcome *reply, f *wire.Frame) (to *link.Link) {
	if e.origin == nil {
		if e.loops {
			r.broker.endWait(MainName, e.id)
		}
		r.node.answer(e.id, outcome)
		return nil
	}
	if f == nil {
		f = replyFrame(wire.Reply, e.id, outcome)
	}
	f.ID, f.Flags = e.id, f.Flags&wire.FlagError
	f.To, f.From, f.Type, f.Meta, f.Header, f.Left = "", "", "", "", "", 0 // a reply has none of these
	e.origin.called(e.id, e, e.loops)
	return e.origin.answer(link.Quietly, f)
}
