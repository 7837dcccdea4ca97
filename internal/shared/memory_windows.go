package shared

import (
	"crypto/rand"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

// backing is the file mapping of a segment, and its file, which may be zero: a process that was
// passed the mapping has no file of it.
type backing struct {
	section windows.Handle // the file mapping; 0 if the segment is empty
	file    windows.Handle // the file, which goes away with its last handle; 0 if there is none
}

// close closes the handles.
func (b backing) close() {
	for _, h := range []windows.Handle{b.section, b.file} {
		if h != 0 {
			_ = windows.CloseHandle(h) // it is open, and nobody else has it
		}
	}
}

// duplicateTo returns a handle of the mapping in another process, with which one can only read.
func (b backing) duplicateTo(process windows.Handle) (h windows.Handle, err error) {
	if b.section == 0 {
		return 0, nil
	}
	err = windows.DuplicateHandle(windows.CurrentProcess(), b.section, process, &h, windows.FILE_MAP_READ, false, 0)
	return h, os.NewSyscallError("DuplicateHandle", err)
}

// duplicate returns the mapping under another handle, and the handle.
func (b backing) duplicate() (dup backing, fd uintptr, err error) {
	h, err := b.duplicateTo(windows.CurrentProcess())
	return backing{section: h}, uintptr(h), err
}

// draft is a segment that is being written: a file that the system keeps in memory if it can, and
// that goes away with its last handle.
type draft struct {
	*os.File                // the file
	handle   windows.Handle // its handle
}

// newDraft makes an empty file with a name that nobody guesses.
func newDraft() (*draft, error) {
	path := filepath.Join(os.TempDir(), "multiprolab-shared-"+rand.Text())
	path16, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(path16, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_SHARE_DELETE, nil,
		windows.CREATE_NEW, windows.FILE_ATTRIBUTE_TEMPORARY|windows.FILE_FLAG_DELETE_ON_CLOSE, 0)
	if err != nil {
		return nil, &os.PathError{Op: "CreateFile", Path: path, Err: err}
	}
	return &draft{os.NewFile(uintptr(h), path), h}, nil
}

// room returns how large the file may become.
func (d *draft) room() int64 { return math.MaxInt }

// seal makes the segment of what was written. The handles of others can only read.
func (d *draft) seal(size int64) (backing, error) {
	var b backing
	self := windows.CurrentProcess()
	if size > 0 {
		section, err := windows.CreateFileMapping(d.handle, nil, windows.PAGE_READONLY, 0, 0, nil)
		if err != nil {
			return b, os.NewSyscallError("CreateFileMapping", err)
		}
		b.section = section
	}
	err := windows.DuplicateHandle(self, d.handle, self, &b.file, windows.GENERIC_READ, false, 0)
	if err != nil {
		b.close()
		return b, os.NewSyscallError("DuplicateHandle", err)
	}
	if err := d.Close(); err != nil {
		b.close()
		return backing{}, err
	}
	return b, nil
}

// drop gives the draft up.
func (d *draft) drop() { _ = d.Close() } // what was written is not wanted, or seal has told this error

// mapped maps the segment to be read, and closes it.
func (b backing) mapped(size int64) ([]byte, error) {
	defer b.close()
	switch {
	case size < 0 || size > math.MaxInt:
		return nil, fmt.Errorf("the size %d is impossible here", size)
	case size == 0:
		return nil, nil
	}
	at, err := windows.MapViewOfFile(b.section, windows.FILE_MAP_READ, 0, 0, uintptr(size))
	if err != nil {
		return nil, os.NewSyscallError("MapViewOfFile", err)
	}
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), int(size)), nil
}

// Unmap gives back what Map has returned, so that it does not fail.
func Unmap(memory []byte) { _ = windows.UnmapViewOfFile(uintptr(unsafe.Pointer(&memory[0]))) }

// Lane passes segments to one worker: it puts handles into the worker's process. It exists in the
// process that starts the worker. Any goroutine may use it.
type Lane struct {
	within *local // the way to a worker in this process, or nil; does not change

	mu      sync.Mutex     // guards process
	process windows.Handle // the worker; 0 before Bind, after Close, and for a worker in this process
}

// NewLane returns a lane. The worker inherits nothing of it.
func NewLane() (*Lane, *os.File, error) { return &Lane{}, nil, nil }

// Bind tells the lane which process the worker is, which must not have been waited for.
func (l *Lane) Bind(pid int) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.process, err = windows.OpenProcess(windows.PROCESS_DUP_HANDLE, false, uint32(pid))
	return os.NewSyscallError("OpenProcess", err)
}

// Pass puts a handle of a segment into the worker's process.
func (l *Lane) Pass(s *Segment) (handle uint64, err error) {
	if l.within != nil {
		return l.within.pass(s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.process == 0 {
		return 0, os.ErrClosed
	}
	h, err := s.of.duplicateTo(l.process)
	return uint64(h), err
}

// Close gives up the lane.
func (l *Lane) Close() {
	if l.within != nil {
		l.within.close()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.process != 0 {
		_ = windows.CloseHandle(l.process) // it is open, and nobody else has it
		l.process = 0
	}
}

// Outlet is the other end of a Lane. It exists in the worker.
type Outlet struct {
	within *local // the way inside this process, or nil
}

// NewOutlet returns the outlet of a process.
func NewOutlet(uintptr) *Outlet { return &Outlet{} }

// Map maps the segment that main has passed, to be read alone: to write to it ends the process.
func (o *Outlet) Map(handle uint64, size int64) ([]byte, error) {
	of := backing{section: windows.Handle(handle)}
	if o.within != nil {
		var ok bool
		if of, ok = o.within.take(handle); !ok {
			return nil, os.ErrClosed
		}
	}
	return of.mapped(size)
}
