// The functions of this file serve both processes.

package proc

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// executable is Executable. Windows starts a program by its path.
func executable() (string, error) { return os.Executable() }

// identity is Identity, as it was at the start of the process: later, the path may lead to another
// file.
func identity() (string, error) { return early.id, early.err }

// early is the identity at the start of the process. It does not change.
var early = takeIdentity()

// identityResult is what takeIdentity has found.
type identityResult struct {
	id  string // the identity
	err error  // why the identity could not be taken, or nil
}

// takeIdentity takes the identity of the file that is at the path of this process's binary now.
func takeIdentity() (r identityResult) {
	path, err := os.Executable()
	if err != nil {
		return identityResult{err: err}
	}
	f, err := os.Open(path)
	if err != nil {
		return identityResult{err: err}
	}
	defer f.Close()
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info); err != nil {
		return identityResult{err: os.NewSyscallError("GetFileInformationByHandle", err)}
	}
	return identityResult{
		id: fmt.Sprintf("%x-%x%08x-%x%08x-%x", info.VolumeSerialNumber, info.FileIndexHigh, info.FileIndexLow,
			info.FileSizeHigh, info.FileSizeLow, info.LastWriteTime.Nanoseconds()),
	}
}

// replaced is Replaced.
func replaced() (string, bool) {
	path, err := os.Executable()
	if err != nil || early.err != nil {
		return "", false
	}
	now := takeIdentity()
	return path, now.err == nil && now.id != early.id
}
