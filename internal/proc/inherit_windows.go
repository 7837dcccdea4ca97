// The functions of this file serve both processes.

package proc

import (
	"os"

	"golang.org/x/sys/windows"
)

// dupFD duplicates a handle. inherit says that a worker can inherit the duplicate.
func dupFD(fd uintptr, inherit bool) (uintptr, error) {
	self := windows.CurrentProcess()
	var dup windows.Handle
	err := windows.DuplicateHandle(self, windows.Handle(fd), self, &dup, 0, inherit, windows.DUPLICATE_SAME_ACCESS)
	return uintptr(dup), os.NewSyscallError("DuplicateHandle", err)
}

// uninherit keeps a handle of this worker from the commands that it starts.
func uninherit(fd uintptr) error {
	return os.NewSyscallError("SetHandleInformation",
		windows.SetHandleInformation(windows.Handle(fd), windows.HANDLE_FLAG_INHERIT, 0))
}

// closeFD closes a handle of this process.
func closeFD(fd uintptr) { _ = windows.CloseHandle(windows.Handle(fd)) } // it is open, and nobody else has it
