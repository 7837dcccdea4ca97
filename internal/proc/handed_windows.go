// The functions of this file serve both processes.

package proc

import (
	"os"
	"syscall"
)

// handover is what one worker is handed, in the process that starts it.
type handover struct {
	named []handedFD // what the worker is told; the handles are inheritable duplicates, which close closes
}

// newHandover duplicates what is to be handed over, so that it may be closed at any time. A handle
// has the same value in the worker that inherits it. A socket of Windows's own protocols is a
// handle like any other, which a process may inherit (WSASocketW, WSA_FLAG_NO_HANDLE_INHERIT).
func newHandover(all []Handed) (*handover, error) {
	h := new(handover)
	for _, one := range all {
		fd, err := duplicate(one.From, true)
		if err != nil {
			h.close()
			return nil, handOverError(one.Name, err)
		}
		h.named = append(h.named, handedFD{one.Name, fd})
	}
	return h, nil
}

// place returns the files: on Windows they are the standard handles, and no others.
func (*handover) place(files []*os.File) []*os.File { return files }

// inherit adds the handles to those that the worker inherits.
func (h *handover) inherit(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	for _, one := range h.named {
		attr.AdditionalInheritedHandles = append(attr.AdditionalInheritedHandles, syscall.Handle(one.fd))
	}
	return attr
}

// close closes what newHandover has opened.
func (h *handover) close() {
	for _, one := range h.named {
		closeFD(one.fd)
	}
}
