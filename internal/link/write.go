package link

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/lockorder"
)

// This file is how the frames that were posted are written to the pipe.

// errWouldWait says that the pipe is full.
var errWouldWait = errors.New("the pipe is full")

// writer is what is being written to the pipe. It exists at both ends of a wire. Only the goroutine
// that holds writing touches it.
type writer struct {
	// writing guards rest, begun and written, and sees to it that only one goroutine at a time uses
	// w and atOnce. It is taken before chunks.mu.
	writing lockorder.Mutex[lockorder.Writing]
	// w is the pipe. It does not change after New.
	w io.Writer
	// atOnce writes to the pipe without waiting, as much as there is room for; it is nil if w
	// cannot do so. It does not change after New.
	atOnce func(b []byte) (int, error)
	// rest are the chunks that were taken to be written and have not been written whole.
	rest [][]byte
	// begun is how many bytes of the first chunk in rest have been written.
	begun int
	// written is how many bytes have been written in all.
	written int64
	// writes is how often w was written to. Everybody may read it.
	writes atomic.Uint64
}

// WriteLoop writes what is posted until Close. Each time that it is woken, it writes all that has
// gathered. It returns the first error of the pipe.
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

// finished reports whether the link is closed and everything has been taken to be written.
func (l *Link) finished() bool {
	l.chunks.mu.Lock()
	defer l.chunks.mu.Unlock()
	return l.chunks.closed && len(l.chunks.list) == 0
}

// Flush writes everything that was posted before, on the calling goroutine, so that it is in the
// pipe when Flush returns.
func (l *Link) Flush() error {
	l.writer.writing.Lock()
	defer l.writer.writing.Unlock()
	if l.writer.atOnce != nil {
		if err := l.write(l.writer.atOnce); err != errWouldWait {
			return err
		}
	}
	return l.write(l.writer.w.Write)
}

// Push writes what was posted, on the calling goroutine, as far as the pipe takes it at once, and
// leaves the rest to WriteLoop. It never waits. If l is nil, it does nothing.
func (l *Link) Push() {
	if l == nil {
		return
	}
	if l.writer.atOnce == nil || !l.writer.writing.TryLock() {
		goroutine.Wake(l.wake) // the goroutine that writes now may have looked for chunks for the last time
		return
	}
	defer l.writer.writing.Unlock()
	if err := l.write(l.writer.atOnce); err == errWouldWait {
		goroutine.Wake(l.wake)
	}
}

// write writes what was posted with the function to, until nothing is left. The caller holds
// writing.
func (l *Link) write(to func([]byte) (int, error)) error {
	w := &l.writer
	for {
		if len(w.rest) == 0 {
			if err := l.take(); err != nil || len(w.rest) == 0 {
				return err
			}
		}
		for len(w.rest) > 0 {
			chunk := w.rest[0]
			n, err := to(chunk[w.begun:])
			w.writes.Store(w.writes.Load() + 1)
			w.written += int64(n)
			w.begun += n
			if l.queued.Add(-int64(n)); l.options.Choke > 0 {
				goroutine.Wake(l.drained)
			}
			switch {
			case err == errWouldWait:
				return err
			case err != nil:
				l.breakOff(err)
				return err
			case w.begun == len(chunk):
				w.rest, w.begun = w.rest[1:], 0
				if l.usable(chunk) {
					l.chunks.keep(chunk)
				}
			}
		}
	}
}

// take moves what has been posted to rest, which is empty. It returns the error of the pipe if the
// pipe is broken. The caller holds writing.
func (l *Link) take() error {
	c := &l.chunks
	c.mu.Lock()
	defer c.mu.Unlock()
	l.writer.rest, c.list, c.lazy, c.woken = c.list, nil, false, false
	if len(l.writer.rest) == 0 && l.box != nil {
		l.box.reset(l.writer.written)
	}
	return c.broken
}

// breakOff closes the link because of an error of the pipe.
func (l *Link) breakOff(err error) {
	l.Close()
	l.chunks.mu.Lock()
	defer l.chunks.mu.Unlock()
	l.chunks.broken = err
}

// usable reports whether a chunk that has been written may be filled again: that is so if empty has
// made it. The body of a frame is not usable, and is told by having no free capacity; nor is a
// chunk that lies in the black box.
func (l *Link) usable(chunk []byte) bool {
	return cap(chunk) >= smallChunk && cap(chunk) <= 2*OwnChunk && cap(chunk) > len(chunk) &&
		(l.box == nil || !l.box.holds(chunk))
}
