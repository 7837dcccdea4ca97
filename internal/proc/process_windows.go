// The types of this file live in the process that starts workers.

package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// killedExitCode is the exit status of a process that Kill has ended, because Windows has no
// signals.
const killedExitCode = 1

// ntResumeProcess lets a process run that was started suspended: os.StartProcess does not hand out
// the thread that ResumeThread would need.
var ntResumeProcess = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtResumeProcess")

// tree is Windows's means to end a worker and its descendants: a job object. The only handle to the
// job is here, so that the system ends the job's processes when this process ends, however it ends.
// Only start and watch use it, except for the methods that end processes.
type tree struct {
	job windows.Handle // the job; open until close
	out windows.Handle // the worker's standard output, as an inheritable handle; 0 after the start
}

// newTree makes the job and the handle that the worker inherits.
func newTree(stdout *os.File) (*tree, error) {
	t := new(tree)
	var err error
	if t.job, err = windows.CreateJobObject(nil, nil); err != nil {
		return nil, os.NewSyscallError("CreateJobObject", err)
	}
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{
			LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
		},
	}
	if _, err = windows.SetInformationJobObject(t.job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info))); err != nil {
		t.close()
		return nil, os.NewSyscallError("SetInformationJobObject", err)
	}
	self := windows.CurrentProcess()
	err = windows.DuplicateHandle(self, windows.Handle(stdout.Fd()), self, &t.out, 0, true,
		windows.DUPLICATE_SAME_ACCESS)
	if err != nil {
		t.close()
		return nil, os.NewSyscallError("DuplicateHandle", err)
	}
	return t, nil
}

// sysProcAttr returns how to start the worker: not running yet, so that it cannot have a child
// outside of the job, and in a process group of its own, to which the console's Ctrl-C does not go
// (CREATE_NEW_PROCESS_GROUP).
func (t *tree) sysProcAttr(*Spec) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		CreationFlags:              windows.CREATE_SUSPENDED | windows.CREATE_NEW_PROCESS_GROUP,
		AdditionalInheritedHandles: []syscall.Handle{syscall.Handle(t.out)},
	}
}

// files returns the worker's standard handles.
func (*tree) files(p *pipes, _ *os.File) []*os.File { return []*os.File{p.cin, p.cout, p.cerr} }

// stdout returns the handle that becomes the worker's standard output. It has the same value in the
// worker.
func (t *tree) stdout() uintptr { return uintptr(t.out) }

// adopt puts the new process into the job and lets it run.
func (t *tree) adopt(proc *os.Process) error {
	var err error
	herr := proc.WithHandle(func(h uintptr) {
		if err = windows.AssignProcessToJobObject(t.job, windows.Handle(h)); err != nil {
			err = os.NewSyscallError("AssignProcessToJobObject", err)
			return
		}
		if status, _, _ := ntResumeProcess.Call(h); status != 0 {
			err = fmt.Errorf("NtResumeProcess: %w", windows.NTStatus(status))
		}
	})
	t.closeOut()
	return errors.Join(herr, err)
}

// waitExit returns when the process has exited. Its handle keeps the pid from being used again.
func (t *tree) waitExit(p *Process) bool {
	err := p.proc.WithHandle(func(h uintptr) {
		_, _ = windows.WaitForSingleObject(windows.Handle(h), windows.INFINITE)
	})
	return err == nil
}

// terminate sends CTRL_BREAK to the worker's process group, in which the worker is alone unless it
// has put other processes there.
func (*tree) terminate(p *Process) error {
	return os.NewSyscallError("GenerateConsoleCtrlEvent",
		windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(p.Pid)))
}

// quit returns an error: Windows has no signal that asks for stacks.
func (*tree) quit(*Process) error { return errors.ErrUnsupported }

// kill ends all processes in the job. The caller holds p.mu, and the job is closed after the reap.
func (t *tree) kill(*Process) error {
	return os.NewSyscallError("TerminateJobObject", windows.TerminateJobObject(t.job, killedExitCode))
}

// close releases what newTree took.
func (t *tree) close() {
	t.closeOut()
	windows.CloseHandle(t.job)
}

// closeOut closes the handle of the worker's standard output, if it is open.
func (t *tree) closeOut() {
	if t.out != 0 {
		windows.CloseHandle(t.out)
		t.out = 0
	}
}

// status translates what os.Process.Wait returned.
func status(state *os.ProcessState) Status {
	return Status{ExitCode: state.ExitCode(), User: state.UserTime(), System: state.SystemTime()}
}

// killGroup ends all processes in the job. Nobody else can have the job by now.
func (t *tree) killGroup(p *Process, _ bool) { _ = t.kill(p) }

// lost returns the status of a process that could not be waited for.
func (t *tree) lost() Status { return unknownStatus(false) }

// stopped returns "": Windows does not stop processes by signals.
func (*tree) stopped(*Process) string { return "" }

// explain has nothing to add: the fields that could make a start fail are not supported here.
func (*Spec) explain(err error, _ string) error { return err }
