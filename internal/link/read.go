package link

import (
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/ablate"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is about who reads a wire. If one goroutine read a frame that another one waits for,
// handing it over would cost more than the pipe does. So the goroutine that waits reads for itself,
// with Await or Serve: in main it is the one that waits for the reply to a call, in a worker it is
// the loop when it has nothing to do. Whoever reads handles every frame that comes, as ReadLoop
// would.
//
// ReadLoop reads when nobody else does. When it has served a goroutine that waits, it steps aside,
// because that goroutine mostly reads next. If nobody has read again for a moment, as while a
// handler runs long, a timer brings it back.

// lendTime is how often the timer looks. If nobody has begun to read since it looked last, it
// brings ReadLoop back: that is after one lendTime, or two. It also has the frames written that
// were posted lazily. A shorter time costs more than it brings: a timer that fires, or is set
// again, wakes a thread, which costs who reads and handles frames more than the pipe does.
const lendTime = 5 * time.Millisecond

// Handler handles a frame that has come, on the goroutine that has read it. It never waits. It
// reports whether it has served a goroutine that will want to read next. After an error nothing
// more is read.
type Handler func(f *wire.Frame) (served bool, err error)

// turn is what a goroutine needs while it reads. It exists at both ends of a wire. Only the
// goroutine that holds token touches it.
type turn struct {
	// token guards every other field but heard. Handlers run while it is held.
	token lockorder.Mutex[lockorder.Turn]
	// reader takes the frames from the pipe. Release takes its memory away.
	reader *wire.Reader
	// handle handles the frames. It is nil until ReadLoop or ReadUntil is called.
	handle Handler
	// frame is the memory that every frame is read into; nil if each frame has memory of its own.
	frame *wire.Frame
	// good is the place in the stream, in bytes, behind the last frame that has come whole.
	good int64
	// large is how many bytes of large bodies have come; it is not counted above gcRoomAfter.
	large int64
	// frugal says that this process has a limit on its memory.
	frugal bool
	// received is what has come.
	received received
	// heard is what everybody may read of that.
	heard heard
	// defined is how many type definitions the other end has introduced.
	defined int
	// ended is the error with which the stream ended, if it was not ReadLoop that came to the end.
	ended error
}

// lending is how the turn to read goes from ReadLoop to who waits, and comes back. It exists at
// both ends of a wire. Any goroutine may touch it.
type lending struct {
	// lends says that a goroutine that reads can be interrupted, so that others than ReadLoop may
	// read. It does not change after New.
	lends bool
	// deadline interrupts who reads; it is nil if lends is false. It does not change after New.
	deadline interface{ SetReadDeadline(time.Time) error }
	// resume has room for one: it tells a ReadLoop that has stepped aside to read again.
	resume chan struct{}
	// timer runs tick. Only the goroutine that has set armed may set the timer.
	timer *time.Timer
	// armed says that the timer runs.
	armed atomic.Bool
	// turns is how often somebody else than ReadLoop has begun to read.
	turns atomic.Uint64
	// seen is what turns was when the timer looked last.
	seen atomic.Uint64
	// blocked says that the goroutine that reads may be waiting for the pipe. Only that goroutine
	// writes it.
	blocked atomic.Bool
}

// init makes the lending of a new link that reads from r. The timer runs tick.
func (d *lending) init(r io.Reader, tick func()) {
	d.resume = make(chan struct{}, 1)
	if r, ok := r.(interface{ SetReadDeadline(time.Time) error }); ok && r.SetReadDeadline(time.Time{}) == nil {
		d.lends, d.deadline = !ablate.Without(ablate.Turns), r
	}
	d.timer = time.AfterFunc(time.Hour, tick)
	d.timer.Stop()
}

// SkipPast reads up to and including the first occurrence of mark, and hands everything before it
// to before. It is called before anybody reads frames. Positions in the stream count from there.
func (l *Link) SkipPast(mark []byte, before func([]byte)) error {
	return l.turn.reader.SkipPast(mark, before)
}

// ReadLoop hands each frame to handle until the stream ends or handle returns an error. The type
// definitions among the frames are stored here, before the values that need them.
func (l *Link) ReadLoop(handle Handler) error {
	t := &l.turn
	t.token.Lock()
	defer t.token.Unlock()
	served := t.handle != nil // whether a frame since the last wait has served somebody, or ReadUntil has
	t.handle = handle
	for {
		if served && l.lending.lends && !t.reader.Ready() {
			served = false
			l.giveBack(false)
			<-l.lending.resume
			t.token.Lock()
		}
		if t.ended != nil {
			return t.ended
		}
		if l.choked() {
			l.unchoke()
		}
		one, err := l.readOne()
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // an interruption was meant for another reader
			return err
		}
		served = served || one
	}
}

// ReadUntil reads and handles frames on the calling goroutine until done reports true. It is called
// before ReadLoop.
func (l *Link) ReadUntil(handle Handler, done func() bool) error {
	l.turn.token.Lock()
	defer l.turn.token.Unlock()
	l.turn.handle = handle
	for !done() {
		if _, err := l.readOne(); err != nil {
			return err
		}
	}
	return nil
}

// Ready reports whether the next frame has come whole, so that it will be handled without a wait.
// Only a handler of frames may call it.
func (l *Link) Ready() bool { return l.turn.reader.Ready() }

// Position returns the number of bytes of the frames that have been read so far.
func (l *Link) Position() int64 {
	l.turn.token.Lock()
	defer l.turn.token.Unlock()
	return l.turn.reader.Position()
}

// readOne reads and handles one frame. The error os.ErrDeadlineExceeded says that the wait for the
// frame was interrupted. The caller holds token.
func (l *Link) readOne() (served bool, err error) {
	t := &l.turn
	f := t.frame
	if f == nil {
		f = new(wire.Frame)
	}
	t.good = t.reader.Position()
	if err := t.reader.Next(f); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			_ = l.lending.deadline.SetReadDeadline(time.Time{}) // the deadline could be set, and so can be removed
		}
		return false, err
	}
	l.lending.blocked.Store(false)
	if len(f.Body) >= sharedLeast && t.large <= gcRoomAfter {
		if t.large += int64(len(f.Body)); t.large > gcRoomAfter && !t.frugal {
			makeGCRoom()
		}
	}
	l.show()
	if f.Kind != wire.Defs {
		served, err = t.handle(f)
		if t.frame != nil {
			t.frame.Body = nil // the body is the handler's, and an idle process keeps none
		}
		return served, err
	}
	return false, l.learn(f)
}

// shownEvery is after how many frames at the latest the counts are shown while frames follow each
// other without a pause.
const shownEvery = 32

// show lets everybody see what has come: at each pause, and now and then without one. So the counts
// cost next to nothing for each frame. The caller holds token.
func (l *Link) show() {
	t := &l.turn
	t.received.frames++
	if t.received.frames%shownEvery == 0 || !t.reader.Ready() {
		t.heard.frames.Store(t.received.frames)
		t.heard.bytes.Store(t.received.before + t.received.shared + uint64(t.reader.Position()))
	}
}

// learn takes in type definitions of the other end. The caller holds token.
func (l *Link) learn(f *wire.Frame) error {
	if l.turn.defined++; l.turn.defined > maxDefinitions {
		return &Violation{Reason: "more type definitions came than the limit of 4096"}
	}
	if id, err := l.codec.Define(f.Body); err != nil {
		return &Violation{Reason: err.Error()}
	} else if id != f.Defs {
		return &Violation{Reason: "type definitions came under an id that is not theirs"}
	}
	l.chunks.mu.Lock()
	defer l.chunks.mu.Unlock()
	l.chunks.sent[f.Defs] = true // the end that sent the definitions has them
	return nil
}

// ReadRest reads and handles what the other end has posted and not written, as its black box has
// it, when the other end is gone and nobody reads any more. It trusts nothing in the box.
func (l *Link) ReadRest(box *io.SectionReader) {
	t := &l.turn
	t.token.Lock()
	defer t.token.Unlock()
	if t.handle == nil {
		return // the other end has not begun its stream, whatever it has put into its box
	}
	shared := t.reader.Shared
	t.received.before += uint64(t.reader.Position())
	t.reader = wire.NewReader(unwritten(box, t.good), l.maxBody())
	t.reader.Shared = shared
	for {
		if _, err := l.readOne(); err != nil {
			return // mostly the end of what is in the box
		}
	}
}

// borrow takes the token, if others than ReadLoop can read the wire and nobody reads it now.
func (l *Link) borrow() bool {
	if !l.lending.lends || l.choked() || !l.turn.token.TryLock() {
		return false
	}
	if l.turn.handle == nil || l.turn.ended != nil {
		l.turn.token.Unlock()
		return false
	}
	l.lending.turns.Add(1)
	return true
}

// giveBack gives the token back, so that others may read. With atOnce set it wakes ReadLoop,
// because somebody else waits for what comes.
func (l *Link) giveBack(atOnce bool) {
	l.turn.token.Unlock()
	if atOnce {
		goroutine.Wake(l.lending.resume)
	} else {
		l.lending.arm()
	}
}

// arm makes tick run after lendTime, unless the timer runs already.
func (d *lending) arm() {
	if d.armed.CompareAndSwap(false, true) {
		d.timer.Reset(lendTime)
	}
}

// tick brings ReadLoop back, and wakes WriteLoop for what was posted lazily. It runs on the timer's
// goroutine.
func (l *Link) tick() {
	d := &l.lending
	d.armed.Store(false)
	l.chunks.mu.Lock()
	lazy := l.chunks.lazy
	l.chunks.mu.Unlock()
	if lazy {
		goroutine.Wake(l.wake)
	}
	if turns := d.turns.Load(); turns != d.seen.Swap(turns) {
		if !d.blocked.Load() {
			d.arm() // if it is blocked, the goroutine that reads arms the timer when it gives the token back
		}
		return
	}
	goroutine.Wake(d.resume)
}

// read reads and handles frames on the calling goroutine, which has borrowed the token, until
// enough reports true; enough is asked before each wait. It returns false when the stream has
// ended, so that ReadLoop reports the end, or when the link is choked, so that ReadLoop does the
// waiting.
func (l *Link) read(enough func() bool) bool {
	for {
		for l.turn.reader.Ready() {
			if _, err := l.readOne(); err != nil {
				l.turn.ended = err
				return false
			}
			if l.choked() {
				return false
			}
		}
		l.lending.blocked.Store(true) // before enough is asked: who changes the answer later interrupts the read
		if enough() {
			l.lending.blocked.Store(false)
			return true
		}
		if _, err := l.readOne(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			l.lending.blocked.Store(false)
			l.turn.ended = err
			return false
		}
	}
}

// Interrupt makes the goroutine that reads in Await or Serve look again whether it has what it
// waits for.
func (l *Link) Interrupt() {
	if l.lending.lends && l.lending.blocked.Load() {
		_ = l.lending.deadline.SetReadDeadline(time.Unix(1, 0)) // it fails on a closed pipe, where nobody waits
	}
}

// Await waits for an answer that a handler puts into a channel, and reads the wire meanwhile if
// nobody else does. The function others reports whether somebody else waits for what comes by the
// wire. Await returns false if ctx ends before the answer is there. If l is nil, it only waits.
func Await[T any](ctx context.Context, l *Link, answer <-chan T, others func() bool) (v T, ok bool) {
	if l != nil && l.borrow() {
		if ctx.Done() != nil {
			defer context.AfterFunc(ctx, l.Interrupt)()
		}
		alive := l.read(func() bool { return len(answer) > 0 || ctx.Err() != nil })
		l.giveBack(!alive || others())
	}
	select {
	case v = <-answer:
		return v, true
	default:
	}
	select {
	case v = <-answer:
		return v, true
	case <-ctx.Done():
		return v, false
	}
}

// Serve reads and handles frames on the calling goroutine, if nobody else reads, until ready
// reports true, ctx has ended, or the time d is over. If d is negative, the time is not bounded.
// Interrupt makes it look at ready and ctx. It returns false if the caller has to wait in another
// way, because somebody else reads, the stream has ended or the link is choked.
func (l *Link) Serve(ctx context.Context, d time.Duration, ready func() bool) bool {
	if !l.borrow() {
		return false
	}
	var due time.Time
	if d >= 0 {
		due = time.Now().Add(d)
		_ = l.lending.deadline.SetReadDeadline(due) // it could be set in New; a closed pipe ends the read
	}
	alive := l.read(func() bool { return ready() || ctx.Err() != nil || d >= 0 && !time.Now().Before(due) })
	if d >= 0 {
		_ = l.lending.deadline.SetReadDeadline(time.Time{}) // it could be set in New; a closed pipe ends the read
	}
	l.giveBack(!alive)
	return alive
}

// choked reports whether the other end has to read before more of its frames are read.
func (l *Link) choked() bool { return l.options.Choke > 0 && l.queued.Load() > l.options.Choke }

// unchoke waits until the other end has read half of what chokes the link, or until the link is
// closed: what came before the end of the link is still read. The caller holds token.
func (l *Link) unchoke() {
	l.options.BeforeChoke()
	for l.queued.Load() > l.options.Choke/2 {
		if l.chunks.isClosed() {
			return
		}
		<-l.drained
	}
}

// maxBody returns the greatest length of a body in bytes.
func (l *Link) maxBody() int {
	l.chunks.mu.Lock()
	defer l.chunks.mu.Unlock()
	return l.chunks.maxBody
}
