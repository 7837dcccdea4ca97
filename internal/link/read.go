package link

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is who reads a wire. A frame that one goroutine reads and another one waits for costs
// more in being handed over than in the pipe, so the one that waits reads for itself: in main who
// waits for the reply to a call, in a worker the loop when it has nothing to do. Whoever reads
// handles every frame that comes, as ReadLoop would. ReadLoop is the one that reads when nobody
// else does: it steps aside where somebody who waits has just been served, and comes back when that
// one has not read again for a moment, because a handler runs long, say.

const (
	// lendTime is the moment after which ReadLoop comes back if nobody has begun to read, or twice
	// that, and after which a frame of postLazy is written. It is that long because a timer that
	// fires, or is set anew, wakes another thread, which costs who reads and handles more than the
	// wire does.
	lendTime = 5 * time.Millisecond
)

// lending is the part of a link that says whose turn it is to read.
type lending struct {
	lends    bool // a goroutine that reads can be interrupted
	deadline interface{ SetReadDeadline(time.Time) error }
	handle   func(f *wire.Frame) (served bool, err error)

	token   sync.Mutex  // held by who reads
	frame   *wire.Frame // the one that every frame is read into, where handle keeps none; else nil
	good    int64       // the place in the stream of the last frame, or what was none; guarded by token, as is the next
	large   int64       // bytes of large bodies that have come, up to gcRoomAfter
	frugal  bool        // this process has a limit on its memory
	readErr error       // the end of the stream, if it was not ReadLoop who came to it; guarded by token
	resume  chan struct{}
	turns   atomic.Uint64 // how often the token was borrowed
	seen    atomic.Uint64 // turns at the last tick
	armed   atomic.Bool   // the timer runs
	timer   *time.Timer
	blocked atomic.Bool // who reads may be waiting for the pipe
}

func (l *lending) init(link *Link, r io.Reader) {
	l.resume = make(chan struct{}, 1)
	if d, ok := r.(interface{ SetReadDeadline(time.Time) error }); ok && d.SetReadDeadline(time.Time{}) == nil {
		l.lends, l.deadline = true, d
	}
	l.timer = time.AfterFunc(time.Hour, link.tick)
	l.timer.Stop()
}

// ReadLoop hands each frame to handle until the stream ends or handle returns an error. The frame
// belongs to handle, which reports whether somebody was served who will want to read next.
// Definitions are stored here, before the values that need them.
func (l *Link) ReadLoop(handle func(f *wire.Frame) (served bool, err error)) error {
	l.token.Lock()
	defer l.token.Unlock()
	served := l.handle != nil // by a frame since the last wait, or by ReadUntil
	l.handle = handle
	for {
		if served && l.lends && !l.r.Ready() {
			served = false
			l.giveBack(false)
			<-l.resume
			l.token.Lock()
		}
		if l.readErr != nil {
			return l.readErr
		}
		if l.choked() {
			l.unchoke()
		}
		one, err := l.readOne()
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) { // else it was meant for another
			return err
		}
		served = served || one
	}
}

// ReadUntil reads and handles frames on the calling goroutine until done reports true, before there
// is a ReadLoop.
func (l *Link) ReadUntil(handle func(f *wire.Frame) (served bool, err error), done func() bool) error {
	l.token.Lock()
	defer l.token.Unlock()
	l.handle = handle
	for !done() {
		if _, err := l.readOne(); err != nil {
			return err
		}
	}
	return nil
}

// readOne reads and handles one frame. An error that is os.ErrDeadlineExceeded says that the wait
// for it was interrupted. The caller holds the token.
func (l *Link) readOne() (served bool, err error) {
	f := l.frame
	if f == nil {
		f = new(wire.Frame)
	}
	l.good = l.r.Position()
	if err := l.r.Next(f); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			_ = l.deadline.SetReadDeadline(time.Time{})
		}
		return false, err
	}
	l.blocked.Store(false)
	if len(f.Body) >= sharedLeast && l.large <= gcRoomAfter {
		if l.large += int64(len(f.Body)); l.large > gcRoomAfter && !l.frugal {
			makeGCRoom()
		}
	}
	if f.Kind != wire.Defs {
		served, err = l.handle(f)
		if l.frame != nil {
			l.frame.Body = nil // which is the handler's: an idle process keeps none
		}
		return served, err
	}
	if l.defined++; l.defined > maxLinkDefs {
		return false, &Violation{Reason: "more type definitions came than the limit of 4096"}
	}
	if id, err := l.codec.Define(f.Body); err != nil {
		return false, &Violation{Reason: err.Error()}
	} else if id != f.Defs {
		return false, &Violation{Reason: "type definitions came under an id that is not theirs"}
	}
	l.mu.Lock()
	l.sent[f.Defs] = true // who defined it has it
	l.mu.Unlock()
	return false, nil
}

// ReadRest reads what the other end has posted and not written, when nobody reads any more.
func (l *Link) ReadRest(box *io.SectionReader) {
	l.token.Lock()
	defer l.token.Unlock()
	shared := l.r.Shared
	l.r = wire.NewReader(unwritten(box, l.good), l.maxBody)
	l.r.Shared = shared
	for {
		if _, err := l.readOne(); err != nil {
			return // its end, mostly
		}
	}
}

// borrow takes the token, if the wire can be read by others than ReadLoop and nobody reads it.
func (l *Link) borrow() bool {
	if !l.lends || l.choked() || !l.token.TryLock() {
		return false
	}
	if l.handle == nil || l.readErr != nil {
		l.token.Unlock()
		return false
	}
	l.turns.Add(1)
	return true
}

// giveBack lets others read. At once says that ReadLoop must: somebody else waits.
func (l *Link) giveBack(atOnce bool) {
	l.token.Unlock()
	if atOnce {
		wakeUp(l.resume)
	} else {
		l.arm()
	}
}

// arm makes tick run after a moment.
func (l *Link) arm() {
	if l.armed.CompareAndSwap(false, true) {
		l.timer.Reset(lendTime)
	}
}

// tick brings ReadLoop back, and wakes the writer for what was posted lazily. It runs on the
// timer's goroutine.
func (l *Link) tick() {
	l.armed.Store(false)
	l.mu.Lock()
	lazy := l.lazy
	l.mu.Unlock()
	if lazy {
		wakeUp(l.wake)
	}
	if turns := l.turns.Load(); turns != l.seen.Swap(turns) {
		if !l.blocked.Load() {
			l.arm() // else who reads will
		}
		return
	}
	wakeUp(l.resume)
}

// read reads and handles frames on the calling goroutine, which has borrowed the wire, until enough
// reports true; it is asked before each wait. It returns false when the stream has ended, which
// ReadLoop then reports, or the link is choked, in which ReadLoop waits.
func (l *Link) read(enough func() bool) bool {
	for {
		for l.r.Ready() {
			if _, err := l.readOne(); err != nil {
				return l.over(err)
			}
			if l.choked() {
				return false
			}
		}
		l.blocked.Store(true) // before the look: who comes after it interrupts
		if enough() {
			l.blocked.Store(false)
			return true
		}
		if _, err := l.readOne(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			l.blocked.Store(false)
			return l.over(err)
		}
	}
}

func (l *Link) over(err error) bool {
	l.readErr = err
	return false
}

// Interrupt makes read ask again whether it is enough.
func (l *Link) Interrupt() {
	if l.lends && l.blocked.Load() {
		_ = l.deadline.SetReadDeadline(time.Unix(1, 0))
	}
}

// Serve reads and handles frames on the calling goroutine, if nobody else reads, until ready
// reports true, ctx has ended, or the time d is over unless that is negative. It returns false if
// the caller has to wait in another way.
func (l *Link) Serve(ctx context.Context, d time.Duration, ready func() bool) bool {
	if !l.borrow() {
		return false
	}
	var due time.Time
	if d >= 0 {
		due = time.Now().Add(d)
		_ = l.deadline.SetReadDeadline(due)
	}
	alive := l.read(func() bool { return ready() || ctx.Err() != nil || d >= 0 && !time.Now().Before(due) })
	if d >= 0 {
		_ = l.deadline.SetReadDeadline(time.Time{})
	}
	l.giveBack(!alive)
	return alive
}

// SkipPast reads up to and including the first occurrence of mark and hands everything before it to
// before.
func (l *Link) SkipPast(mark []byte, before func([]byte)) error { return l.r.SkipPast(mark, before) }

// Ready reports whether the next frame is there. Only who reads may call it.
func (l *Link) Ready() bool { return l.r.Ready() }

// Position returns the number of bytes of the frames that have been read.
func (l *Link) Position() int64 {
	l.token.Lock()
	defer l.token.Unlock()
	return l.r.Position()
}

// Await waits for an answer, and reads the wire meanwhile if nobody else does. others reports
// whether somebody else waits for the wire. It returns false when ctx has ended before.
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
