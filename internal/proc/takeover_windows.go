// The functions of this file serve the worker process.

package proc

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// guardWorker has nothing to do: a new process group does not get the console's Ctrl-C, and the job
// object, whose only handle main has, ends with main, and the worker with it.
func guardWorker(*marker) <-chan struct{} {
	guarded := make(chan struct{})
	close(guarded)
	return guarded
}

// KillSelfTree ends the worker process at once, when main is gone. It does not return. The job
// object ends the descendants.
func KillSelfTree() { os.Exit(exitOrphan) }

// takeOverPipes makes private duplicates of the standard handles that are the wire, and gives user
// code the null device to read from and main's output to write to.
//
// The original handles stay open, but are inherited no more. If they were closed, their values
// would be used again for other files, while the C library of a program with cgo goes on writing to
// the handle that it knows as standard output.
func takeOverPipes(m *marker) (r, w *os.File, err error) {
	if r, err = keep(windows.STD_INPUT_HANDLE, "wire in"); err != nil {
		return nil, nil, err
	}
	if w, err = keep(windows.STD_OUTPUT_HANDLE, "wire out"); err != nil {
		return nil, nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := windows.SetStdHandle(windows.STD_INPUT_HANDLE, windows.Handle(null.Fd())); err != nil {
		return nil, nil, os.NewSyscallError("SetStdHandle", err)
	}
	if err := windows.SetStdHandle(windows.STD_OUTPUT_HANDLE, windows.Handle(m.Stdout)); err != nil {
		return nil, nil, os.NewSyscallError("SetStdHandle", err)
	}
	os.Stdin, os.Stdout = null, os.NewFile(m.Stdout, "/dev/stdout")
	if os.Stdout == nil {
		return nil, nil, fmt.Errorf("handle %#x, passed along for the output, is not valid", m.Stdout)
	}
	return r, w, nil
}

// keep duplicates a standard handle to a private one that no command inherits.
func keep(std uint32, name string) (*os.File, error) {
	h, err := windows.GetStdHandle(std)
	if err != nil {
		return nil, os.NewSyscallError("GetStdHandle", err)
	}
	self := windows.CurrentProcess()
	var dup windows.Handle
	if err := windows.DuplicateHandle(self, h, self, &dup, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
		return nil, os.NewSyscallError("DuplicateHandle", err)
	}
	if err := windows.SetHandleInformation(h, windows.HANDLE_FLAG_INHERIT, 0); err != nil {
		return nil, os.NewSyscallError("SetHandleInformation", err)
	}
	return os.NewFile(uintptr(dup), name), nil
}
