// Package shared is data that one process puts into memory once, and that others map, to read it.
//
// Who puts it there makes a Segment, of which nothing can be changed any more, and passes it on
// through a Lane: to one other process each. The other end of the lane, an Outlet, gives that
// process a descriptor of its own, which Map maps and closes. The memory is free when nobody has a
// descriptor or a mapping of it: the system counts them, also those of processes that were killed.
// A Cache is what one process has mapped, by names and versions.
package shared

import (
	"errors"
	"fmt"
	"io"

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

// New puts what src writes into memory.
func New(src io.WriterTo) (*Segment, error) {
	d, err := newDraft()
	if err != nil {
		return nil, err
	}
	w := &writer{to: d, room: d.room()}
	_, err = src.WriteTo(w)
	if err = errors.Join(err, w.err); err != nil {
		d.drop()
		return nil, err
	}
	of, err := d.seal(w.size)
	if err != nil {
		d.drop()
		return nil, err
	}
	return &Segment{w.size, of}, nil
}

// writer writes a draft. It hides what else the draft can do, and never writes more than there is
// room for. Only the source that is asked to write may use it.
type writer struct {
	to   io.Writer // the draft
	room int64     // how many bytes may be written
	size int64     // how many were written
	err  error     // the first error, or nil; a source may have ignored it
}

func (w *writer) Write(b []byte) (n int, err error) {
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
