package multiprolab

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

const (
	// drainTimeout bounds the reading of a dead worker's pipes, which a process that it left behind
	// may hold open.
	drainTimeout = 500 * time.Millisecond
	// lingerTimeout is how long a worker may live on after it has closed its end of the wire,
	// before it is killed.
	lingerTimeout = 2 * time.Second
	// quitTimeout is the moment between SIGQUIT and SIGKILL.
	quitTimeout = 30 * time.Millisecond
	// callPause is the longest pause between two calls in main for which who reads a wire steps
	// aside: a single call should not hold up what the worker sends next.
	callPause = 200 * time.Microsecond
)

// body is what a life of a worker runs in: a process, or goroutines of this process. All methods
// may be called from any goroutine.
type body interface {
	pid() int
	done() <-chan struct{}  // closed when it has ended and nothing of it is left
	status() proc.Status    // after done
	terminate()             // asks it to end: SIGTERM
	quit()                  // asks it to print its stacks and end: SIGQUIT
	kill()                  // ends it and all that it started: SIGKILL
	raced(proc.Status) bool // the race detector has found something in it; after done
	stopped() string        // the signal that has stopped it, such as "SIGSTOP"; or "", as far as the system tells
	stderr() string         // the end of what it wrote there, or the report of its death; after done
	close()                 // gives up its pipes
	box() *io.SectionReader // what it has not written is there, see link.Link.SetBox; or nil
}

// peer is one life of a worker as main sees it: from the start of its process until nothing of it
// is left. It exists in main. Its reader calls receive; everything else may be called from any
// goroutine.
type peer struct {
	slot  *slot
	life  int
	body  body
	link  *link.Link
	begun time.Time

	client *client // what is kept of it when it is gone

	hello   chan *hello          // capacity 1
	ready   chan *readiness      // capacity 1
	retired chan struct{}        // capacity 1: it is to be replaced, and holds no task
	read    chan struct{}        // closed when the wire has been read to its end
	worker  queue.Worker         // by which the rules of the queue know it; the broker's mutex guards it
	wrote   chan struct{}        // closed when the writer has ended
	hangs   chan *hang           // capacity 1: a handler of it has not returned in time
	dumps   chan struct{}        // capacity 1: it has sent its stacks
	beat    atomic.Pointer[beat] // the last answer to a question for a sign of life
	asked   atomic.Uint64        // questions for a sign of life; each has its number, from 1
	wanted  atomic.Int32         // how often it has been asked for its stacks and has not sent them

	mu         sync.Mutex
	why        string // the reason of the kill
	planned    bool   // that is the end of a task, past its grace, and no fault of the worker's
	stoppedBy  string // what had stopped its process by then
	bye        *farewell
	stacks     string        // of its goroutines, when it was about to be killed
	value      codec.Payload // that it left with SetExitValue
	readErr    error
	hang       *hang     // why it was killed, if it hung
	state      peerState // of the protocol; used by who reads only, as are the next three
	allowed    allowance
	pushes     []*link.Link // to be pushed
	lastServed time.Time    // when a caller in main got its last reply
	served     bool         // a caller in main has got its reply
	holds      atomic.Int32 // tasks that it has and has not finished
	// the task that it was running when it died; used by the supervisor only, as are the next three
	unfinished uint64
	outcomes   []byte // that it had, if that was a batch
	recovered  bool   // its black box has been read; used by the supervisor only, as is the next
	raced      bool   // the race detector has found something in it; used by the supervisor only
	ledOut     bool   // the supervisor ended it by force; used by the supervisor only
	greeted    atomic.Bool
	told       atomic.Bool // to exit
}

// newPeer returns a life of an instance, before it has a process.
func newPeer(s *slot, life int) *peer {
	return &peer{slot: s, life: life, begun: time.Now(), hello: make(chan *hello, 1), ready: make(chan *readiness, 1),
		retired: make(chan struct{}, 1), read: make(chan struct{}), wrote: make(chan struct{}),
		hangs: make(chan *hang, 1), dumps: make(chan struct{}, 1)}
}

// connect gives the life its process, and the two ends of its wire that are main's.
func (p *peer) connect(b body, from io.Reader, to io.Writer) {
	m := p.slot.main
	cfg := &m.cfg
	p.body, p.link = b, newLink(m.codec, from, to, link.Options{
		MaxBody:     cfg.MaxMessageSize,
		Choke:       chokeWindows * int64(cfg.Window),
		BeforeChoke: p.pushAll,
		MostUnread:  max(mostWindows*int64(cfg.Window), mostLarge*int64(cfg.MaxMessageSize)),
		Fail:        p.broken,
	})
	p.client = newClient(p.slot, p.link)
}

type peerState int

const (
	stateNew     peerState = iota
	stateForeign           // it has said hello, and is of another binary: nothing more is taken from it
	stateHello
	stateReady
	stateBye
)

// allowance is what a worker may still send of the frames that cost it no credit, because something
// before allows each of them. It exists in main; only who reads the worker's wire uses it.
type allowance struct {
	cancels      uint64 // its calls and tasks, less those that it has cancelled
	fetchCancels uint64 // its fetches, less those that it has taken back
	beats        uint64 // the number of the last question for a sign of life that it has answered
	retired      bool   // it has asked to be replaced
	exited       bool   // it has asked for the end of the program
	valued       bool   // it has left its exit value
}

func (p *peer) pid() int { return p.body.pid() }

// kill ends the worker with all that it started. The first reason stands.
func (p *peer) kill(why string) {
	p.blame(why)
	p.body.kill()
}

// broken ends the worker because its wire is of no use any more.
func (p *peer) broken(err error) { p.kill("its wire broke: " + brief(err)) }

// killWithStacks ends the worker as kill does, but first lets a Go program print the stacks of its
// goroutines, so that the error can say where it was.
func (p *peer) killWithStacks(why string) {
	p.blame(why)
	if p.dumped() == "" { // it has not answered Dump, but the Go runtime may still react to a signal
		p.body.quit()
		within(p.body.done(), quitTimeout)
	}
	p.kill(why)
}

// killWithTask ends the worker with a task that goes on past its grace, which is no fault of its
// own.
func (p *peer) killWithTask(why string) {
	p.mu.Lock()
	p.planned = p.planned || p.why == ""
	p.mu.Unlock()
	p.killWithStacks(why)
}

// onPurpose reports whether main has killed the worker with its task.
func (p *peer) onPurpose() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.planned
}

// dumped returns the stacks that the worker has sent in answer to Dump.
func (p *peer) dumped() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stacks
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

// converse reads and writes the wire until it ends. The goroutines end with the wire: at the latest
// when body.close closes it.
func (p *peer) converse(cookie string, before func([]byte)) {
	go func() {
		defer close(p.wrote)
		_ = p.link.WriteLoop() // an error of the pipe is not the verdict: the exit status is
	}()
	go func() {
		defer close(p.read)
		mark, _ := hex.DecodeString(cookie)
		err := p.link.SkipPast(mark, before)
		if err == nil {
			err = p.link.ReadLoop(p.receive)
		}
		p.mu.Lock()
		p.readErr = err
		p.mu.Unlock()
		var violation *link.Violation
		var corrupt *wire.CorruptError
		var size *wire.SizeError
		if errors.As(err, &violation) || errors.As(err, &corrupt) || errors.As(err, &size) {
			p.kill("it broke the wire: " + err.Error())
		}
	}()
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

// pushAll pushes the links that pushSoon has noted.
func (p *peer) pushAll() {
	for _, l := range p.pushes {
		l.Push()
	}
	p.pushes = p.pushes[:0]
}

// pushSoon makes receive push a link to which a frame of this worker was posted, when it has read
// all that it has.
func (p *peer) pushSoon(l *link.Link) {
	if l != nil && !slices.Contains(p.pushes, l) {
		p.pushes = append(p.pushes, l)
	}
}

func (p *peer) take(f *wire.Frame) error {
	m, b := p.slot.main, p.slot.main.broker
	switch {
	case p.state == stateNew && f.Kind != wire.Hello, p.state != stateNew && f.Kind == wire.Hello,
		p.state == stateBye, p.state == stateForeign, f.Kind == wire.Ready && p.state != stateHello:
		return lie("a %v frame came out of turn", f.Kind)
	}
	switch f.Kind {
	case wire.Hello:
		var h hello
		if err := unmarshalBody(f, &h); err != nil {
			return err
		}
		if p.state = stateHello; h.Identity != m.identity {
			p.state = stateForeign // which identify makes the error of its start
		}
		p.hello <- &h
	case wire.Ready:
		var r readiness
		if err := unmarshalBody(f, &r); err != nil {
			return err
		}
		p.state = stateReady
		if r.Error == nil {
			if err := b.enter(p, &r); err != nil {
				return err
			}
		}
		p.ready <- &r
	case wire.Bye:
		var bye farewell
		if err := unmarshalBody(f, &bye); err != nil {
			return err
		}
		p.state = stateBye
		p.mu.Lock()
		p.bye = &bye
		p.mu.Unlock()
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
	default:
		return p.takeFree(f)
	}
	return nil
}

// takeFree handles the frames that cost the worker nothing, because each of them is allowed by
// something before, once.
func (p *peer) takeFree(f *wire.Frame) error {
	m, b, may := p.slot.main, p.slot.main.broker, &p.allowed
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
			m.emit(
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
			m.emit(
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
			m.router.cancelCallOf(p.client, f.ID, f.Flags&wire.FlagSoft != 0)
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
	case wire.Beat:
		number, since := f.Beat()
		if number <= may.beats || number > p.asked.Load() {
			return unless(false)
		}
		may.beats = number
		p.beat.Store(&beat{running: whatRuns(f), since: since, number: number})
	case wire.Stacks:
		if p.wanted.Add(-1) < 0 {
			return unless(false)
		}
		p.mu.Lock()
		p.stacks = string(f.Body[:min(len(f.Body), maxStacks)])
		p.mu.Unlock()
		wakeUp(p.dumps)
	case wire.Overdue:
		return p.overdue(f)
	case wire.Retire:
		if may.retired {
			return unless(false)
		}
		may.retired = true
		b.retire(p)
	case wire.ExitValue:
		if may.valued {
			return unless(false)
		}
		may.valued = true
		p.mu.Lock()
		p.value = payloadOf(f)
		p.mu.Unlock()
	case wire.ExitRequest:
		if may.exited {
			return unless(false)
		}
		may.exited = true
		m.Exit()
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

// whatRuns is what a worker says that it runs.
func whatRuns(f *wire.Frame) string { return strings.Clone(f.Meta[:min(len(f.Meta), 2*maxNameLen)]) }

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
	p.slot.main.router.forward(p, f, n)
	return nil
}

// replied routes the reply of the worker to the caller.
func (p *peer) replied(f *wire.Frame) error {
	e := p.slot.out.answered(f.ID)
	if e == nil { // the library replies once
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
	p.pushSoon(p.slot.main.router.replied(e, r, f))
	return nil
}

// vouch reads the outcome that a worker gives. Who it comes from is what main knows, and an error
// is one that a worker can have: it cannot speak of the deaths of others.
func (p *peer) vouch(f *wire.Frame) *reply {
	r := replyOf(f)
	r.err = p.vouchError(f.Type, r.err)
	return r
}

func (p *peer) vouchError(typ string, err error) error {
	switch err := err.(type) {
	case nil, *SizeError:
	case *EncodeError:
		err.Err = textOf(err.Err)
	case *RemoteError:
		err.Worker, err.PID = p.slot.name, p.pid()
		err.is = slices.DeleteFunc(err.is, func(e error) bool { return !slices.Contains(stdSentinels, e) })
	case *DecodeError:
		err.Receiver, err.Err = p.slot.name, textOf(err.Err)
	case *UnknownTypeError:
		err.Receiver = p.slot.name
	default:
		var is []error
		for _, own := range []error{ErrCallCycle, ErrBacklog, ErrStopped, ErrCancelled, context.Canceled} {
			switch {
			case !errors.Is(err, own):
			case own == ErrStopped && p.slot.main != nil: // which knows of what
				is = append(is, p.slot.main.stopCause())
			default:
				is = append(is, own)
			}
		}
		if is != nil {
			return &carriedError{err.Error(), is}
		}
		return &RemoteError{Worker: p.slot.name, PID: p.pid(), Type: typ, Text: err.Error()}
	}
	return err
}

// textOf returns an error with the text of another one and nothing else of it but what it wraps of
// the standard library.
func textOf(err error) error {
	if err == nil {
		return nil
	}
	if is := append(stdParts(err), stdSentinelsOf(err)...); len(is) > 0 {
		return &carriedError{err.Error(), is}
	}
	return errors.New(err.Error())
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
	err = p.slot.main.broker.submit(j, &meta, f.Type, f.Flags&wire.FlagWait != 0)
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

// end waits until nothing of the life is left and says how it went: nil if it said goodbye without
// an error. First the wire is read to its end, so that what the worker wrote before its death
// counts; then the exit status is there; then comes the verdict.
func (p *peer) end(m *Main) error {
	select {
	case <-p.body.done():
	case <-p.read:
		linger := time.NewTimer(lingerTimeout)
		defer linger.Stop()
		select {
		case <-p.body.done():
		case <-linger.C:
			p.kill("it closed its end of the wire and did not exit")
			if !within(p.body.done(), lingerTimeout) {
				break // goroutines cannot be killed
			}
		}
	}
	if !within(p.read, drainTimeout) {
		p.body.close()
		within(p.read, drainTimeout)
	}
	if box := p.body.box(); box != nil && closed(p.read) && !p.recovered {
		p.recovered = true
		p.link.ReadRest(box)
		left := link.ReadRemains(box) // as Worker.ack and taskInbox.run write it
		p.slot.out.handled(left.Count)
		if id := left.Mark; id != 0 {
			m.broker.recovered(p, id) // in case that its word on it was lost in what it wrote beside the wire's frames
			p.unfinished, p.outcomes = id, left.Note
		}
	}
	p.link.Close()
	p.body.close()
	p.link.Unshare()
	within(p.wrote, drainTimeout)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.verdict()
}

func (p *peer) exitValue() codec.Payload {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.value
}

// verdict says how a life went that has ended.
func (p *peer) verdict() error {
	st := p.body.status()
	p.raced = p.body.raced(st)
	if p.bye != nil && p.why == "" && st.Signal == "" {
		if p.bye.Error != nil {
			return p.vouchError("", p.bye.Error)
		}
		// it has said that it ended well, and nobody knows better
		if !p.raced && (st.ExitCode == 0 || st.Unknown != "") {
			return nil
		}
	}
	d := &WorkerDiedError{Worker: p.slot.name, PID: p.pid(), Life: p.life, ExitCode: st.ExitCode, Signal: st.Signal,
		CoreDump: st.CoreDump, Reason: p.why, Stopped: p.stoppedBy, Uptime: time.Since(p.begun),
		Stderr: p.body.stderr()}
	switch {
	case d.Reason != "":
	case errors.Is(p.readErr, io.ErrUnexpectedEOF):
		d.Reason = "it died in the middle of a message, which is lost"
	case p.slot.pool.cfg.CPUTime > 0 && strings.HasPrefix(d.Stderr, "SIGXCPU"),
		p.slot.pool.cfg.CPUTime > 0 && d.Signal == "SIGXCPU":
		d.Reason = fmt.Sprintf(
			"it has used more processor time than WorkerConfig.CPUTime (%v)",
			p.slot.pool.cfg.CPUTime,
		)
	case d.ExitCode == 0 && d.Signal == "":
		d.Reason = "it exited without saying goodbye: something in it called os.Exit(0), or its main function returned"
	}
	if p.raced {
		d.Reason = strings.TrimPrefix(d.Reason+"; "+racedReason, "; ")
	}
	if st.Unknown != "" {
		d.Reason = strings.TrimPrefix(d.Reason+"; its exit status is unknown: "+st.Unknown, "; ")
	}
	if p.hang != nil {
		d.Stderr = cmp.Or(p.stacks, d.Stderr)
		return &HangError{
			Running: p.hang.running,
			For:     p.hang.since,
			Limit:   p.hang.limit,
			Silent:  p.hang.silent,
			Died:    d,
		}
	}
	if lack := p.lackError(d); lack != nil {
		return lack
	}
	if limit := p.slot.pool.cfg.MemoryLimit; limit > 0 && p.why == "" && outOfMemory(d, st.MaxRSS, limit) {
		return &MemoryLimitError{Limit: limit, Died: d}
	}
	return d
}

// outOfMemory reports whether a worker with a memory limit died because it got no memory. The Go
// runtime mostly says so, in one of these ways (runtime/malloc.go, runtime/mem_linux.go,
// runtime/os_linux.go; with the race detector, sanitizer_common.cpp of LLVM); where it stumbles
// over the missing memory before it can, it dies of a fatal error of its own, close to the limit.
func outOfMemory(d *WorkerDiedError, maxRSS, limit int64) bool {
	for _, says := range []string{
		"out of memory", "cannot allocate memory", "failed to create new OS thread", "pthread_create failed",
		"ThreadSanitizer failed to allocate",
	} {
		if strings.Contains(d.Stderr, says) {
			return true
		}
	}
	runtimeDied := strings.HasPrefix(d.Stderr, "fatal error: ") || strings.HasPrefix(d.Stderr, "runtime: ") ||
		strings.HasPrefix(d.Stderr, "SIG")
	return (runtimeDied || d.Signal == "SIGSEGV") && maxRSS > limit/2 ||
		strings.HasPrefix(d.Stderr, "SIGSEGV: ") && inRuntime(d.Stderr)
}

// inRuntime reports whether a crash was in the Go runtime itself, on the stack of a thread: where
// it has not checked what it got.
func inRuntime(stderr string) bool {
	_, stack, _ := strings.Cut(stderr, "\ngoroutine 0 ")
	_, frame, _ := strings.Cut(stack, "\n")
	return strings.HasPrefix(frame, "runtime.") && !strings.Contains(stderr, "signal arrived during cgo execution")
}

// within waits for c, at most for the time d, and reports whether c was closed.
func within(c <-chan struct{}, d time.Duration) bool {
	select {
	case <-c:
		return true
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	}
}
