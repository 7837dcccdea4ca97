// The types of this file live in the process that starts workers.

//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// tree is the BSDs' means to see a worker's exit and to end its descendants. Only watch uses it,
// except for the methods that send signals.
type tree struct {
	kq int // the kqueue that is asked for the exit of the worker
}

// newTree makes the kqueue before the start, so that a lack of descriptors makes the start fail and
// not the watch.
func newTree(*os.File) (*tree, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	kq, err := unix.Kqueue()
	if err != nil {
		return nil, os.NewSyscallError("kqueue", err)
	}
	unix.CloseOnExec(kq)
	return &tree{kq: kq}, nil
}

// sysProcAttr returns how to start the worker: as the leader of a process group. The worker gets no
// signal at the death of this process here; the end of file on the wire has to tell it.
func (t *tree) sysProcAttr(spec *Spec) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: spec.Credential.attr()}
}

// waitExit returns when the process has exited, without reaping it. It returns false if there is no
// way to tell. It costs a thread, because Darwin cannot put a kqueue into non-blocking mode, which
// the runtime's poller needs.
func (t *tree) waitExit(p *Process) bool {
	change := make([]unix.Kevent_t, 1)
	unix.SetKevent(&change[0], p.Pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	change[0].Fflags = unix.NOTE_EXIT
	event := make([]unix.Kevent_t, 1)
	for {
		// The change is registered in the same call; registering it again after EINTR does no harm.
		n, err := unix.Kevent(t.kq, change, event, nil)
		switch {
		case err == unix.EINTR:
		// The process has already exited (kqueue(2)). It was reaped only if somebody else waits for
		// all children.
		case err == unix.ESRCH:
			return true
		case err != nil:
			return false
		case n == 1 && event[0].Flags&unix.EV_ERROR != 0:
			return event[0].Data == int64(unix.ESRCH)
		case n == 1:
			return true
		}
	}
}

// killGroup sends SIGKILL to the worker's process group. The caller holds p.mu. reaped says that
// the worker was reaped: then its pid is used only if no other process has it by now.
func (t *tree) killGroup(p *Process, reaped bool) {
	if !reaped || unix.Kill(p.Pid, 0) == unix.ESRCH {
		_ = unix.Kill(-p.Pid, unix.SIGKILL)
	}
}

// lost returns the status of a process that somebody else has reaped.
func (t *tree) lost() Status { return unknownStatus(signal.Ignored(unix.SIGCHLD)) }

// close releases what newTree took.
func (t *tree) close() { unix.Close(t.kq) }

// closeOnExecPipe makes a pipe that no command inherits. Darwin has no pipe2: so a lock keeps other
// goroutines from starting a command between the two steps.
func closeOnExecPipe(fds *[2]int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(fds[:]); err != nil {
		return err
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	return nil
}

// maySwitchUser returns what this process lacks to start a process of another user, or "".
func maySwitchUser() string {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Sprintf("only root may do that, and this process runs as user %d", uid)
	}
	return ""
}

// explain adds to the error of a start what the fields of the Spec needed.
func (spec *Spec) explain(err error, path string) error {
	return spec.Credential.explain(err, path, spec.Dir)
}
