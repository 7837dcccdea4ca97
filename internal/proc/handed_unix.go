// The functions of this file serve both processes.

//go:build unix

package proc

import (
	"os"
	"syscall"
)

// handover is what one worker is handed, in the process that starts it.
type handover struct {
	named []handedFD // what the worker is told; the descriptors are those of the worker
	files []*os.File // duplicates, which close closes after the start
}

// newHandover duplicates what is to be handed over, so that it may be closed at any time.
func newHandover(all []Handed) (*handover, error) {
	h := new(handover)
	for _, one := range all {
		fd, err := duplicate(one.From, false)
		if err != nil {
			h.close()
			return nil, handOverError(one.Name, err)
		}
		// The mode of the file is left as it is, because others have the file open as well.
		h.files = append(h.files, os.NewFile(fd, one.Name))
		h.named = append(h.named, handedFD{name: one.Name})
	}
	return h, nil
}

// place adds the files behind the worker's other descriptors.
func (h *handover) place(files []*os.File) []*os.File {
	for i := range h.named {
		h.named[i].fd = uintptr(len(files) + i)
	}
	return append(files, h.files...)
}

// inherit has nothing to do: on Unix a worker inherits what place was given.
func (h *handover) inherit(attr *syscall.SysProcAttr) *syscall.SysProcAttr { return attr }

// close closes what newHandover has opened.
func (h *handover) close() {
	for _, f := range h.files {
		_ = f.Close() // nothing is buffered
	}
}
