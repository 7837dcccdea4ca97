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

// callPause is the longest pause between two calls in main for which who reads a wire steps aside:
// a single call should not hold up what the worker sends next.
const callPause = 200 * time.Microsecond

// peer is one life of a worker as main sees it: from the start of its process until nothing of it
// is left. It exists in main. Its reader calls receive; everything else may be called from any
// goroutine, where nothing else is said.
type peer struct {
	// slot is the instance. It does not change.
	slot *slot
	// life is the number of the life, from 1. It does not change.
	life int
	// begun is when the life began. It does not change.
	begun time.Time
	// link is main's end of the wire. It is set by connect, and has locks of its own.
	link *link.Link
	// process is main's end of the process. It is set by connect, and has a lock of its own.
	process *life.Life
	// client is what is kept of the life when it is gone. It is set by connect.
	client *client
	// worker is what the rules of tasks know the life by, once it is ready; else 0. The broker's
	// mutex guards it.
	worker queue.Worker
	// left says that main has given the life up: it does not become ready any more. The broker's mutex
	// guards it.
	left bool
	// holds counts the tasks that it has and has not finished.
	holds atomic.Int32

	incoming   // for the reader alone
	supervised // for the supervisor alone, where nothing else is said
}

// supervised is how far a life of a worker has come, in main. The supervisor alone may touch it,
// where nothing else is said.
type supervised struct {
	// retired has room for one: the broker says that the life is to be replaced, and holds no task.
	retired chan struct{}
	// greeted says that the worker has said hello, and may be told to exit. Any goroutine may read
	// it.
	greeted atomic.Bool
	// told says that it has been told to exit. Any goroutine may touch it.
	told atomic.Bool
	// ledOut says that the supervisor ended the life by force.
	ledOut bool
	// ended is how the life has ended; nil until end has returned.
	ended *life.End
	// unfinished is the task that it was running when it died, as its black box says; or 0.
	unfinished uint64
	// outcomes are those that it had of that task, if it was a batch.
	outcomes []byte
}

// newPeer returns a life of an instance, before it has a process.
func newPeer(s *slot, number int) *peer {
	return &peer{slot: s, life: number, begun: time.Now(), supervised: supervised{retired: make(chan struct{}, 1)}}
}

// connect gives the life its process, and the two ends of its wire that are main's.
func (p *peer) connect(b life.Body, from io.Reader, to io.Writer) {
	d := p.slot.desk
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
		HandlerTimeout: p.slot.pool.cfg.HandlerTimeout,
		Ready:          func(r *life.Readiness) error { return d.tasks.enter(p, r) },
	})
	p.client = newClient(p.slot, p.link)
}

func (p *peer) pid() int { return p.process.PID() }

// kill ends the worker with all that it started. The first reason stands.
func (p *peer) kill(why string) { p.process.Kill(why) }

// killWithTask ends the worker with a task that goes on past its grace, which is no fault of its
// own.
func (p *peer) killWithTask(why string) { p.process.KillWithTask(why) }

// onPurpose reports whether main has killed the worker with its task.
func (p *peer) onPurpose() bool { return p.process.Planned() }

// askStacks asks a worker for the stacks of its goroutines.
func (p *peer) askStacks() { p.process.AskForStacks() }

// dumped returns the stacks that the worker has sent in answer to askStacks.
func (p *peer) dumped() string { return p.process.Stacks() }

// watchMemory looks again where the process is that has become ready: its setup function may have
// moved it. The supervisor calls it.
func (p *peer) watchMemory() { p.process.WatchMemory() }

// exitValue is what the worker left with SetExitValue.
func (p *peer) exitValue() codec.Payload {
	if f := p.process.ExitValue(); f != nil {
		return payloadOf(f)
	}
	return codec.Payload{}
}

const (
	// chokeWindows is how many windows of what a worker is sent it may leave unread before main
	// reads no more of it: so it cannot ask for more than it takes. An honest worker always reads,
	// whatever its handlers do.
	chokeWindows = 8
	// mostWindows is how many windows, and how many messages of the greatest size, of outcomes that
	// others have for it a worker may leave unread before it has broken the wire.
	mostWindows, mostLarge = 32, 4
)

// converse reads and writes the wire until it ends. What comes before the cookie goes to before.
func (p *peer) converse(cookie string, before func([]byte)) {
	p.process.Converse(cookie, before, p.receive)
}

// tellExit sends the exit message, once. If no other life follows, why says it, and nothing more is
// taken for this instance; else it is nil.
func (p *peer) tellExit(mode ShutdownMode, why error) {
	if mode == KillAll || !p.greeted.Load() || !p.told.CompareAndSwap(false, true) {
		return
	}
	exit := exitFrame(mode, why)
	if mode == DrainQueue {
		p.slot.out.finish(exit, why)
	} else {
		p.link.Tell(link.Soon, exit)
	}
}

// receive handles a frame from the worker, which is not trusted: an error ends it. It never waits.
func (p *peer) receive(f *wire.Frame) (served bool, err error) {
	err = p.take(f)
	if !p.link.Ready() {
		p.pushAll()
	}
	served, p.served = p.served, false
	return served, err
}

// take handles a frame, and leaves the pushing to receive.
func (p *peer) take(f *wire.Frame) error {
	if mine, err := p.process.Take(f); mine {
		return err
	}
	b := p.slot.desk.tasks
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
		f.To, f.Meta, f.Flags, f.Left = "", "", 0, 0 // nobody looks at them
		return b.progress(p, f, n)
	case wire.Result:
		r := p.vouch(f)
		if errors.Is(r.err, ErrStopped) { // that is main's to say of a task
			r.err = &RemoteError{Worker: p.slot.name, PID: p.pid(), Type: f.Type, Text: r.err.Error()}
		}
		return b.result(p, f.ID, r, f.Flags&wire.FlagBatch != 0)
	case wire.Fetch:
		p.allowed.fetchCancels++
		return b.fetch(p, f.ID, f.Meta, f.Flags&wire.FlagWait != 0)
	}
	return p.takeFree(f)
}

// takeFree handles the frames that cost the worker nothing, because each of them is allowed by
// something before, once.
func (p *peer) takeFree(f *wire.Frame) error {
	d, b, may := p.slot.desk, p.slot.desk.tasks, &p.allowed
	unless := func(ok bool) error { // a worker that sends what nothing allows lies
		if ok {
			return nil
		}
		return lie("a frame came that nothing had allowed: %v", f.Kind)
	}
	switch f.Kind {
	case wire.Undelivered:
		l, ok := p.slot.out.settled(f.Serial())
		if ok {
			d.emit(
				&DeadLetter{
					Sender:   l.from,
					Receiver: p.slot.name,
					Type:     l.typ,
					Size:     l.size,
					Reason:   strings.Clone(f.Meta[:min(len(f.Meta), maxReason)]),
				},
			)
		}
		return unless(ok)
	case wire.Failed:
		l, ok := p.slot.out.settled(f.Serial())
		if ok {
			d.emit(
				&HandlerFailed{
					Sender:   l.from,
					Receiver: p.slot.name,
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
	case wire.Await: // it says again and again what main keeps once at most
		switch {
		case f.Flags&wire.FlagSoft == 0:
			if err := b.await(p.client, f.ID, f.Spell(), f.Type == awaitRoom); err != nil {
				p.link.Answer(link.Soon, refusalFrame(f.ID, f.Spell(), err))
			}
		case f.Type == awaitRoom:
			b.endWait(p.slot.name, roomWait)
		case f.ID == 0:
			b.endWaits(p.slot.name)
		default:
			b.endWait(p.slot.name, f.ID)
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

// credited takes in what the worker gives back, and which messages have left its inbox.
func (p *peer) credited(f *wire.Frame) error {
	ok := false
	if f.Flags&wire.FlagSoft != 0 {
		_, ok = p.slot.out.settled(f.Serial())
	} else {
		ok = p.slot.out.granted(f.Credit())
	}
	if !ok {
		return lie("it gave credit for more than it was sent, or for nothing")
	}
	return nil
}

// forward routes a message or a call of the worker.
func (p *peer) forward(f *wire.Frame) error {
	n, err := p.client.charge(f)
	if err != nil {
		return err
	}
	if f.Kind == wire.Call {
		p.allowed.cancels++
		if err := p.client.mayCall(f); err != nil {
			p.client.grant(n) // nothing is kept of a lie: the next life does not pay for it
			return err
		}
	}
	if f.Kind == wire.Message {
		f.Meta, f.Left = "", 0 // a message has none, whatever the worker wrote there
	}
	p.slot.desk.calls.forward(p, f, n)
	return nil
}

// replied routes the reply of the worker to the caller.
func (p *peer) replied(f *wire.Frame) error {
	e, ok := p.slot.out.answered(f.ID).(*callEntry)
	if !ok { // the library replies once
		return lie("it replied to call %d, which it was not asked, or has replied to already", f.ID)
	}
	r := p.vouch(f)
	if r.err != nil {
		f = nil
	}
	if e.origin == nil {
		now := time.Now()
		p.served = now.Sub(p.lastServed) < callPause // the caller, who will call again
		p.lastServed = now
	}
	p.pushSoon(p.slot.desk.calls.replied(e, r, f))
	return nil
}

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
	err = p.slot.desk.tasks.submit(j, &meta, f.Type, f.Flags&wire.FlagWait != 0)
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

// vouch reads the outcome that a worker gives. Who it comes from is what main knows, and an error
// is one that a worker can have: it cannot speak of the deaths of others.
func (p *peer) vouch(f *wire.Frame) *reply {
	r := replyOf(f)
	r.err = p.vouchError(f.Type, r.err)
	return r
}

// vouchError is vouched for what this worker says of a message, a call or a task of the type.
func (p *peer) vouchError(typ string, err error) error {
	var stopCause func() error
	if d := p.slot.desk; d != nil {
		stopCause = d.stopCause
	}
	return vouched(p.slot.name, p.pid(), stopCause, typ, err)
}
