package link

import (
	"bytes"
	"fmt"

	"github.com/multiprolab/multiprolab/internal/ablate"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/lockorder"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is how frames are posted to a link. How they are written is in write.go.

const (
	// OwnChunk is the size in bytes from which a body is written from where it is instead of being
	// copied behind its header.
	OwnChunk = 32 << 10
	// smallChunk is the capacity in bytes of a chunk when no other chunk waits to be written.
	smallChunk = OwnChunk / 8
	// maxSpares is how many written chunks a link keeps to fill them again.
	maxSpares = 4
)

// chunks is what has been posted to a link and not yet taken by who writes. It exists at both ends
// of a wire. Any goroutine that holds mu may touch it. Nobody holds mu while it waits.
type chunks struct {
	// mu guards every other field.
	mu lockorder.Mutex[lockorder.Chunks]
	// list holds the frames, laid out as they are on the wire and in their order.
	list [][]byte
	// spares are chunks that have been written, to be filled again.
	spares [][]byte
	// maxBody is the greatest length of a body in bytes.
	maxBody int
	// sent holds the ids of the type definitions that the other end has.
	sent map[uint64]bool
	// sharing says that the other end has the shared memory, too, so that bodies may go there.
	sharing bool
	// place is the frame that was last made for a body in shared memory. Its memory is used again.
	place wire.Frame
	// lazy says that there are frames for which WriteLoop has not been woken.
	lazy bool
	// woken says that WriteLoop has been woken and has not taken the chunks yet.
	woken bool
	// count is what was posted.
	count sent
	// closed says that nothing is posted any more.
	closed bool
	// broken is the error of the pipe, after which nothing is written any more; or nil.
	broken error
}

// Haste says when, and by whom, a frame that is posted has to be written.
type Haste uint8

const (
	// Soon wakes WriteLoop, which writes the frame.
	Soon Haste = iota
	// Lazily leaves WriteLoop asleep: the goroutine that posts the frame calls Push once it has
	// nothing better to do. If that takes long, WriteLoop writes the frame after lendTime.
	Lazily
	// Quietly leaves WriteLoop asleep: the goroutine that posts the frame calls Push at once, or as
	// soon as it has read what has come.
	Quietly
)

// Post queues a frame to be written and never waits. A body that is lent is the caller's again when
// Post returns. The definitions that the body needs go ahead of it, once. The error is ErrClosed,
// or it says why the frame cannot be sent at all.
func (l *Link) Post(how Haste, f *wire.Frame) error {
	if how == Lazily && (l.writer.atOnce == nil || !l.lending.lends || ablate.Without(ablate.Lazy)) {
		how = Soon // Push would not write the frame, or there is no timer that sees to it
	}
	if ablate.Without(ablate.Quiet) {
		how = Soon
	}
	c := &l.chunks
	c.mu.Lock()
	defer c.mu.Unlock()
	err := l.postLocked(f)
	switch {
	case how == Lazily:
		c.lazy = true
		l.lending.arm()
	case how == Soon && !c.woken:
		c.woken = true
		goroutine.Wake(l.wake)
	}
	return err
}

// PostLast posts a frame and closes the link in one step, so that no frame can come behind it.
func (l *Link) PostLast(f *wire.Frame) error {
	l.chunks.mu.Lock()
	defer l.chunks.mu.Unlock()
	if err := l.postLocked(f); err != nil {
		return err
	}
	l.chunks.closed = true
	goroutine.Wake(l.wake)
	return nil
}

// Tell posts a frame that always fits, because its body and its texts, if it has any, are bounded.
// If the link is closed, it does nothing.
func (l *Link) Tell(how Haste, f *wire.Frame) {
	if err := l.Post(how, f); err != nil && err != ErrClosed {
		l.options.Fail(fmt.Errorf("multiprolab: a %v frame could not be sent: %w", f.Kind, err))
	}
}

// Answer posts the outcome of something that the other end has asked for. If it cannot be sent, who
// waits for it gets the error that says why, see Options.Excuse.
func (l *Link) Answer(how Haste, f *wire.Frame) {
	if l.Behind() {
		return
	}
	if err := l.Post(how, f); err != nil && err != ErrClosed {
		l.Tell(how, l.options.Excuse(f, err))
	}
}

// Behind reports whether the other end has left more unread than it may. If so, it ends the life of
// the worker.
func (l *Link) Behind() bool {
	if l.options.MostUnread <= 0 || l.queued.Load() <= l.options.MostUnread {
		return false
	}
	l.options.Fail(
		fmt.Errorf(
			"multiprolab: it has not read %d bytes that it was sent, most of them outcomes that it asked for",
			l.queued.Load(),
		),
	)
	return true
}

// postLocked checks and queues a frame, behind the definitions that it needs. The caller holds mu.
func (l *Link) postLocked(f *wire.Frame) error {
	if err := f.Check(l.chunks.maxBody); err != nil {
		return err
	}
	if l.chunks.closed {
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

// define queues type definitions if the other end has not got them. The caller holds mu.
func (l *Link) define(id uint64) {
	if l.chunks.sent[id] {
		return
	}
	if blob := l.codec.Definitions(id); blob != nil {
		l.append(&wire.Frame{Kind: wire.Defs, Defs: id, Body: blob})
		l.chunks.sent[id] = true
	} // if there are none, a worker has invented the id
}

// append lays a frame out behind the frames that are queued: in the black box if that has room, its
// body in shared memory if that has room. The caller holds mu.
func (l *Link) append(f *wire.Frame) {
	c := &l.chunks
	c.count.frames++
	c.count.bytes += uint64(f.Size())
	if c.sharing && len(f.Body) >= leastShared() {
		if at, ok := l.shared.put(f.Body); ok {
			f = f.Shared(at, &c.place)
		}
	}
	l.queued.Add(int64(f.Size()))
	last := len(c.list) - 1
	if l.box != nil {
		if free := l.box.room(f.Size()); free != nil {
			if last < 0 || !l.box.isLast(c.list[last]) {
				c.list = append(c.list, free)
				last++
			}
			c.list[last] = wire.Append(c.list[last], f)
			l.box.publish(f.Size())
			return
		}
	}
	if last < 0 || cap(c.list[last])-len(c.list[last]) < wire.HeaderSize || len(c.list[last]) >= OwnChunk {
		c.list = append(c.list, c.empty())
		last++
	}
	if len(f.Body) < OwnChunk {
		c.list[last] = wire.Append(c.list[last], f)
		return
	}
	c.list[last] = wire.AppendHead(c.list[last], f)
	body := f.Body
	if f.Lent && f.Encoding != codec.String { // nobody can change a string
		body = bytes.Clone(body)
	}
	c.list = append(c.list, body[:len(body):len(body)]) // full, so that nothing is appended to it
}

// empty returns an empty chunk: a small one if no other chunk waits, and else a larger one, because
// more is gathering. The caller holds mu.
func (c *chunks) empty() []byte {
	if n := len(c.spares); n > 0 {
		spare := c.spares[n-1]
		c.spares = c.spares[:n-1]
		return spare
	}
	if len(c.list) == 0 {
		return make([]byte, 0, smallChunk)
	}
	return make([]byte, 0, OwnChunk)
}

// keep keeps a chunk that has been written, to be filled again.
func (c *chunks) keep(written []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spares) < maxSpares && !ablate.Without(ablate.Spares) {
		c.spares = append(c.spares, written[:0])
	}
}

// isClosed reports whether nothing is posted any more.
func (c *chunks) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}
