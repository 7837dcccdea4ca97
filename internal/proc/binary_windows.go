// The function of this file serves both processes.

package proc

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// identityOf returns the identity of the file that is at the path now.
func identityOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info); err != nil {
		return "", os.NewSyscallError("GetFileInformationByHandle", err)
	}
	return fmt.Sprintf("%x-%x%08x-%x%08x-%x", info.VolumeSerialNumber, info.FileIndexHigh, info.FileIndexLow,
		info.FileSizeHigh, info.FileSizeLow, info.LastWriteTime.Nanoseconds()), nil
}
