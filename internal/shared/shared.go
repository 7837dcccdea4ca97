// Package shared is data that one process puts into memory once, and that others map, to read it.
//
// Who puts it there makes a Segment, of which nothing can be changed any more, and passes it on
// through a Lane: to one other process each. The other end of the lane, an Outlet, gives that
// process a descriptor of its own, which Map maps and closes. The memory is free when nobody has a
// descriptor or a mapping of it: the system counts them, also those of processes that were killed.
// A Cache is what one process has mapped, by names and versions.
//
// A Publisher is the newest version of each name, and passes it on to the processes that have asked
// for it; a Subscriber is the end of that in such a process. What these say to each other is News:
// the package knows nothing of frames, of handlers or of the names of workers, and is given the
// functions that tell.
package shared

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	_ "github.com/multiprolab/multiprolab/internal/platform" // which says where multiprolab runs
)

// ErrFull says that the other process has left too much in its lane.
var ErrFull = errors.New("too many segments wait to be taken")

// Segment is data in memory that does not change. It exists in the process that has put it there,
// which holds a descriptor, and no mapping. Close may be called once nobody uses it otherwise.
type Segment struct {
	size int64   // in bytes; does not change
	of   backing // what the system has for it; does not change
}

// Size returns the length in bytes.
func (s *Segment) Size() int64 { return s.size }

// Close gives up the segment. Who has mapped it, or has a descriptor, keeps it.
func (s *Segment) Close() { s.of.close() }

// New puts what src writes into memory. What counts is what it has written when it returns.
func New(src io.WriterTo) (s *Segment, err error) {
	if src == nil {
		return nil, errors.New("its source is nil: give a bytes.Reader, or another io.WriterTo")
	}
	d, err := newDraft()
	if err != nil {
		return nil, err
	}
	defer func() { // also if src does not return
		if s == nil {
			d.drop()
		}
	}()
	w := &writer{to: d, room: d.room()}
	_, err = src.WriteTo(w)
	size, werr := w.end()
	if err = errors.Join(err, werr); err != nil {
		return nil, err
	}
	of, err := d.seal(size)
	if err != nil {
		return nil, err
	}
	return &Segment{size, of}, nil
}

// writer writes a draft. It hides what else the draft can do, and never writes more than there is
// room for. Any goroutine may use it: who knows what a source does with it.
type writer struct {
	to   io.Writer  // the draft; does not change
	room int64      // how many bytes may be written; does not change
	mu   sync.Mutex // guards size and err
	size int64      // how many were written
	err  error      // the first error, or nil; a source may have ignored it
}

// end refuses what would come later, and returns how much was written, and the first error.
func (w *writer) end() (size int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	size, err = w.size, w.err
	w.err = os.ErrClosed
	return size, err
}

func (w *writer) Write(b []byte) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return 0, w.err
	case int64(len(b)) > w.room-w.size:
		w.err = fmt.Errorf("no file may have more than %d bytes here (RLIMIT_FSIZE, or the size of an address)", w.room)
		return 0, w.err
	}
	n, w.err = w.to.Write(b)
	w.size += int64(n)
	return n, w.err
}
