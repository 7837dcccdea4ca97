package multiprolab

import (
	"errors"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/logbook"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is what main does with the frames of a worker, which is not trusted. It runs on the
// goroutine that reads the wire.

// receive handles a frame of the worker. The worker is not trusted: an error of receive ends it.
// served says that the frame was a reply for a caller in main who calls again and again. receive
// never waits.
func (p *peer) receive(f *wire.Frame) (served bool, err error) {
	err = p.take(f)
	if !p.link.Ready() {
		p.pushAll()
	}
	served, p.served = p.served, false
	return served, err
}

// take handles a frame for receive, which then pushes what was posted.
func (p *peer) take(f *wire.Frame) error {
	if mine, err := p.process.Take(f); mine {
		return err
	}
	b := p.slot().desk.tasks
	switch f.Kind {
	case wire.Credit:
		return p.credited(f)
	case wire.Message, wire.Call:
		return p.forward(f)
	case wire.Reply:
		return p.replied(f)
	case wire.Submit:
		return p.submit(f)
	case wire.Start:
		return b.started(p, f.ID)
	case wire.Split:
		return b.split(p, f.ID, f.SplitFrom())
	case wire.Returned:
		return b.returned(p, f.ID)
	case wire.Checkpoint:
		return b.checkpointed(p, f)
	case wire.Progress:
		n, err := p.client.Charge(f)
		if err != nil {
			return err
		}
		f.To, f.Meta, f.Header, f.Left = "", "", "", 0 // these have no meaning in a report
		f.Flags &= wire.FlagStream
		return b.progress(p, f, n)
	case wire.Result:
		r := p.vouch(f)
		r.ran = f.Left
		if errors.Is(r.err, ErrStopped) { // only main may say that a task was stopped
			r.err = &RemoteError{Worker: p.slot().name, PID: p.pid(), Type: f.Type, Text: r.err.Error()}
		}
		return b.result(p, f.ID, r, f.Flags&wire.FlagBatch != 0)
	case wire.Share:
		return p.slot().desk.share(p, f)
	case wire.Log:
		return p.logged(f)
	case wire.Fetch:
		p.allowed.fetchCancels++
		return b.fetch(p, f.ID, f.Meta, f.Flags&wire.FlagWait != 0)
	}
	return p.takeFree(f)
}

// takeFree handles the frames that cost the worker no credit, because an earlier frame allows each
// of them once.
func (p *peer) takeFree(f *wire.Frame) error {
	d, b, may := p.slot().desk, p.slot().desk.tasks, &p.allowed
	unless := func(ok bool) error { // if nothing has allowed the frame, the worker lies
		if ok {
			return nil
		}
		return lie("a frame came that nothing had allowed: %v", f.Kind)
	}
	switch f.Kind {
	case wire.Undelivered:
		l, ok := p.out().Strike(f.Serial())
		if ok {
			d.emit(deadLetter(&l, p.slot().name, strings.Clone(f.Meta[:min(len(f.Meta), maxReason)]), d.codec))
		}
		return unless(ok)
	case wire.Failed:
		l, ok := p.out().Strike(f.Serial())
		if ok {
			err := p.vouchError(l.Type, unmarshalError(f.Body))
			d.emit(&HandlerFailed{Sender: l.From, Receiver: p.slot().name, Type: l.Type, Err: err})
		}
		return unless(ok)
	case wire.Cancel:
		if may.cancels == 0 {
			return unless(false)
		}
		may.cancels--
		if f.Type == "call" {
			d.calls.cancelCallOf(p.client, f.ID, f.Flags&wire.FlagSoft != 0)
		} else {
			b.cancel(p.client, f.ID, f.Flags&wire.FlagSoft != 0)
		}
	case wire.Await: // however often it comes, main keeps few waits of a worker
		switch {
		case f.Flags&wire.FlagSoft == 0:
			if err := b.await(p.client, f.ID, f.Spell(), f.Type == awaitRoom); err != nil {
				p.link.Answer(link.Soon, refusalFrame(f.ID, f.Spell(), err))
			}
		case p.client.over(): // its waits are
		case f.Type == awaitRoom:
			b.endWait(p.slot().name, roomWait)
		case f.ID == 0:
			b.endWaits(p.slot().name)
		default:
			b.endWait(p.slot().name, f.ID)
		}
	case wire.Taken:
		return unless(p.client.streams.Took(f.ID))
	case wire.FetchCancel:
		if may.fetchCancels == 0 {
			return unless(false)
		}
		may.fetchCancels--
		b.cancelFetch(p, f.ID)
	case wire.Retire:
		switch forGood := f.Flags&wire.FlagForGood != 0; {
		case !may.leave(forGood):
			return unless(false)
		case forGood:
			p.leaves.Store(true)
			goroutine.Wake(p.retired)
		case !b.retire(p) && p.spare(): // the queue does not know it
			goroutine.Wake(p.retired)
		}
	case wire.ExitRequest:
		if may.exited {
			return unless(false)
		}
		may.exited = true
		d.exit()
	default:
		return lie("a worker does not send %v frames", f.Kind)
	}
	return nil
}

// credited handles a Credit frame: bytes that the worker gives back, and messages that have left
// its inbox.
func (p *peer) credited(f *wire.Frame) error {
	ok := false
	if f.Flags&wire.FlagSoft != 0 {
		_, ok = p.out().Strike(f.Serial())
	} else {
		ok = p.out().Granted(f.Credit())
	}
	if !ok {
		return lie("it gave credit for more than it was sent, or for nothing")
	}
	return nil
}

// forward routes a message or a call of the worker to its receiver.
func (p *peer) forward(f *wire.Frame) error {
	n, err := p.client.Charge(f)
	if err != nil {
		return err
	}
	if f.Kind == wire.Call {
		p.allowed.cancels++
		if err := p.client.mayCall(f); err != nil {
			p.client.Grant(n) // main keeps nothing of this frame, and the next life does not pay for it
			return err
		}
	}
	if _, err := meta.UnmarshalHeader(f.Header); err != nil {
		p.client.Grant(n)
		return lie("%v", err)
	}
	if f.Kind == wire.Message { // it has neither chain nor deadline, nor a mark of main, whatever the worker wrote
		f.Meta, f.Left, f.Flags = "", 0, f.Flags&^wire.FlagSoft
	}
	p.slot().desk.calls.forward(p, f, n)
	return nil
}

// replied routes a reply of the worker to the caller.
func (p *peer) replied(f *wire.Frame) error {
	e, ok := p.out().Answered(f.ID).(*callEntry)
	if !ok { // an honest worker replies to each call once
		return lie("it replied to call %d, which it was not asked, or has replied to already", f.ID)
	}
	r := p.vouch(f)
	if r.err != nil {
		f = nil
	}
	if e.origin == nil {
		now := time.Now()
		p.served = now.Sub(p.lastServed) < callPause // this caller will soon call again
		p.lastServed = now
	}
	p.pushSoon(p.slot().desk.calls.replied(e, r, f))
	return nil
}

// submit hands a task of the worker to the broker.
func (p *peer) submit(f *wire.Frame) error {
	n, err := p.client.Charge(f)
	if err != nil {
		return err
	}
	p.allowed.cancels++
	o, err := meta.Unmarshal(f.Meta)
	if err != nil {
		p.client.Grant(n)
		return lie("the options of a task cannot be read: %v", err)
	}
	if err := checkTask(&o); err != nil {
		p.client.Grant(n)
		return lie("the options of a task make no sense: %v", err)
	}
	if _, err := meta.UnmarshalHeader(f.Header); err != nil {
		p.client.Grant(n)
		return lie("%v", err)
	}
	o.Header = f.Header
	j := newJob(link.Body(f), &o)
	j.limit, j.client, j.Number, j.cost = contexts.Within(f.Left), p.client, f.ID, n
	if j.stream = f.Flags&wire.FlagStream != 0; j.stream && !p.client.streams.Open(f.ID) {
		p.client.Grant(n)
		return link.ErrClosed
	}
	err = p.slot().desk.tasks.submit(j, &o, f.Type, f.Flags&wire.FlagWait != 0)
	if err != nil {
		p.client.Grant(n)
		p.client.streams.End(f.ID)
	}
	if _, lies := err.(*link.Violation); lies {
		return err
	}
	if err != nil {
		p.link.Answer(link.Soon, replyFrame(wire.Result, f.ID, &reply{err: err}))
	}
	return nil
}

// logged takes in a record of the worker's log. The reader calls it.
func (p *peer) logged(f *wire.Frame) error { return p.slot().desk.logs.Take(p.log, f) }

// origin returns where the records of the worker's log come from.
func (p *peer) origin() logbook.Origin {
	at := p.at.Load()
	return logbook.Origin{Worker: at.slot.name, PID: p.pid(), Life: at.life}
}
