// The functions of this file are called in the worker process.

package proc

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	getProcessAffinityMask = windows.NewLazySystemDLL("kernel32.dll").NewProc("GetProcessAffinityMask")
	setProcessAffinityMask = windows.NewLazySystemDLL("kernel32.dll").NewProc("SetProcessAffinityMask")
)

// applyOpenFiles is never called, see lacks.
func (l *Limits) applyOpenFiles() error { return errors.ErrUnsupported }

// applyCPUTime makes the system end the process, and each command that it starts, when it has used
// so much processor time in user mode.
func (l *Limits) applyCPUTime() error {
	return joinJob(&windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{
			LimitFlags:              windows.JOB_OBJECT_LIMIT_PROCESS_TIME,
			PerProcessUserTimeLimit: l.seconds() * 1e7, // in units of 100 ns
		},
	})
}

// applyNice chooses the priority class, see Limits.Nice. It never chooses REALTIME, which goes
// before the system's own threads.
func (l *Limits) applyNice() error {
	class := uint32(windows.IDLE_PRIORITY_CLASS)
	switch {
	case l.Nice <= -10:
		class = windows.HIGH_PRIORITY_CLASS
	case l.Nice < 0:
		class = windows.ABOVE_NORMAL_PRIORITY_CLASS
	case l.Nice < 10:
		class = windows.BELOW_NORMAL_PRIORITY_CLASS
	}
	return os.NewSyscallError("SetPriorityClass", windows.SetPriorityClass(windows.CurrentProcess(), class))
}

// applyCPUs sets the affinity of the process.
func (l *Limits) applyCPUs() error {
	var ours, allowed uintptr
	if ok, _, err := getProcessAffinityMask.Call(uintptr(windows.CurrentProcess()),
		uintptr(unsafe.Pointer(&ours)), uintptr(unsafe.Pointer(&allowed))); ok == 0 {
		return os.NewSyscallError("GetProcessAffinityMask", err)
	}
	var mask uintptr
	for _, cpu := range l.CPUs {
		bit := uintptr(1) << cpu // 0 if the number is beyond the last bit
		if allowed&bit == 0 {
			return fmt.Errorf(
				"CPU %d does not exist in this process's processor group; those that do are the bits of %#b",
				cpu,
				allowed,
			)
		}
		mask |= bit
	}
	if ok, _, err := setProcessAffinityMask.Call(uintptr(windows.CurrentProcess()), mask); ok == 0 {
		return os.NewSyscallError("SetProcessAffinityMask", err)
	}
	return nil
}

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

// lacks says why Windows does not have some features.
var lacks = map[string]string{
	"OpenFiles":    "Windows has no limit of open handles",
	"Credential":   "Windows starts processes of other users only with their password",
	"OOMScoreAdj":  "Windows ends no process for lack of memory",
	"PIDNamespace": "Windows has no PID namespaces; a job object already ends all descendants of a worker",
}
