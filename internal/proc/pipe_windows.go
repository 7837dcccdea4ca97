// The functions of this file serve the process that starts workers.

package proc

import (
	"crypto/rand"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// pipeBuffer is the size in bytes of a pipe's buffer, which is Linux's default (pipe(7)).
const pipeBuffer = 64 << 10

// wirePipe makes one pipe, of which main keeps the reading or the writing end. It is a named pipe,
// with a name that nobody guesses: anonymous pipes cannot be overlapped, and the runtime's poller
// takes only overlapped handles.
func wirePipe(mainReads bool) (r, w *os.File, err error) {
	name := `\\.\pipe\multiprolab-` + rand.Text()
	name16, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, nil, err
	}
	direction, access := uint32(windows.PIPE_ACCESS_OUTBOUND), uint32(windows.GENERIC_READ)
	if mainReads {
		direction, access = windows.PIPE_ACCESS_INBOUND, windows.GENERIC_WRITE
	}
	ours, err := windows.CreateNamedPipe(name16,
		direction|windows.FILE_FLAG_OVERLAPPED|windows.FILE_FLAG_FIRST_PIPE_INSTANCE,
		windows.PIPE_TYPE_BYTE|windows.PIPE_READMODE_BYTE|windows.PIPE_WAIT|windows.PIPE_REJECT_REMOTE_CLIENTS,
		1, pipeBuffer, pipeBuffer, 0, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("CreateNamedPipe %s: %w", name, err)
	}
	// The pipe has one instance, which is taken now, so that nobody else can connect afterwards.
	theirs, err := windows.CreateFile(name16, access, 0, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		windows.CloseHandle(ours)
		return nil, nil, fmt.Errorf("CreateFile %s: %w", name, err)
	}
	our, their := os.NewFile(uintptr(ours), name), os.NewFile(uintptr(theirs), name)
	if mainReads {
		return our, their, nil
	}
	return their, our, nil
}
