// The types of this file live in the process that starts workers.

package proc

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// noPidFD is set by tests, to take the way of the kernels that have no pidfds.
var noPidFD bool

// tree is Linux's means to see a worker's exit and to end its descendants. Only watch uses it, except for the signals.
type tree struct {
	pidfd *int // set by the start; -1 where the kernel has none (before 5.2)
}

func newTree(*os.File) (*tree, error) {
	fd := -1
	return &tree{pidfd: &fd}, nil
}

// sysProcAttr returns how to start the worker: as the leader of a process group, and with a signal at our death.
//
// The signal is SIGCONT: it wakes a worker that is stopped, even one whose stop is still under way, which the kernel's own SIGCONT to
// orphaned process groups misses. It is not SIGKILL, because the worker has a tree of its own to kill; see watchParent. A worker with
// a PID namespace has not; see addNamespace. The kernel forgets the signal when a process changes its user: the syscall package asks for it after that.
func (t *tree) sysProcAttr(spec *Spec) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGCONT, Credential: spec.Credential.attr()}
	if spec.PIDNamespace {
		addNamespace(attr, spec.Credential)
	}
	if !noPidFD {
		attr.PidFD = t.pidfd
	}
	return attr
}

// waitExit returns when the process can be reaped, without reaping it. It returns false if somebody else did that.
// A pidfd is waited for on the runtime's poller, without a thread; it becomes readable at the exit (pidfd_open(2)).
func (t *tree) waitExit(p *Process) bool {
	err := errors.ErrUnsupported
	if fd := *t.pidfd; fd != -1 {
		err = pollExit(fd)
	}
	if err != nil && err != unix.ECHILD {
		// No pidfd, or one that cannot be waited for (waitid takes them since 5.4) or polled: at the price of a thread.
		_, err = waitid(unix.P_PID, p.Pid, 0)
	}
	return err == nil
}

// pollExit waits on the runtime's poller. It closes fd.
func pollExit(fd int) error {
	if err := unix.SetNonblock(fd, true); err != nil { // before NewFile, which looks at it
		unix.Close(fd)
		return err
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	defer file.Close()
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var werr error
	if err := conn.Read(func(fd uintptr) bool {
		var exited bool
		exited, werr = waitid(unix.P_PIDFD, int(fd), unix.WNOHANG)
		return exited || werr != nil
	}); err != nil {
		return err
	}
	return werr
}

// waitid reports whether a child has exited, and leaves it to be reaped.
func waitid(idType, id, options int) (exited bool, err error) {
	for {
		var info unix.Siginfo
		err = unix.Waitid(idType, id, &info, unix.WEXITED|unix.WNOWAIT|options, nil)
		if err != unix.EINTR {
			return info.Signo != 0, err // waitid(2): with WNOHANG, zero tells that there is none yet
		}
	}
}

// close releases what the start took. After waitExit there is nothing left.
func (t *tree) close() {}

// closeOnExecPipe makes a pipe that no command inherits.
func closeOnExecPipe(fds *[2]int) error {
	return unix.Pipe2(fds[:], unix.O_CLOEXEC)
}
