//go:build unix && !linux

package shared

import (
	"errors"
	"os"
)

// draft is a segment that is being written: a file that has no name any more.
type draft struct {
	*os.File          // where it is written
	read     *os.File // the same file, from which one can only read
}

// newDraft makes an empty file, which this process alone can open, and takes its name away.
func newDraft() (*draft, error) {
	w, err := os.CreateTemp("", "multiprolab-shared-")
	if err != nil {
		return nil, err
	}
	r, err := os.Open(w.Name())
	if err != nil {
		return nil, errors.Join(err, os.Remove(w.Name()), w.Close())
	}
	if err := os.Remove(w.Name()); err != nil { // others could open it, and write to it
		return nil, errors.Join(err, w.Close(), r.Close())
	}
	return &draft{w, r}, nil
}

// seal makes the segment of what was written. Nobody can write to the file once this process has
// closed its own descriptor.
func (d *draft) seal(int64) (backing, error) { return backing{d.read}, d.File.Close() }

// drop gives the draft up.
func (d *draft) drop() {
	_ = d.File.Close() // what was written is not wanted, or seal has told this error
	_ = d.read.Close() // nothing was written
}
