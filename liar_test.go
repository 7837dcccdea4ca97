package multiprolab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// A liar is a worker that speaks the wire as the fuzzer wants, with the shared memory and the black
// box of a process, and more than one life. Beside it lives an honest worker, in the same bubble of
// time. This file is both, and the fuzz target; what it finds lies in testdata.

// fakePeer is main's end of a life of a worker, and what the worker knows.
type fakePeer struct {
	*peer
	t     testing.TB
	fake  *fakeBody
	in    bytes.Buffer  // what the worker writes
	out   bytes.Buffer  // what main writes to it
	said  *wire.Reader  // of out
	heard []*wire.Frame // frames of main that the worker has not looked at
	dead  error         // why main does not listen to it any more
}

// sharedMemory is that of all liars: it is large, and its content never matters. It is made when it
// is first asked for: the worker processes of the tests have no use for it.
var sharedMemory = sync.OnceValue(func() []byte { return make([]byte, proc.SharedSize) })

// beginFake begins a life of an instance.
func beginFake(t testing.TB, m *Main, s *slot) *fakePeer {
	f := &fakePeer{t: t, fake: &fakeBody{ended: make(chan struct{})}}
	f.peer = newPeer(s, nextLife(s))
	f.connect(f.fake, &f.in, &f.out)
	f.said = wire.NewReader(&f.out, 0)
	f.said.Shared = func(_ uint64, n int) ([]byte, error) { return make([]byte, n), nil }
	s.beginLife(f.peer)
	f.client.openAccount()
	s.out.AttachWhole(f.link)
	f.greeted.Store(true)
	f.say(life.Packed(wire.Hello, &life.Hello{Identity: m.identity}))
	f.say(life.Packed(wire.Ready, &readiness{Tasks: []string{"t", "u"}, Pulls: []string{"p"}}))
	return f
}

// share gives the peer shared memory.
func (f *fakePeer) share() {
	for _, at := range []int{0, proc.SharedSize / 2} {
		clear(sharedMemory()[at : at+8]) // how far the reader of the half has come
	}
	f.link.Share(sharedMemory(), true, nil)
	f.link.StartSharing()
}

// say has main read a frame of the worker.
func (f *fakePeer) say(fr *wire.Frame) { f.write(wire.Append(nil, fr)) }

// write has main read bytes of the worker.
func (f *fakePeer) write(b []byte) {
	f.in.Write(b)
	if f.dead != nil {
		return
	}
	if err := f.link.ReadUntil(f.receive, func() bool { return false }); err != io.EOF {
		f.dead = err
	}
}

// hear reads what main has written.
func (f *fakePeer) hear() {
	if err := f.link.Flush(); err != nil {
		f.t.Fatal(err)
	}
	for {
		fr := new(wire.Frame)
		err := f.said.Next(fr)
		if err == io.EOF {
			return
		}
		if err != nil {
			f.t.Fatalf("main writes garbage: %v", err)
		}
		f.heard = append(f.heard, fr)
	}
}

// die ends the life, as Main.live does.
func (f *fakePeer) die(m *Main) error {
	close(f.fake.ended)
	f.process.Conversed(io.EOF)
	how := f.end(m)
	s := f.slot()
	lost, calls, _ := s.out.Detach()
	m.broker.leave(f.peer, how)
	for _, id := range f.client.streams.Drain() {
		m.broker.cancel(f.client, id, false)
	}
	s.finishLife(f.peer)
	if how == nil {
		how = ErrStopped
	}
	s.failCalls(calls, how, true)
	s.deadLetters(lost, how)
	return how
}

// honest is a worker that does as the library does, one step at a time.
type honest struct {
	*fakePeer
	waiting []*wire.Frame // tasks
	active  *wire.Frame   // the task that runs; nil if none does
	cut     bool          // main knows that the batch that runs is cut
	credit  [2]uint64     // to be given back, and how many messages it has handled
	told    uint64        // of these, main has been told
}

func (h *honest) must() {
	if h.dead != nil {
		h.t.Fatalf("the honest worker is accused: %v", h.dead)
	}
	if h.fake.killed {
		h.t.Fatalf("the honest worker was killed: %s", reasonOf(h.process.Reason()))
	}
}

// react does what the goroutine of a worker that reads does with each frame.
func (h *honest) react() {
	h.hear()
	for len(h.heard) > 0 {
		f := h.heard[0]
		h.heard = h.heard[1:]
		switch f.Kind {
		case wire.Task:
			h.waiting = append(h.waiting, f)
		case wire.Recall:
			i := slices.IndexFunc(h.waiting, func(t *wire.Frame) bool { return t.ID == f.ID })
			switch {
			case i >= 0:
				h.waiting = slices.Delete(h.waiting, i, i+1)
				h.say(&wire.Frame{Kind: wire.Returned, ID: f.ID})
			case h.active != nil && h.active.ID == f.ID && h.active.Flags&wire.FlagBatch != 0 && !h.cut:
				h.cut = true
				h.say(wire.NewSplit(f.ID, 1))
			}
		case wire.Cancel:
			i := slices.IndexFunc(h.waiting, func(t *wire.Frame) bool { return t.ID == f.ID })
			switch {
			case f.Type == "call":
			case i >= 0:
				h.waiting = slices.Delete(h.waiting, i, i+1)
				h.say(replyFrame(wire.Result, f.ID, &reply{err: ErrCancelled}))
			case h.active != nil && h.active.ID == f.ID:
				h.end(&reply{err: context.Canceled})
			}
		case wire.Message:
			h.credit[0] += uint64(f.Cost())
			h.credit[1]++
		case wire.Call:
			h.credit[0] += uint64(f.Cost())
			h.say(&wire.Frame{Kind: wire.Reply, ID: f.ID, Encoding: codec.Bytes})
		case wire.Dump:
			h.say(&wire.Frame{Kind: wire.Stacks, Body: []byte("stacks")})
		case wire.Beat:
			number, _ := f.Beat()
			h.say(wire.NewBeat(number, "", 0))
		case wire.Result, wire.Reply:
			_ = replyOf(f)
		}
		h.must()
		h.hear()
	}
	if h.credit[0] > 0 || h.credit[1] != h.told {
		h.say(wire.NewCredit(h.credit[0], h.credit[1]))
		h.credit[0], h.told = 0, h.credit[1]
	}
	h.must()
}

// step begins with a task or, if one runs, ends it.
func (h *honest) step(how byte) {
	h.react()
	switch {
	case h.active != nil:
		r := &reply{payload: codec.Payload{Encoding: codec.Bytes, Data: []byte("ok")}}
		if h.active.Flags&wire.FlagBatch != 0 {
			o, _ := batch.Whole(h.active.Body)
			n := o.Count()
			if h.cut {
				n = 1
			}
			r.payload.Data = fakeOutcomes(n, how)
		} else if how%4 == 0 {
			r = &reply{err: &RemoteError{Text: "it failed"}}
		}
		h.end(r)
	case len(h.waiting) > 0:
		h.active, h.waiting, h.cut = h.waiting[0], h.waiting[1:], false
		h.say(&wire.Frame{Kind: wire.Start, ID: h.active.ID})
		if how%3 == 0 {
			h.say(
				&wire.Frame{
					Kind:     wire.Progress,
					ID:       h.active.ID,
					Type:     "t",
					Encoding: codec.Bytes,
					Body:     []byte("half"),
				},
			)
		}
	}
	h.react()
}

func (h *honest) end(r *reply) {
	f := replyFrame(wire.Result, h.active.ID, r)
	if r.err == nil {
		f.Flags |= h.active.Flags & wire.FlagBatch
	}
	h.active = nil
	h.say(f)
	h.must()
}

// fakeOutcomes makes the result of a batch.
func fakeOutcomes(n int, how byte) (out []byte) {
	for i := range n {
		if (i+int(how))%5 == 4 {
			err := marshalError(&RemoteError{Text: "an item failed"})
			out = batch.Append(out, batch.Failed, codec.Payload{Data: err})
		} else {
			out = batch.Append(out, batch.OK, codec.Payload{Encoding: codec.Bytes, Data: []byte("ok")})
		}
	}
	return out
}

var (
	fuzzNames = []string{
		"",
		"main",
		"good",
		"good/0",
		"liar",
		"liar/0",
		"good/1",
		"nobody",
		"good/-1",
		"call",
		"task",
		"t",
		"u",
		"p",
		"note",
		"\xff\x00",
		"call,t",
		",",
	}
	fuzzMeta = func() []string {
		all := []string{
			"",
			"{}",
			"\x01",
			"t",
			"p",
			"p,p",
			",,,",
			"good/0,main",
			"main",
			"liar/0",
			"\x01",
			"\x01\x00\x00",
		}
		for _, m := range fuzzOptions {
			all = append(all, m.travelling("").Marshal(), m.travelling("good/0").Marshal(), m.travelling("main,good/0").Marshal())
		}
		return all
	}()
	fuzzOptions = []*TaskOptions{
		nil,
		{Attempts: 3},
		{Key: "k"},
		{Key: "k", Attempts: 2, Retry: RetryPolicy{First: 1, Max: 1}},
		{Delay: time.Millisecond},
		{Timeout: 50 * time.Millisecond},
		{
			Timeout:  20 * time.Millisecond,
			Grace:    10 * time.Millisecond,
			Attempts: 2,
			Retry:    RetryPolicy{First: 1},
		},
		{Priority: PriorityHigh},
		{Priority: PriorityLow, Key: "j"},
		{
			Attempts: 2,
			Retry:    RetryPolicy{On: RetryErrors, First: time.Millisecond},
		},
		{OnProgress: func(context.Context, *Message) {}},
	}
	fuzzErrors = []error{
		errors.New("x"),
		ErrCancelled,
		ErrStopped,
		ErrCallCycle,
		context.Canceled,
		&RemoteError{Text: "x"},
		NoRetry(errors.New("final")),
		RetryAfter(1, nil),
		&WorkerDiedError{},
		&MemoryLimitError{
			Died: &WorkerDiedError{},
		},
		&TimeoutError{},
		&NoWorkerError{},
		&UnknownReceiverError{},
		&UnknownTypeError{},
		&SizeError{},
		&DecodeError{Err: io.EOF},
		&EncodeError{Err: io.EOF},
		&AttemptsError{Attempts: []error{io.EOF}},
		&HangError{Died: &WorkerDiedError{}},
	}
)

// fuzzBytes are the fuzzer's, taken one after the other; behind their end come zeros.
type fuzzBytes []byte

func (b *fuzzBytes) next() byte {
	if len(*b) == 0 {
		return 0
	}
	c := (*b)[0]
	*b = (*b)[1:]
	return c
}

func (b *fuzzBytes) number() uint64 {
	switch c := b.next(); {
	case c < 100:
		return uint64(c)
	case c < 120:
		return -uint64(c - 99)
	case c < 140:
		return 1 << (c - 100)
	default:
		return uint64(c)<<32 | uint64(b.next())
	}
}

// frame is the next frame of the liar.
func (b *fuzzBytes) frame() *wire.Frame {
	f := &wire.Frame{
		Kind:     wire.Kind(b.next()%byte(wire.LogRoom) + 1),
		Flags:    wire.Flags(b.next()) &^ wire.FlagShared,
		Encoding: b.next() % 6,
	}
	f.ID, f.Defs = b.number(), b.number()
	f.Number, f.More = f.ID, f.Defs // of which each kind has its own two
	f.To = fuzzNames[int(b.next())%len(fuzzNames)]
	f.From = fuzzNames[int(b.next())%len(fuzzNames)]
	f.Type = fuzzNames[int(b.next())%len(fuzzNames)]
	f.Meta = fuzzMeta[int(b.next())%len(fuzzMeta)]
	switch c := b.next(); {
	case c < 60:
		f.Body = marshalError(fuzzErrors[int(c)%len(fuzzErrors)])
	case c < 80: // an error that is not quite one
		f.Body = marshalError(fuzzErrors[int(c)%len(fuzzErrors)])
		f.Body[int(b.next())%len(f.Body)] ^= b.next()
	case c < 140:
		f.Body = fakeOutcomes(int(b.next()%20), c)
	case c < 160: // outcomes that are not quite some
		f.Body = fakeOutcomes(int(b.next()%20), c)
		if len(f.Body) > 0 {
			f.Body[int(b.next())%len(f.Body)] ^= b.next()
		}
	default:
		n := min(int(b.next()), len(*b))
		f.Body = bytes.Clone((*b)[:n])
		*b = (*b)[n:]
	}
	return f
}

// trial is one run of the target: a main, a liar, an honest worker.
type trial struct {
	testing.TB
	main     *Main
	liar     *fakePeer
	good     *honest
	all      []*submission
	outcomes map[*submission]int
	calls    []chan *reply
	sent     int // bytes of bodies in shared memory
}

func newTrial(t testing.TB) *trial {
	m := New(
		&Config{
			InProcess:      true,
			Logger:         slog.New(slog.DiscardHandler),
			QueueLimit:     4,
			Window:         4096,
			MaxMessageSize: 1 << 20,
		},
	)
	setup := func(context.Context, *Worker) error { return nil }
	m.RegisterWorker("liar", setup, &WorkerConfig{HandlerTimeout: time.Hour, Prefetch: 8})
	m.RegisterWorker("good", setup, &WorkerConfig{Prefetch: 8})
	m.RegisterError(io.EOF, &TimeoutError{})
	m.state = mainRunning
	m.serving.Store(true)
	if err := m.prepare(); err != nil {
		t.Fatal(err)
	}
	tr := &trial{TB: t, main: m, outcomes: map[*submission]int{}}
	tr.liar = beginFake(t, m, m.pools[0].list()[0]) // first, so that it gets tasks
	tr.good = &honest{fakePeer: beginFake(t, m, m.pools[1].list()[0])}
	return tr
}

// submit submits a task of main, unless the queue is full.
func (tr *trial) submit(items int, o *TaskOptions) {
	p := codec.Payload{Encoding: codec.Bytes, Data: []byte("x")}
	var prepare func(*submission)
	if items > 0 {
		p.Data = nil
		for range items {
			p.Data = batch.Append(p.Data, batch.OK, codec.Payload{Encoding: codec.Bytes, Data: []byte{1}})
		}
		cuts := 0
		prepare = func(s *submission) {
			s.batch = items
			s.split = func(count int) {
				if cuts++; cuts > 1 || count < 1 || count >= items {
					tr.Errorf("a batch of %d was split at %d, for the %d. time", items, count, cuts)
				}
			}
		}
	}
	s, err := tr.main.node.submitPayload(context.Background(), "t", p, o, prepare, false, false)
	if err != nil {
		// the liar may end the program, as every worker may
		if !errors.Is(err, ErrQueueFull) && !errors.Is(err, ErrStopped) {
			tr.Fatal(err)
		}
		return
	}
	tr.all = append(tr.all, s)
	s.onDone(func() { tr.outcomes[s]++ })
}

// call makes a call of main.
func (tr *trial) call(to string) {
	n := tr.main.node
	answer := make(chan *reply, 1)
	n.mu.Lock()
	n.lastID++
	id := n.lastID
	n.calls[id] = answer
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond) // it may have to wait for room
	defer cancel()
	if _, err := tr.main.router.call(ctx, &wire.Frame{Kind: wire.Call, To: to, From: MainName, Type: "note", ID: id}); err == nil {
		tr.calls = append(tr.calls, answer)
	}
}

// check checks what must hold at any moment.
func (tr *trial) check(when string) {
	if s := tr.main.broker.count(); s.Received != s.Succeeded+s.Failed+s.Cancelled+s.Queued+s.Running {
		tr.Fatalf("%s: the counters do not add up: %+v", when, s)
	}
	for s, n := range tr.outcomes {
		if n > 1 {
			tr.Fatalf("%s: task %d has %d outcomes", when, s.id, n)
		}
	}
	tr.good.must()
	for r := tr.main.receiver; ; {
		m, h := r.next()
		if m == nil {
			break
		}
		r.handle(context.Background(), m, h)
	}
	tr.liar.hear()
	if tr.liar.heard = tr.liar.heard[:0]; tr.liar.fake.killed && tr.liar.dead == nil {
		tr.liar.dead = errors.New("main has killed it")
	}
}

// pass lets time pass, in steps in which the honest worker reads.
func (tr *trial) pass(d time.Duration) {
	for ; d > 0; d -= 5 * time.Millisecond {
		time.Sleep(min(d, 5*time.Millisecond))
		synctest.Wait()
		tr.good.react()
	}
}

// act does the next thing.
func (tr *trial) act(b *fuzzBytes) {
	m := tr.main
	switch op := b.next(); {
	case op < 128:
		if f := b.frame(); f.Check(1<<20) == nil {
			tr.liar.say(f)
		}
	case op < 136: // a body in shared memory, wherever that is
		f := b.frame()
		f.Body = sharedMemory()[:b.number()%(2<<20)]
		tr.sent += len(f.Body)
		tr.liar.say(f.Shared(b.number(), new(wire.Frame)))
	case op < 140:
		n := min(int(b.next()), len(*b))
		tr.liar.write((*b)[:n])
		*b = (*b)[n:]
	case op < 160:
		tr.good.step(b.next())
	case op < 170:
		tr.pass(time.Duration(b.next()) * time.Duration(b.next()) * 10 * time.Microsecond)
	case op < 185:
		tr.submit(int(b.next()%10), nil)
	case op < 200:
		tr.submit(0, fuzzOptions[int(b.next())%len(fuzzOptions)])
	case op < 210:
		if len(tr.all) > 0 {
			tr.all[int(b.next())%len(tr.all)].cancel()
		}
	case op < 215:
		tr.call("liar/0")
	case op < 220:
		tr.call("good/0")
	case op < 225:
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		_ = m.router.send(
			ctx,
			&wire.Frame{
				Kind: wire.Message,
				To:   fuzzNames[int(b.next())%len(fuzzNames)],
				From: MainName,
				Type: "note",
				Body: make([]byte, b.next()),
			},
		)
		cancel()
	case op < 228:
		m.queue.Pause(DefaultQueue)
		tr.good.react()
		m.queue.Resume(DefaultQueue)
	case op < 230:
		m.queue.CancelPending("")
	case op < 232:
		tr.liar.share()
	case op < 234:
		tr.liar.askStacks()
	case op < 236:
		tr.liar.process.AskForBeat()
	case op < 238:
		m.broker.retire(tr.liar.peer)
	default: // it dies, with what the fuzzer left in its box, and comes back
		box := &fakeBox{}
		binary.LittleEndian.PutUint64(box.header[0:], b.number())
		for range b.next() % 4 {
			box.stream = wire.Append(box.stream, b.frame())
		}
		binary.LittleEndian.PutUint64(box.header[8:], uint64(len(box.stream))+b.number()%3)
		binary.LittleEndian.PutUint64(box.header[16:], b.number())
		box.outcomes = fakeOutcomes(int(b.next()%12), op)
		binary.LittleEndian.PutUint64(box.header[24:], uint64(len(box.outcomes))+b.number()%3)
		if op%2 == 0 {
			binary.LittleEndian.PutUint64(box.header[0:], uint64(tr.liar.link.Position()))
			tr.liar.fake.left = box
		}
		tr.rebirth()
	}
}

// rebirth ends the life of the liar and begins another.
func (tr *trial) rebirth() {
	tr.liar.die(tr.main)
	tr.liar = beginFake(tr, tr.main, tr.liar.slot())
}

// finish ends the trial: the liar is gone for good, the honest worker does what is left.
func (tr *trial) finish() {
	m := tr.main
	tr.main.bury(tr.liar.slot(), tr.liar.die(m))
	for range 400 + 4*len(tr.all) {
		tr.good.step(1)
		tr.check("in the end")
		if len(tr.outcomes) == len(tr.all) && tr.good.active == nil && len(tr.good.waiting) == 0 {
			break
		}
		tr.pass(5 * time.Millisecond) // pauses of retries, timeouts
	}
	tr.pass(200 * time.Millisecond)
	tr.good.step(1)
	for i, s := range tr.all {
		if tr.outcomes[s] != 1 {
			tr.Fatalf("task %d of main has %d outcomes; left: %v", i, tr.outcomes[s], m.queue.Residue())
		}
		r := s.outcome
		_ = s.result(context.Background(), nil)
		if r.err != nil {
			_ = fmt.Sprint(r.err, errors.Is(m.recognise(r.err), io.EOF), errors.As(r.err, new(*TimeoutError)))
		}
	}
	for i, answer := range tr.calls {
		select {
		case <-answer:
		default:
			tr.Fatalf("call %d of main has no outcome", i)
		}
	}
	m.broker.end(ErrStopped)
	m.node.close(ErrStopped)
	m.cancel(ErrStopped)
}

// FuzzLiar: whatever a worker sends, in whatever order, each task and call of main has one outcome,
// the counters add up, the honest worker is not accused, memory stays bounded.
func FuzzLiar(f *testing.F) {
	frame := func(kind wire.Kind, more ...byte) []byte { return append([]byte{0, byte(kind) - 1}, more...) }
	for kind := wire.Hello; kind <= wire.Inspect; kind++ {
		for id := byte(0); id < 6; id++ {
			f.Add(
				bytes.Join(
					[][]byte{{171, 8}, {171, 0}, {190, id}, bytes.Repeat(frame(kind, 0, 1, id, id, 3, 0, 11, 0, 3), 2)},
					nil,
				),
			)
		}
	}
	start, split := frame(
		wire.Start,
		0,
		0,
		1,
		0,
		0,
		0,
		0,
		0,
		0,
	), func(at byte) []byte { return frame(wire.Split, 0, 0, 1, at, 0, 0, 0, 0, 0) }
	f.Add(
		bytes.Join(
			[][]byte{
				{171, 8},
				start,
				{161, 250, 250},
				{140, 1},
				split(3),
				split(2),
				frame(wire.Result, byte(wire.FlagBatch), 1, 1, 0, 0, 0, 11, 0, 100, 8),
			},
			nil,
		),
	)
	f.Add(
		bytes.Join(
			[][]byte{{171, 8}, start, frame(wire.Result, byte(wire.FlagBatch), 1, 1, 0, 0, 0, 11, 0, 100, 12)},
			nil,
		),
	)
	for i := range fuzzErrors {
		f.Add(
			bytes.Join(
				[][]byte{{190, 1}, start, frame(wire.Result, byte(wire.FlagError), 0, 1, 0, 0, 0, 11, 0, byte(i))},
				nil,
			),
		)
		f.Add(bytes.Join([][]byte{{211}, frame(wire.Reply, byte(wire.FlagError), 0, 1, 0, 0, 0, 11, 0, byte(i))}, nil))
	}
	for i := range fuzzMeta {
		f.Add(frame(wire.Submit, byte(wire.FlagWait), 0, 1, 0, 0, 0, 11, byte(i), 0))
	}
	for i := range fuzzOptions { // it dies over a task that it has begun, or not; time passes; it lives again
		for _, begun := range [][]byte{nil, start} {
			f.Add(
				bytes.Join(
					[][]byte{
						{190, byte(i)},
						{190, byte(i)},
						begun,
						{240, 0, 0, 0, 1, 0, 0},
						{161, 200, 200},
						{140, 1},
						{200, 0},
						{140, 0},
					},
					nil,
				),
			)
			f.Add(
				bytes.Join(
					[][]byte{
						{171, 8},
						{190, byte(i)},
						begun,
						{161, 200, 200},
						{201, 1},
						{161, 200, 200},
						{241, 0, 0, 0, 1, 5, 0},
						{140, 0},
					},
					nil,
				),
			)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 2000 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			tr := newTrial(t)
			tr.check("at first")
			for rest := fuzzBytes(b); len(rest) > 0; {
				tr.act(&rest)
				synctest.Wait()
				tr.check("after an event")
				if tr.liar.dead != nil {
					tr.rebirth()
				}
			}
			tr.finish()
			var after runtime.MemStats
			runtime.ReadMemStats(&after)
			if got, most := after.TotalAlloc-before.TotalAlloc, uint64(64<<20+4*tr.sent); got > most {
				t.Fatalf("%d bytes were allocated, more than %d", got, most)
			}
		})
	})
}
