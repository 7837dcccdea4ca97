// The functions of this file serve the process that starts workers.

//go:build unix

package proc

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// files returns the worker's descriptors in the order of their numbers.
func (*tree) files(p *pipes, stdout *os.File) []*os.File {
	files := []*os.File{0: p.cin, 1: p.cout, 2: p.cerr, stdoutFD: stdout}
	if p.box != nil {
		files = append(files, p.box)
	}
	return files
}

// stdout returns 0: only on Windows the worker is told a handle.
func (*tree) stdout() uintptr { return 0 }

// adopt has nothing left to do for the start.
func (*tree) adopt(*os.Process) error { return nil }

// wirePipe makes one pipe that no command inherits, and puts main's end of it on the runtime's
// poller.
func wirePipe(mainReads bool) (r, w *os.File, err error) {
	var fds [2]int
	if err := closeOnExecPipe(&fds); err != nil {
		return nil, nil, os.NewSyscallError("pipe", err)
	}
	ours := fds[1]
	if mainReads {
		ours = fds[0]
	}
	if err := unix.SetNonblock(ours, true); err != nil { // before NewFile, which asks for the mode
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	widen(ours)
	return os.NewFile(uintptr(fds[0]), "|0"), os.NewFile(uintptr(fds[1]), "|1"), nil
}

// terminate sends SIGTERM to the worker process. The caller holds p.mu.
func (*tree) terminate(p *Process) error { return p.proc.Signal(unix.SIGTERM) }

// quit sends SIGQUIT to the worker process, and SIGCONT, without which a stopped process would not
// notice. The caller holds p.mu.
func (*tree) quit(p *Process) error {
	err := p.proc.Signal(unix.SIGQUIT)
	_ = p.proc.Signal(unix.SIGCONT)
	return err
}

// kill sends SIGKILL to the worker's process group, and to the worker in case it has left the
// group. The caller holds p.mu. An error for the group would tell nothing more than the worker's:
// the group is gone, or has only zombies (Darwin: EPERM).
func (t *tree) kill(p *Process) error {
	t.killGroup(p, false)
	return p.proc.Kill()
}

// status translates what os.Process.Wait returned.
func status(state *os.ProcessState) Status {
	s := Status{ExitCode: state.ExitCode(), User: state.UserTime(), System: state.SystemTime()}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		s.CoreDump = ws.CoreDump()
		s.Signal = signalName(ws.Signal())
	}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		s.MaxRSS = int64(usage.Maxrss) // getrusage(2): bytes on Darwin, kibibytes elsewhere
		if runtime.GOOS != "darwin" && runtime.GOOS != "ios" {
			s.MaxRSS *= 1024
		}
	}
	return s
}

// signalName returns the name of a signal, such as "SIGKILL".
func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" { // real-time signals have no name
		return name
	}
	return sig.String()
}
