// This file is what the process that starts a worker hands to it besides the standard files. Handed
// lives in that process, handedSelf in the worker.

package proc

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// Handed is an open file, or a socket, that the worker gets when it starts. The process that starts
// the worker keeps its own.
type Handed struct {
	Name string       // the name by which TakeHanded finds it in the worker
	From syscall.Conn // the file or socket, which must stay open until Start has returned
}

// handedFD is one Handed as the marker tells the worker of it.
type handedFD struct {
	name string  // the name of the Handed
	fd   uintptr // the descriptor in the worker, or on Windows the handle
}

// Pack describes the layout.
func (h *handedFD) Pack(p *pack.Packing) {
	pack.Text(p, &h.name)
	pack.Number(p, &h.fd)
}

// packHanded describes the layout of one handedFD in a list.
func packHanded(p *pack.Packing, h *handedFD) { h.Pack(p) }

// These are the errors of a worker that takes what it cannot have.
var (
	ErrTaken     = errors.New("it was taken before")
	ErrNotHanded = errors.New("nothing was handed over under this name")
)

// handedSelf is what this worker process was handed.
type handedSelf struct {
	mu    sync.Mutex         // guards every other field
	left  map[string]uintptr // by their names the descriptors, or on Windows the handles, that nobody has taken
	taken []string           // the names of those that were taken
}

// take is TakeHanded.
func (h *handedSelf) take(name string) (fd uintptr, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fd, ok := h.left[name]
	switch {
	case slices.Contains(h.taken, name):
		return 0, ErrTaken
	case !ok:
		return 0, ErrNotHanded
	}
	delete(h.left, name)
	h.taken = append(h.taken, name)
	return fd, nil
}

// keep keeps what this worker was handed, and keeps it from the commands that the worker starts.
func (h *handedSelf) keep(all []handedFD) error {
	if len(all) == 0 {
		return nil
	}
	h.left = map[string]uintptr{}
	for _, one := range all {
		if err := uninherit(one.fd); err != nil {
			return fmt.Errorf("descriptor %d, handed over as %q: %w", one.fd, one.name, err)
		}
		h.left[one.name] = one.fd
	}
	return nil
}

// Duplicates are what a worker is handed that lives in this process, as goroutines. Any goroutine
// may use them.
type Duplicates struct {
	left handedSelf // which of them were taken, with a lock of its own
}

// NewDuplicates duplicates what is to be handed over, as a start does.
func NewDuplicates(all []Handed) (*Duplicates, error) {
	d := new(Duplicates)
	d.left.left = map[string]uintptr{}
	for _, one := range all {
		fd, err := duplicate(one.From, false)
		if err != nil {
			d.Close()
			return nil, handOverError(one.Name, err)
		}
		d.left.left[one.Name] = fd
	}
	return d, nil
}

// Take is TakeHanded.
func (d *Duplicates) Take(name string) (fd uintptr, err error) { return d.left.take(name) }

// Close closes what nobody has taken.
func (d *Duplicates) Close() {
	d.left.mu.Lock()
	defer d.left.mu.Unlock()
	for _, fd := range d.left.left {
		closeFD(fd)
	}
	clear(d.left.left)
}

// handOverError is the error of something that cannot be handed over.
func handOverError(name string, err error) error { return fmt.Errorf("hand over %q: %w", name, err) }

// duplicate returns a descriptor, or on Windows a handle, of an open file or a socket that is the
// caller's. No command inherits it; on Windows, inherit says that a worker can inherit the handle.
func duplicate(from syscall.Conn, inherit bool) (uintptr, error) {
	conn, err := from.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd uintptr
	var dupErr error
	if err := conn.Control(func(original uintptr) { fd, dupErr = dupFD(original, inherit) }); err != nil {
		if _, file := from.(*os.File); file { // it was closed: the error says so, but is not os.ErrClosed
			return 0, os.ErrClosed
		}
		return 0, err
	}
	return fd, dupErr
}
