package multiprolab

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// peer is one life of a worker as main sees it, from the start of its process until nothing of it
// is left. It exists in main. The goroutine that reads the wire calls receive; any goroutine may
// call every other method whose comment does not name the caller.
type peer struct {
	// seated is which instance the life is, and which life of it.
	*seated
	// begun is when the life began. It never changes.
	begun time.Time
	// link is main's end of the wire. connect sets it. It guards itself.
	link *link.Link
	// process is main's end of the process. connect sets it. It guards itself.
	process *life.Life
	// client is what main keeps of the life after its end. connect sets it.
	client *client
	// worker is the number by which the rules of tasks know the life; 0 until the worker is ready.
	// The broker's mutex guards it.
	worker queue.Worker
	// left says that main has given the life up: it does not become ready any more. The broker's
	// mutex guards it.
	left bool
	// holds is how many tasks the worker has that it has not finished. The broker changes it; any
	// goroutine may read it.
	holds atomic.Int32

	// incoming is what main remembers of the frames of the worker. The reader alone may touch it.
	incoming
	// supervised is how far the life has come. Its fields say who may touch them.
	supervised
}

// supervised is how far a life of a worker has come, in main. Fields whose comment does not say
// otherwise may be touched by the goroutine of the life alone; see lifetime.
type supervised struct {
	// retired has room for one: the broker tells the goroutine of the life that the worker, which
	// is to be replaced, holds no task any more.
	retired chan struct{}
	// greeted says that the worker has said hello, and may be told to exit. Any goroutine may read
	// it.
	greeted atomic.Bool
	// told says that the worker has been told to exit. Any goroutine may touch it.
	told atomic.Bool
	// ledOut says that the worker was told to end and did not in time, so that it was ended by
	// force. It is read once the rules of lives know of the end.
	ledOut bool
	// ended is how the life has ended; nil until peer.end has returned. It is read once the rules
	// of lives know of the end.
	ended *life.End
	// unfinished is the number of the task that the worker was running when it died, as its black
	// box says; 0 if it was running none.
	unfinished uint64
	// outcomes are the outcomes of the items of that task which the worker had worked on, if the
	// task is a batch.
	outcomes []byte
}

// newPeer returns a life of an instance that has no process yet.
func newPeer(s *slot, number int) *peer {
	return &peer{
		seated:     newSeated(s, number),
		begun:      time.Now(),
		supervised: supervised{retired: make(chan struct{}, 1)},
	}
}

// connect gives the life its process, and the two pipes of its wire at main's end.
func (p *peer) connect(b life.Body, from io.Reader, to io.Writer) {
	d := p.slot().desk
	cfg := d.cfg
	p.link = newLink(d.codec, from, to, link.Options{
		MaxBody:     cfg.MaxMessageSize,
		Choke:       chokeWindows * int64(cfg.Window),
		BeforeChoke: p.pushAll,
		MostUnread:  max(mostWindows*int64(cfg.Window), mostLarge*int64(cfg.MaxMessageSize)),
		Fail:        func(err error) { p.process.Fail(err) },
	})
	p.process = life.New(b, p.link, life.Options{
		Identity:       d.identity,
		HandlerTimeout: p.slot().pool.cfg.HandlerTimeout,
		Ready:          func(r *life.Readiness) error { return d.tasks.enter(p, r) },
	})
	p.client = newClient(p.seated, p.link)
}

func (p *peer) pid() int { return p.process.PID() }

// kill kills the worker with all that it has started, and says why. The first reason stands.
func (p *peer) kill(why string) { p.process.Kill(why) }

// killWithTask kills the worker because a task of it goes on past its grace. That is no failure of
// the worker.
func (p *peer) killWithTask(why string) { p.process.KillWithTask(why) }

// onPurpose reports whether main has killed the worker with its task.
func (p *peer) onPurpose() bool { return p.process.Planned() }

// askStacks asks the worker for the stacks of its goroutines.
func (p *peer) askStacks() { p.process.AskForStacks() }

// dumped returns the stacks that the worker has sent in answer to askStacks.
func (p *peer) dumped() string { return p.process.Stacks() }

// watchMemory finds out again in which control group the process is, because the setup function may
// have moved it. The goroutine of the life calls it.
func (p *peer) watchMemory() { p.process.WatchMemory() }

// exitValue returns what the worker has left with SetExitValue.
func (p *peer) exitValue() codec.Payload {
	if f := p.process.ExitValue(); f != nil {
		return payloadOf(f)
	}
	return codec.Payload{}
}

const (
	// chokeWindows is how many windows of what a worker is sent it may leave unread before main
	// stops reading from it. So it cannot ask for more than it takes. An honest worker always
	// reads, whatever its handlers do.
	chokeWindows = 8
	// mostWindows is how many windows of outcomes that others have for it a worker may leave
	// unread. If it leaves more, and more than mostLarge allows, it has broken the wire.
	mostWindows = 32
	// mostLarge is how many messages of the greatest size, of outcomes that others have for it, a
	// worker may leave unread; see mostWindows.
	mostLarge = 4
)

// converse starts the goroutines that read and write the wire until its end. What the worker writes
// before the cookie goes to before.
func (p *peer) converse(cookie string, before func([]byte)) {
	p.process.Converse(cookie, before, p.receive)
}

// tellExit sends the exit message, once. why is nil if another life follows; otherwise the message
// says why none does, and the instance takes no further messages.
func (p *peer) tellExit(mode ShutdownMode, why error) {
	if mode == KillAll || !p.greeted.Load() || !p.told.CompareAndSwap(false, true) {
		return
	}
	exit := exitFrame(mode, why)
	if mode == DrainQueue {
		p.slot().out.sendLast(exit, why)
	} else {
		p.link.Tell(link.Soon, exit)
	}
}

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
	case wire.Progress:
		n, err := p.client.charge(f)
		if err != nil {
			return err
		}
		f.To, f.Meta, f.Flags, f.Left = "", "", 0, 0 // these have no meaning in a report
		return b.progress(p, f, n)
	case wire.Result:
		r := p.vouch(f)
		if errors.Is(r.err, ErrStopped) { // only main may say that a task was stopped
			r.err = &RemoteError{Worker: p.slot().name, PID: p.pid(), Type: f.Type, Text: r.err.Error()}
		}
		return b.result(p, f.ID, r, f.Flags&wire.FlagBatch != 0)
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
		l, ok := p.slot().out.settled(f.Serial())
		if ok {
			d.emit(
				&DeadLetter{
					Sender:   l.from,
					Receiver: p.slot().name,
					Type:     l.typ,
					Size:     l.size,
					Reason:   strings.Clone(f.Meta[:min(len(f.Meta), maxReason)]),
				},
			)
		}
		return unless(ok)
	case wire.Failed:
		l, ok := p.slot().out.settled(f.Serial())
		if ok {
			d.emit(
				&HandlerFailed{
					Sender:   l.from,
					Receiver: p.slot().name,
					Type:     l.typ,
					Err:      p.vouchError(l.typ, unmarshalError(f.Body)),
				},
			)
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
		case f.Type == awaitRoom:
			b.endWait(p.slot().name, roomWait)
		case f.ID == 0:
			b.endWaits(p.slot().name)
		default:
			b.endWait(p.slot().name, f.ID)
		}
	case wire.FetchCancel:
		if may.fetchCancels == 0 {
			return unless(false)
		}
		may.fetchCancels--
		b.cancelFetch(p, f.ID)
	case wire.Retire:
		if may.retired {
			return unless(false)
		}
		may.retired = true
		b.retire(p)
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
		_, ok = p.slot().out.settled(f.Serial())
	} else {
		ok = p.slot().out.granted(f.Credit())
	}
	if !ok {
		return lie("it gave credit for more than it was sent, or for nothing")
	}
	return nil
}

// forward routes a message or a call of the worker to its receiver.
func (p *peer) forward(f *wire.Frame) error {
	n, err := p.client.charge(f)
	if err != nil {
		return err
	}
	if f.Kind == wire.Call {
		p.allowed.cancels++
		if err := p.client.mayCall(f); err != nil {
			p.client.grant(n) // main keeps nothing of this frame, and the next life does not pay for it
			return err
		}
	}
	if f.Kind == wire.Message {
		f.Meta, f.Left = "", 0 // a message has neither chain nor deadline, whatever the worker wrote
	}
	p.slot().desk.calls.forward(p, f, n)
	return nil
}

// replied routes a reply of the worker to the caller.
func (p *peer) replied(f *wire.Frame) error {
	e, ok := p.slot().out.answered(f.ID).(*callEntry)
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
	n, err := p.client.charge(f)
	if err != nil {
		return err
	}
	p.allowed.cancels++
	meta, err := unmarshalTaskMeta(f.Meta)
	if err != nil {
		p.client.grant(n)
		return lie("the options of a task cannot be read: %v", err)
	}
	if err := meta.check(); err != nil {
		p.client.grant(n)
		return lie("the options of a task make no sense: %v", err)
	}
	j := newJob(payloadOf(f), &meta)
	j.limit, j.client, j.Number, j.cost = limitIn(f), p.client, f.ID, n
	err = p.slot().desk.tasks.submit(j, &meta, f.Type, f.Flags&wire.FlagWait != 0)
	if err != nil {
		p.client.grant(n)
	}
	if _, lies := err.(*link.Violation); lies {
		return err
	}
	if err != nil {
		p.link.Answer(link.Soon, replyFrame(wire.Result, f.ID, &reply{err: err}))
	}
	return nil
}

// vouch reads the outcome that a worker gives, whose error is vouched for.
func (p *peer) vouch(f *wire.Frame) *reply {
	r := replyOf(f)
	r.err = p.vouchError(f.Type, r.err)
	return r
}

// vouchError is vouched for what this worker says of a message, a call or a task of this type.
func (p *peer) vouchError(typ string, err error) error {
	var stopCause func() error
	if d := p.slot().desk; d != nil {
		stopCause = d.stopCause
	}
	return vouched(p.slot().name, p.pid(), stopCause, typ, err)
}
