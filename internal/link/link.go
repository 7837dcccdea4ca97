// Package link is one end of the wire between two processes. Frames that are posted to a link are
// written in the order of the posts, and frames that come are read and handled by whoever waits for
// them.
//
// A link knows frames and the codec's type definitions. It knows no names, no tasks and no
// processes: what it needs to know about them comes in Options, and memory that two processes share
// comes with Share and SetBox.
//
// A link has three owners, and a struct for each of them:
//
//   - chunks is what has been posted and not yet taken to be written. Who posts holds its mu.
//   - writer is what is being written. Who writes holds its writing.
//   - turn is what is read. Who reads holds its token, and handles the frames that come with it.
//
// The order of the locks is token, writing, mu: a handler of frames may post and push, and who
// writes takes what was posted. Nobody waits for the pipe while holding mu.
package link

import (
	"errors"
	"io"
	"iter"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// LeastLimit is the least limit for bodies of a wire in bytes, even if Options.MaxBody is less:
// MaxBody is meant for users' bodies, and type definitions and errors must pass as well.
const LeastLimit = 1 << 20

// maxDefinitions bounds the type definitions that the other end may introduce.
const maxDefinitions = 4096

// ErrClosed is the error of a post to a link that is closed: the process at its other end is gone,
// or about to be, and whoever ends its life sees to its jobs, calls and messages. Every other error
// of a post says that the frame cannot be sent, and is the outcome of what the frame was for.
var ErrClosed = errors.New("multiprolab: the wire is closed")

// Body returns the body of a frame for the codec.
func Body(f *wire.Frame) codec.Payload {
	return codec.Payload{Encoding: f.Encoding, Defs: f.Defs, Data: f.Body, Lent: f.Lent}
}

// SetBody makes p the body of a frame.
func SetBody(f *wire.Frame, p codec.Payload) {
	f.Encoding, f.Defs, f.Body, f.Lent = p.Encoding, p.Defs, p.Data, p.Lent
}

// Violation reports frames that are well formed and make no sense.
type Violation struct {
	Reason string // what the other end has done, as a sentence without a full stop
}

func (e *Violation) Error() string { return e.Reason }

// Options are what a link is told of the process that it is in. None of them changes later.
type Options struct {
	// MaxBody is the greatest length of a body in bytes, in both directions. Less than LeastLimit
	// means LeastLimit. Link.Limit changes it.
	MaxBody int
	// OneFrame says that every frame is read into the same memory, because the handler copies what
	// it keeps of a frame. Otherwise a frame belongs to the handler.
	OneFrame bool
	// Choke is a number of bytes. While more bytes are posted and not written, no frame is read: an
	// end that does not read what it is sent is not read either. Zero means no limit.
	Choke int64
	// BeforeChoke is called by the goroutine that reads, before it waits because the link is
	// choked. It is needed if Choke is set.
	BeforeChoke func()
	// MostUnread is a number of bytes. While more bytes are posted and not written, an outcome that
	// the other end has asked for ends the life of the worker instead of being posted. Zero means
	// no limit.
	MostUnread int64
	// Fail ends the life of the worker that this is a wire of, for the wire is of no use any more.
	// It must not wait. Any goroutine calls it.
	Fail func(err error)
	// DefinitionsIn yields the ids of the type definitions that the items in the body of a batch
	// need.
	DefinitionsIn func(batch []byte) iter.Seq[uint64]
	// Excuse makes the frame that is sent in place of an outcome that cannot be sent: it carries
	// the error that says why to who waits for the outcome. It always fits.
	Excuse func(outcome *wire.Frame, err error) *wire.Frame
}

// Link is one end of the wire between main and one worker process: one in main for each life of a
// worker, one in the worker. Any goroutine may post; one goroutine runs WriteLoop and one runs
// ReadLoop. The file read.go says who reads.
type Link struct {
	options Options      // what New was told; it does not change
	codec   *codec.Codec // has the definitions of types, and locks of its own
	chunks  chunks       // what was posted; its mu guards it
	writer  writer       // what is being written; its writing guards it
	turn    turn         // what is being read; its token guards it
	lending lending      // how the turn to read goes round; for any goroutine
	box     *blackBox    // the black box, or nil; set before the first frame is posted
	shared  *shared      // the shared memory, or nil; set before the first frame is posted or read

	// queued counts the bytes that were posted and have not been written. Any goroutine reads it.
	queued atomic.Int64
	// wake has room for one: it tells WriteLoop that there are chunks, or that the link is closed.
	wake chan struct{}
	// drained has room for one: it tells a reader of a choked link that bytes have been written, or
	// that the link is closed.
	drained chan struct{}
}

// New returns the link that reads from r and writes to w. Whoever calls it runs WriteLoop and
// ReadLoop, and closes r and w in the end.
func New(c *codec.Codec, r io.Reader, w io.Writer, o Options) *Link {
	o.MaxBody = max(o.MaxBody, LeastLimit)
	l := &Link{
		options: o,
		codec:   c,
		chunks:  chunks{maxBody: o.MaxBody, sent: map[uint64]bool{}},
		writer:  writer{w: w, atOnce: writerAtOnce(w)},
		turn:    turn{reader: wire.NewReader(r, o.MaxBody)},
		wake:    make(chan struct{}, 1),
		drained: make(chan struct{}, 1),
	}
	if o.OneFrame {
		l.turn.frame = new(wire.Frame)
	}
	l.lending.init(r, l.tick)
	return l
}

// Limit sets the greatest length of a body in bytes, in both directions. Only a handler of frames
// may call it.
func (l *Link) Limit(maxBody int) {
	maxBody = max(maxBody, LeastLimit)
	l.turn.reader.Limit(maxBody)
	l.chunks.mu.Lock()
	defer l.chunks.mu.Unlock()
	l.chunks.maxBody = maxBody
}

// Frugal says that this process has a limit on its memory, so that none is spent on room for the
// garbage collector. Only a handler of frames may call it.
func (l *Link) Frugal() { l.turn.frugal = true }

// Close refuses further frames. WriteLoop ends once it has written what was posted before.
func (l *Link) Close() {
	l.chunks.mu.Lock()
	defer l.chunks.mu.Unlock()
	l.chunks.closed = true
	goroutine.Wake(l.wake)
	goroutine.Wake(l.drained)
}

// Release gives up the memory that the link has for the wire, which has been read to its end and is
// closed. Who keeps the link then keeps little memory.
func (l *Link) Release() {
	l.turn.token.Lock()
	l.turn.reader.Release()
	l.turn.token.Unlock()
	l.chunks.mu.Lock()
	l.chunks.list, l.chunks.spares, l.chunks.sent = nil, nil, nil
	l.chunks.mu.Unlock()
	if l.writer.writing.TryLock() { // else the writer is stuck in a pipe, and will find it broken
		l.writer.rest = nil
		l.writer.writing.Unlock()
	}
}

// SetBox gives the link memory that outlives this process, in which it records what is posted and
// not yet written. It is called before anything is posted. Memory that is too small, or nil, is no
// box.
func (l *Link) SetBox(memory []byte) { l.box = newBlackBox(memory) }

// KeepBox gives the link a black box in the memory of this process, for a worker that is goroutines
// of main: Box reads it when they have ended. It has room for the mark, the note and the numbers,
// and none for the stream. It is called before anything is posted.
func (l *Link) KeepBox() { l.box = newBlackBox(make([]byte, BoxHeader+1+NoteRoom)) }

// Box returns the black box for ReadRemains, if this process is that of the other end, too; or nil
// if there is none.
func (l *Link) Box() *io.SectionReader {
	if l.box == nil {
		return nil
	}
	return io.NewSectionReader(l.box, 0, int64(BoxHeader+len(l.box.stream)+NoteRoom))
}

// Recorded reports whether all that was posted and is not yet in the pipe is in the black box,
// where it outlives this process.
func (l *Link) Recorded() bool {
	l.chunks.mu.Lock()
	defer l.chunks.mu.Unlock()
	return l.box != nil && !l.box.spilled
}

// Secure makes sure that the other end will know everything that was posted, whatever happens to
// this process from now on. It waits only if the black box does not have it.
func (l *Link) Secure() error {
	if l.Recorded() {
		return nil
	}
	return l.Flush()
}

// Mark writes the mark into the black box, if there is one, and empties the note. Mark and Note may
// be called by one goroutine at a time.
func (l *Link) Mark(word uint64) {
	if l.box != nil {
		l.box.setMark(word)
	}
}

// Count writes the count into the black box, if there is one. It only grows. One goroutine at a
// time may call it.
func (l *Link) Count(n uint64) {
	if l.box != nil {
		l.box.setCount(n)
	}
}

// Begin writes into the black box, if there is one, the number of what is about to be begun. It
// only grows. One goroutine at a time may call it.
func (l *Link) Begin(n uint64) {
	if l.box != nil {
		l.box.setBegun(n)
	}
}

// Miss writes into the black box, if there is one, how much this process has never posted, for lack
// of room. It only grows. One goroutine at a time may call it.
func (l *Link) Miss(n uint64) {
	if l.box != nil {
		l.box.setMissed(n)
	}
}

// HasBox reports whether there is a black box.
func (l *Link) HasBox() bool { return l.box != nil }

// NoteMemory returns the memory of the note in the black box, which is NoteRoom bytes, or nil if
// there is no box.
func (l *Link) NoteMemory() []byte {
	if l.box == nil {
		return nil
	}
	return l.box.note
}

// Note makes text the note in the black box, without a copy: it must have been written from the
// first byte of NoteMemory on. It returns false, and changes nothing, if text has outgrown that
// memory and lies elsewhere, or there is no box.
func (l *Link) Note(text []byte) bool { return l.box != nil && l.box.setNote(text) }

// Share gives the link memory that it shares with the other end. Each end uses it for bodies once
// it knows that the other end has it too, see StartSharing. First is true at one of the two ends.
// Unshare hands the memory to closer, unless closer is nil. Share is called before anything is read
// or posted. If the memory is nil or too small, nothing is shared.
func (l *Link) Share(memory []byte, first bool, closer func(memory []byte)) {
	if s := newShared(memory, first, closer); s != nil {
		l.shared, l.turn.reader.Shared = s, l.takeShared
	}
}

// takeShared takes a body out of the shared memory, and counts it. The caller holds token.
func (l *Link) takeShared(at uint64, length int) ([]byte, error) {
	body, err := l.shared.take(at, length)
	l.turn.received.shared += uint64(len(body))
	return body, err
}

// Shares reports whether the link has memory that it shares with the other end.
func (l *Link) Shares() bool { return l.shared != nil }

// StartSharing says that the other end has the shared memory, too.
func (l *Link) StartSharing() {
	l.chunks.mu.Lock()
	defer l.chunks.mu.Unlock()
	l.chunks.sharing = l.shared != nil
}

// Unshare gives the shared memory back, if there is any. What is posted later goes through the
// pipe; a body that still lies in the memory cannot be read any more.
func (l *Link) Unshare() {
	if l.shared != nil {
		l.shared.close()
	}
}

// Traffic returns what has gone over the wire.
func (l *Link) Traffic() Traffic {
	t := Traffic{
		FramesReceived: l.turn.heard.frames.Load(),
		BytesReceived:  l.turn.heard.bytes.Load(),
		Writes:         l.writer.writes.Load(),
	}
	l.chunks.mu.Lock()
	defer l.chunks.mu.Unlock()
	t.FramesSent, t.BytesSent = l.chunks.count.frames, l.chunks.count.bytes
	if l.shared != nil {
		t.Shared = l.shared.lying()
	}
	return t
}
