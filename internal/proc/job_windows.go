// The functions of this file are called in the worker process.

package proc

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// joinJob puts this process into a job of its own with these limits, within the job that its main
// process has put it into. The limits hold for the commands that the process starts, too.
func joinJob(info *windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION) error {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return os.NewSyscallError("CreateJobObject", err)
	}
	if _, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(info)), uint32(unsafe.Sizeof(*info))); err != nil {
		windows.CloseHandle(job)
		return os.NewSyscallError("SetInformationJobObject", err)
	}
	// The handle stays open: the limit is the job's, and the job lives as long as the process.
	return os.NewSyscallError("AssignProcessToJobObject",
		windows.AssignProcessToJobObject(job, windows.CurrentProcess()))
}
