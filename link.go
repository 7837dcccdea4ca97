package multiprolab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// ownChunk is the size in bytes from which a body is written from where it is instead of being
// copied behind its header.
const ownChunk = 32 << 10

// maxSpares is how many written chunks a link keeps.
const maxSpares = 4

// leastLimit is the least limit of a wire in bytes, whatever Config.MaxMessageSize says: it limits
// users' bodies, and type definitions and errors must pass as well.
const leastLimit = 1 << 20

// maxLinkDefs bounds the type definitions that the other end may introduce.
const maxLinkDefs = 4096

// errLinkClosed is the error of a post to a link that is closed: the process at its other end is
// gone, or about to be, and what becomes of its jobs, calls and messages is seen to by whoever ends
// its life. Every other error of a post says that the frame cannot be sent, and concludes what it
// was for.
var errLinkClosed = errors.New("multiprolab: the wire is closed")

// link is one end of the wire between main and one worker process: one in main for each life of a
// worker, one in the worker. Any goroutine may post; one goroutine runs writeLoop and one runs
// readLoop. link_read.go says who reads.
type link struct {
	codec   *codec.Codec
	w       io.Writer
	atOnce  func(b []byte) (int, error) // writes without waiting, as much as there is room for; nil if w cannot
	r       *wire.Reader
	maxBody int

	writing sync.Mutex // held by the goroutine that writes; taken before mu
	rest    [][]byte   // taken from chunks and not yet written; guarded by writing
	begun   int        // bytes of the first of these that have been written; guarded by writing
	written int64      // bytes; guarded by writing

	mu      sync.Mutex
	chunks  [][]byte        // waiting to be written, in order
	spares  [][]byte        // written chunks, to be filled again
	box     *blackBox       // or nil
	shared  *shared         // or nil
	sharing bool            // the other end has it too
	place   wire.Frame      // the last whose body went there, to be used again
	lazy    bool            // chunks wait that the writer has not been woken for
	woken   bool            // the writer has been, and has not taken the chunks yet
	sent    map[uint64]bool // definitions that the other end has
	closed  error           // why nothing is posted any more
	broken  error           // the error of the pipe: nothing is written any more
	wake    chan struct{}   // tells writeLoop that there are chunks, or that the link is closed
	queued  atomic.Int64    // bytes that were posted and have not been written
	// while more than so many bytes are queued, no frame is read: who does not read is not read. 0:
	// no limit
	choke int64
	most  int64 // no outcome is posted behind so many bytes: the other end does not read. 0: no limit
	// capacity 1: tells a readLoop that is choked that bytes have been written, or that the link is
	// closed
	drained chan struct{}
	// called by who reads, before it waits because the link is choked; set before use, with choke
	waits   func()
	defined int // by the other end; used by who reads only
	// ends the life that this is a wire of, for the wire is of no use any more. It never waits;
	// called from any goroutine
	fail func(err error)

	lending
}

func newLink(c *codec.Codec, r io.Reader, w io.Writer, maxBody int, fail func(error)) *link {
	maxBody = max(maxBody, leastLimit)
	l := &link{
		codec:   c,
		w:       w,
		r:       wire.NewReader(r, maxBody),
		maxBody: maxBody,
		sent:    map[uint64]bool{},
		wake:    make(chan struct{}, 1),
		atOnce:  writerAtOnce(w),
		drained: make(chan struct{}, 1),
		fail:    fail,
	}
	l.lending.init(l, r)
	return l
}

// post queues a frame for the writer and never waits. A body that is lent is the caller's again
// when it returns. The definitions that its body needs go ahead of it, once.
func (l *link) post(f *wire.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.postLocked(f)
	if !l.woken {
		l.woken = true
		wakeUp(l.wake)
	}
	return err
}

// postLazy is post for a goroutine that will call push when it has nothing better to do: it leaves
// the writer asleep. Should it take long, the frame goes out after lendTime.
func (l *link) postLazy(f *wire.Frame) error {
	if l.atOnce == nil || !l.lends {
		return l.post(f)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lazy = true
	err := l.postLocked(f)
	l.arm()
	return err
}

// postQuiet is post for a goroutine that calls push at once, or as soon as it has read what has
// come.
func (l *link) postQuiet(f *wire.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.postLocked(f)
}

// postLast is post, and closes the link in the same moment: nothing can come behind the frame.
func (l *link) postLast(f *wire.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.postLocked(f); err != nil {
		return err
	}
	l.closed = errLinkClosed
	wakeUp(l.wake)
	return nil
}

// haste says when a frame that is posted has to be written.
type haste uint8

const (
	soon    haste = iota // by the writer, which is woken: see post
	lazily               // when the goroutine that posts has nothing better to do: see postLazy
	quietly              // by the goroutine that posts, at once: see postQuiet
)

func (l *link) postAs(h haste, f *wire.Frame) error {
	switch h {
	case lazily:
		return l.postLazy(f)
	case quietly:
		return l.postQuiet(f)
	}
	return l.post(f)
}

// tell posts a frame that fits by its making: it has no body, and no texts but bounded ones of this
// library.
func (l *link) tell(h haste, f *wire.Frame) {
	if err := l.postAs(h, f); err != nil && err != errLinkClosed {
		l.fail(fmt.Errorf("multiprolab: a %v frame could not be sent: %w", f.Kind, err))
	}
}

// answer posts the outcome of a call or a task. One that cannot be sent reaches who waits for it as
// the error that says why.
func (l *link) answer(h haste, f *wire.Frame) {
	if l.behind() {
		return
	}
	if err := l.postAs(h, f); err != nil && err != errLinkClosed {
		l.tell(
			h,
			replyFrame(f.Kind, f.ID, &reply{err: fmt.Errorf("multiprolab: the outcome could not be sent: %w", err)}),
		)
	}
}

// behind reports whether the other end has left more unread than it may, which ends it.
func (l *link) behind() bool {
	if l.most <= 0 || l.queued.Load() <= l.most {
		return false
	}
	l.fail(
		fmt.Errorf(
			"multiprolab: it has not read %d bytes that it was sent, most of them outcomes that it asked for",
			l.queued.Load(),
		),
	)
	return true
}

func (l *link) postLocked(f *wire.Frame) error {
	if err := f.Check(l.maxBody); err != nil {
		return err
	}
	if l.closed != nil {
		return errLinkClosed
	}
	if f.Defs != 0 && f.Encoding == codec.GobValue {
		l.define(f.Defs)
	} else if f.Flags&wire.FlagBatch != 0 {
		for id := range definitionsOf(f.Body) {
			l.define(id)
		}
	}
	l.append(f)
	return nil
}

// define posts type definitions if the other end has not got them. The caller holds mu.
func (l *link) define(id uint64) {
	if l.sent[id] {
		return
	}
	if blob := l.codec.Definitions(id); blob != nil {
		l.append(&wire.Frame{Kind: wire.Defs, Defs: id, Body: blob})
		l.sent[id] = true
	} // else a worker has invented the id
}

func (l *link) append(f *wire.Frame) {
	if l.sharing && len(f.Body) >= sharedLeast {
		if at, ok := l.shared.put(f.Body); ok {
			f = f.Shared(at, &l.place)
		}
	}
	l.queued.Add(int64(f.Size()))
	last := len(l.chunks) - 1
	if l.box != nil {
		if free := l.box.room(f.Size()); free != nil {
			if last < 0 || !l.box.isLast(l.chunks[last]) {
				l.chunks = append(l.chunks, free)
				last++
			}
			l.chunks[last] = wire.Append(l.chunks[last], f)
			l.box.publish(f.Size())
			return
		}
	}
	if last < 0 || cap(l.chunks[last])-len(l.chunks[last]) < wire.HeaderSize || len(l.chunks[last]) >= ownChunk {
		l.chunks = append(l.chunks, l.chunk())
		last++
	}
	if len(f.Body) < ownChunk {
		l.chunks[last] = wire.Append(l.chunks[last], f)
		return
	}
	l.chunks[last] = wire.AppendHead(l.chunks[last], f)
	body := f.Body
	if f.Lent && f.Encoding != codec.String { // nobody can change a string
		body = bytes.Clone(body)
	}
	l.chunks = append(l.chunks, body[:len(body):len(body)]) // full, so that nothing is appended to it
}

// chunk returns an empty chunk: a small one for what is alone, and larger ones for what gathers
// behind it.
func (l *link) chunk() []byte {
	if n := len(l.spares); n > 0 {
		c := l.spares[n-1]
		l.spares = l.spares[:n-1]
		return c
	}
	if len(l.chunks) == 0 {
		return make([]byte, 0, ownChunk/8)
	}
	return make([]byte, 0, ownChunk)
}

// writeLoop writes what is posted, all that has gathered at a time, until close. It returns the
// first error of the pipe.
func (l *link) writeLoop() error {
	for range l.wake {
		if err := l.flush(); err != nil {
			return err
		}
		if l.finished() {
			return nil
		}
	}
	return nil
}

// flush writes everything that was posted before, on the calling goroutine, so that it is in the
// pipe when flush returns.
func (l *link) flush() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.atOnce != nil {
		if err := l.write(l.atOnce); err != errWouldWait {
			return err
		}
	}
	return l.write(l.w.Write)
}

// push writes what was posted, on the calling goroutine, as far as the pipe takes it at once, and
// leaves what remains to writeLoop. It never waits. Of no link, there is nothing to write.
func (l *link) push() {
	if l == nil {
		return
	}
	if l.atOnce == nil || !l.writing.TryLock() {
		wakeUp(l.wake) // who writes now may have looked for the last time
		return
	}
	defer l.writing.Unlock()
	if err := l.write(l.atOnce); err == errWouldWait {
		wakeUp(l.wake)
	}
}

// errWouldWait says that the pipe is full.
var errWouldWait = errors.New("the pipe is full")

// write writes until nothing is left. The caller holds l.writing.
func (l *link) write(to func([]byte) (int, error)) error {
	for {
		if len(l.rest) == 0 {
			l.mu.Lock()
			l.rest, l.chunks, l.lazy, l.woken = l.chunks, nil, false, false
			broken := l.broken
			if len(l.rest) == 0 && l.box != nil {
				l.box.reset(l.written)
			}
			l.mu.Unlock()
			if len(l.rest) == 0 || broken != nil {
				return broken
			}
		}
		for len(l.rest) > 0 {
			c := l.rest[0]
			n, err := to(c[l.begun:])
			l.written += int64(n)
			l.begun += n
			if l.queued.Add(-int64(n)); l.choke > 0 {
				wakeUp(l.drained)
			}
			switch {
			case err == errWouldWait:
				return err
			case err != nil:
				l.close(err)
				l.mu.Lock()
				l.broken = err
				l.mu.Unlock()
				return err
			case l.begun == len(c):
				l.rest, l.begun = l.rest[1:], 0
				if cap(c) >= ownChunk/8 && cap(c) <= 2*ownChunk && (l.box == nil || !l.box.holds(c)) &&
					cap(c) > len(c) {
					l.mu.Lock()
					if len(l.spares) < maxSpares {
						l.spares = append(l.spares, c[:0])
					}
					l.mu.Unlock()
				}
			}
		}
	}
}

// recorded reports whether all that was posted and is not yet in the pipe is in the black box,
// where it outlives this process.
func (l *link) recorded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.box != nil && !l.box.spilled
}

func (l *link) finished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed != nil && len(l.chunks) == 0
}

// close refuses further frames with err. writeLoop ends once it has written what was posted before.
func (l *link) close(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed == nil {
		l.closed = err
	}
	wakeUp(l.wake)
	wakeUp(l.drained)
}

// release gives up what the link holds of the wire, which has been read to its end and is closed:
// who keeps the link, keeps little.
func (l *link) release() {
	l.token.Lock()
	l.r.Release()
	l.token.Unlock()
	l.mu.Lock()
	l.chunks, l.spares, l.sent = nil, nil, nil
	l.mu.Unlock()
	if l.writing.TryLock() { // else the writer is stuck in a pipe, and will find it broken
		l.rest = nil
		l.writing.Unlock()
	}
}

// choked reports whether the other end has to read before more is read of it.
func (l *link) choked() bool { return l.choke > 0 && l.queued.Load() > l.choke }

// unchoke waits until the other end has read half of what chokes the link, or the link is closed:
// what came before that is still read.
func (l *link) unchoke() {
	l.waits()
	for l.queued.Load() > l.choke/2 {
		l.mu.Lock()
		closed := l.closed
		l.mu.Unlock()
		if closed != nil {
			return
		}
		<-l.drained
	}
}

// share gives the link memory that it shares with the other end, which uses it once both have said
// that they have it. It is called before anything is read or posted.
func (l *link) share(s *shared) {
	if s != nil {
		l.shared, l.r.Shared = s, s.take
	}
}

// startSharing says that the other end has the memory, too.
func (l *link) startSharing() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sharing = l.shared != nil
}

// limit sets the greatest length of a body in bytes, in both directions. Only who reads may call
// it.
func (l *link) limit(maxBody int) {
	maxBody = max(maxBody, leastLimit)
	l.r.Limit(maxBody)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maxBody = maxBody
}

// wireViolation reports frames that are well formed and make no sense.
type wireViolation struct{ reason string }

func (e *wireViolation) Error() string { return e.reason }

// wakeUp wakes the one goroutine that waits on a channel of capacity 1.
func wakeUp(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// payloadOf returns the body of a frame for the codec.
func payloadOf(f *wire.Frame) codec.Payload {
	return codec.Payload{Encoding: f.Encoding, Defs: f.Defs, Data: f.Body, Lent: f.Lent}
}

// setPayload makes p the body of a frame.
func setPayload(f *wire.Frame, p codec.Payload) {
	f.Encoding, f.Defs, f.Body, f.Lent = p.Encoding, p.Defs, p.Data, p.Lent
}
