package link

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// OwnChunk is the size in bytes from which a body is written from where it is instead of being
// copied behind its header.
const OwnChunk = 32 << 10

// maxSpares is how many written chunks a link keeps.
const maxSpares = 4

// LeastLimit is the least limit of a wire in bytes, whatever Config.MaxMessageSize says: it limits
// users' bodies, and type definitions and errors must pass as well.
const LeastLimit = 1 << 20

// maxLinkDefs bounds the type definitions that the other end may introduce.
const maxLinkDefs = 4096

// ErrClosed is the error of a post to a link that is closed: the process at its other end is
// gone, or about to be, and what becomes of its jobs, calls and messages is seen to by whoever ends
// its life. Every other error of a post says that the frame cannot be sent, and concludes what it
// was for.
var ErrClosed = errors.New("multiprolab: the wire is closed")

// Link is one end of the wire between main and one worker process: one in main for each life of a
// worker, one in the worker. Any goroutine may post; one goroutine runs WriteLoop and one runs
// ReadLoop. read.go says who reads.
type Link struct {
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
	wake    chan struct{}   // tells WriteLoop that there are chunks, or that the link is closed
	queued  atomic.Int64    // bytes that were posted and have not been written
	// while more than so many bytes are queued, no frame is read: who does not read is not read. 0:
	// no limit
	choke int64
	most  int64 // no outcome is posted behind so many bytes: the other end does not read. 0: no limit
	// capacity 1: tells a ReadLoop that is choked that bytes have been written, or that the link is
	// closed
	drained chan struct{}
	// called by who reads, before it waits because the link is choked; set before use, with choke
	waits   func()
	defined int // by the other end; used by who reads only
	// ends the life that this is a wire of, for the wire is of no use any more. It never waits;
	// called from any goroutine
	fail func(err error)

	options Options
	lending
}

// Options are what a link is told of the process that it is in.
type Options struct {
	MaxBody     int    // bytes, in both directions
	OneFrame    bool   // every frame is read into the same memory: the handler copies what it keeps
	Choke       int64  // bytes; see Link.choke
	BeforeChoke func() // see Link.waits
	MostUnread  int64  // bytes; see Link.most
	// Fail ends the life that this is a wire of. It never waits
	Fail func(err error)
	// DefinitionsIn yields the ids of the type definitions that the items of a batch need
	DefinitionsIn func(batch []byte) iter.Seq[uint64]
	// Excuse makes the frame that says why an outcome could not be sent
	Excuse func(outcome *wire.Frame, err error) *wire.Frame
}

// New returns the link that reads from r and writes to w.
func New(c *codec.Codec, r io.Reader, w io.Writer, o Options) *Link {
	maxBody := max(o.MaxBody, LeastLimit)
	l := &Link{
		codec:   c,
		w:       w,
		r:       wire.NewReader(r, maxBody),
		maxBody: maxBody,
		sent:    map[uint64]bool{},
		wake:    make(chan struct{}, 1),
		atOnce:  writerAtOnce(w),
		drained: make(chan struct{}, 1),
		fail:    o.Fail,
		choke:   o.Choke,
		most:    o.MostUnread,
		waits:   o.BeforeChoke,
		options: o,
	}
	if o.OneFrame {
		l.frame = new(wire.Frame)
	}
	l.lending.init(l, r)
	return l
}

// post queues a frame for the writer and never waits. A body that is lent is the caller's again
// when it returns. The definitions that its body needs go ahead of it, once.
func (l *Link) post(f *wire.Frame) error {
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
func (l *Link) postLazy(f *wire.Frame) error {
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
func (l *Link) postQuiet(f *wire.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.postLocked(f)
}

// PostLast is post, and closes the link in the same moment: nothing can come behind the frame.
func (l *Link) PostLast(f *wire.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.postLocked(f); err != nil {
		return err
	}
	l.closed = ErrClosed
	wakeUp(l.wake)
	return nil
}

// Haste says when a frame that is posted has to be written.
type Haste uint8

const (
	Soon    Haste = iota // by the writer, which is woken: see post
	Lazily               // when the goroutine that posts has nothing better to do: see postLazy
	Quietly              // by the goroutine that posts, at once: see postQuiet
)

// Post queues a frame for the writer and never waits.
func (l *Link) Post(h Haste, f *wire.Frame) error {
	switch h {
	case Lazily:
		return l.postLazy(f)
	case Quietly:
		return l.postQuiet(f)
	}
	return l.post(f)
}

// Tell posts a frame that fits by its making: it has no body, and no texts but bounded ones of this
// library.
func (l *Link) Tell(h Haste, f *wire.Frame) {
	if err := l.Post(h, f); err != nil && err != ErrClosed {
		l.fail(fmt.Errorf("multiprolab: a %v frame could not be sent: %w", f.Kind, err))
	}
}

// Answer posts the outcome of a call or a task. One that cannot be sent reaches who waits for it as
// the error that says why.
func (l *Link) Answer(h Haste, f *wire.Frame) {
	if l.Behind() {
		return
	}
	if err := l.Post(h, f); err != nil && err != ErrClosed {
		l.Tell(h, l.options.Excuse(f, err))
	}
}

// Behind reports whether the other end has left more unread than it may, which ends it.
func (l *Link) Behind() bool {
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

func (l *Link) postLocked(f *wire.Frame) error {
	if err := f.Check(l.maxBody); err != nil {
		return err
	}
	if l.closed != nil {
		return ErrClosed
	}
	if f.Defs != 0 && f.Encoding == codec.GobValue {
		l.define(f.Defs)
	} else if f.Flags&wire.FlagBatch != 0 {
		for id := range l.options.DefinitionsIn(f.Body) {
			l.define(id)
		}
	}
	l.append(f)
	return nil
}

// define posts type definitions if the other end has not got them. The caller holds mu.
func (l *Link) define(id uint64) {
	if l.sent[id] {
		return
	}
	if blob := l.codec.Definitions(id); blob != nil {
		l.append(&wire.Frame{Kind: wire.Defs, Defs: id, Body: blob})
		l.sent[id] = true
	} // else a worker has invented the id
}

func (l *Link) append(f *wire.Frame) {
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
	if last < 0 || cap(l.chunks[last])-len(l.chunks[last]) < wire.HeaderSize || len(l.chunks[last]) >= OwnChunk {
		l.chunks = append(l.chunks, l.chunk())
		last++
	}
	if len(f.Body) < OwnChunk {
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
// Behind it.
func (l *Link) chunk() []byte {
	if n := len(l.spares); n > 0 {
		c := l.spares[n-1]
		l.spares = l.spares[:n-1]
		return c
	}
	if len(l.chunks) == 0 {
		return make([]byte, 0, OwnChunk/8)
	}
	return make([]byte, 0, OwnChunk)
}

// WriteLoop writes what is posted, all that has gathered at a time, until close. It returns the
// first error of the pipe.
func (l *Link) WriteLoop() error {
	for range l.wake {
		if err := l.Flush(); err != nil {
			return err
		}
		if l.finished() {
			return nil
		}
	}
	return nil
}

// Flush writes everything that was posted before, on the calling goroutine, so that it is in the
// pipe when flush returns.
func (l *Link) Flush() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.atOnce != nil {
		if err := l.write(l.atOnce); err != errWouldWait {
			return err
		}
	}
	return l.write(l.w.Write)
}

// Push writes what was posted, on the calling goroutine, as far as the pipe takes it at once, and
// leaves what remains to WriteLoop. It never waits. Of no link, there is nothing to write.
func (l *Link) Push() {
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
func (l *Link) write(to func([]byte) (int, error)) error {
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
				l.Close()
				l.mu.Lock()
				l.broken = err
				l.mu.Unlock()
				return err
			case l.begun == len(c):
				l.rest, l.begun = l.rest[1:], 0
				if cap(c) >= OwnChunk/8 && cap(c) <= 2*OwnChunk && (l.box == nil || !l.box.holds(c)) &&
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

// Recorded reports whether all that was posted and is not yet in the pipe is in the black box,
// where it outlives this process.
func (l *Link) Recorded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.box != nil && !l.box.spilled
}

func (l *Link) finished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed != nil && len(l.chunks) == 0
}

// Close refuses further frames. WriteLoop ends once it has written what was posted before.
func (l *Link) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed == nil {
		l.closed = ErrClosed
	}
	wakeUp(l.wake)
	wakeUp(l.drained)
}

// Release gives up what the link holds of the wire, which has been read to its end and is closed:
// who keeps the link, keeps little.
func (l *Link) Release() {
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
func (l *Link) choked() bool { return l.choke > 0 && l.queued.Load() > l.choke }

// unchoke waits until the other end has read half of what chokes the link, or the link is closed:
// what came before that is still read.
func (l *Link) unchoke() {
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

// Share gives the link memory that it shares with the other end, which uses it once both have said
// that they have it. It is called before anything is read or posted.
func (l *Link) Share(memory []byte, first bool, closer func(memory []byte)) {
	if s := newShared(memory, first, closer); s != nil {
		l.shared, l.r.Shared = s, s.take
	}
}

// Shares reports whether the link has memory that it shares with the other end.
func (l *Link) Shares() bool { return l.shared != nil }

// Unshare gives the shared memory back.
func (l *Link) Unshare() {
	if l.shared != nil {
		l.shared.close()
	}
}

// Frugal says that this process has a limit on its memory. Only who reads may call it.
func (l *Link) Frugal() { l.frugal = true }

// SetBox gives the link memory that outlives this process. It is called before anything is posted.
func (l *Link) SetBox(memory []byte) { l.box = newBlackBox(memory) }

// Mark writes a word into the black box, if there is one, and empties the note in it.
func (l *Link) Mark(word uint64) {
	if l.box != nil {
		l.box.setMark(word)
	}
}

// Count writes another word into the black box, if there is one: a number that grows.
func (l *Link) Count(n uint64) {
	if l.box != nil {
		l.box.setCount(n)
	}
}

// NoteMemory returns the memory of the note in the black box, or nil if there is no box.
func (l *Link) NoteMemory() []byte {
	if l.box == nil {
		return nil
	}
	return l.box.note
}

// Note makes text, which lies in NoteMemory, the note, and reports whether it lies there still.
func (l *Link) Note(text []byte) bool { return l.box != nil && l.box.setNote(text) }

// StartSharing says that the other end has the memory, too.
func (l *Link) StartSharing() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sharing = l.shared != nil
}

// Limit sets the greatest length of a body in bytes, in both directions. Only who reads may call
// it.
func (l *Link) Limit(maxBody int) {
	maxBody = max(maxBody, LeastLimit)
	l.r.Limit(maxBody)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.maxBody = maxBody
}

// Violation reports frames that are well formed and make no sense.
type Violation struct{ Reason string }

func (e *Violation) Error() string { return e.Reason }

// wakeUp wakes the one goroutine that waits on a channel of capacity 1.
func wakeUp(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
