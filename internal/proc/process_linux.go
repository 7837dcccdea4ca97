// The types of this file live in the process that starts workers.

package proc

import (
	"bytes"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// noPidFD makes this package behave as on a kernel that has no pidfds. Tests set it.
var noPidFD bool

// tree is Linux's means to see a worker's exit and to end its descendants. Only watch uses it,
// except for the methods that send signals, which use pidfd.
type tree struct {
	// pidfd is the pidfd of the worker, which the start sets, or -1 if the kernel has none (before
	// 5.2). It is open until close.
	pidfd *int
	file  *os.File // the pidfd on the runtime's poller, or nil
	seen  *Status  // how the process ended, if that was seen before somebody else could reap it, or nil
}

// newTree returns the tree of a worker that is about to be started.
func newTree(*os.File) (*tree, error) {
	fd := -1
	return &tree{pidfd: &fd}, nil
}

// sysProcAttr returns how to start the worker: as the leader of a process group, and with a signal
// at the death of this process.
//
// The signal is SIGCONT: it wakes a worker that is stopped. The kernel's own SIGCONT to orphaned
// process groups would miss a worker whose stop is still under way. The signal is not SIGKILL,
// because the worker has a tree of its own to kill, see watchParent; the kernel does that for a
// worker with a PID namespace, see addNamespace. The kernel forgets the signal when a process
// changes its user: so the syscall package asks for the signal after that.
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

// waitExit returns when the process can be reaped, without reaping it. It returns false if the
// process was reaped already: by another part of the program that waits for all children, or by the
// kernel, because SIGCHLD is ignored (wait(2), NOTES). The runtime's poller waits for a pidfd,
// which takes no thread; it becomes readable at the exit (pidfd_open(2)).
func (t *tree) waitExit(p *Process) bool {
	err := errors.ErrUnsupported
	if *t.pidfd != -1 {
		err = t.pollExit()
	}
	if err != nil && err != unix.ECHILD {
		// There is no pidfd, or it cannot be polled or waited for (waitid takes pidfds since 5.4).
		// This wait costs a thread.
		t.seen, err = waitExited(unix.P_PID, p.Pid, 0)
	}
	return err == nil
}

// pollExit waits for the exit on the runtime's poller.
func (t *tree) pollExit() error {
	if err := unix.SetNonblock(*t.pidfd, true); err != nil { // before NewFile, which asks for the mode
		return err
	}
	t.file = os.NewFile(uintptr(*t.pidfd), "pidfd")
	conn, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	var werr error
	if err := conn.Read(func(fd uintptr) bool {
		t.seen, werr = waitExited(unix.P_PIDFD, int(fd), unix.WNOHANG)
		return t.seen != nil || werr != nil
	}); err != nil {
		return err
	}
	return werr
}

// signalGroup in the flags of pidfd_send_signal(2), since Linux 6.9, sends the signal to the
// process group that the process leads, or has led.
const signalGroup = 1 << 2 // PIDFD_SIGNAL_PROCESS_GROUP

// killGroup sends SIGKILL to the worker's process group. The caller holds p.mu. reaped says that
// the worker was reaped, so that another process may have its pid by now. Another group cannot have
// it as long as this group has a process, and an empty group needs no signal. A pidfd never leads
// to another process. Without a pidfd, the pid is used only if no other process has it.
func (t *tree) killGroup(p *Process, reaped bool) {
	if *t.pidfd != -1 {
		if err := unix.PidfdSendSignal(*t.pidfd, unix.SIGKILL, nil, signalGroup); err == nil || err == unix.ESRCH {
			return
		}
	}
	if !reaped || unix.Kill(p.Pid, 0) == unix.ESRCH {
		_ = unix.Kill(-p.Pid, unix.SIGKILL)
	}
}

// lost returns the status of a process that somebody else has reaped.
func (t *tree) lost() Status {
	if t.seen != nil {
		return *t.seen
	}
	return unknownStatus(sigchldIgnored())
}

// sigchldIgnored reports whether this process ignores SIGCHLD, in Go or in C: the SigIgn line of
// proc_pid_status(5).
func sigchldIgnored() bool {
	status, err := os.ReadFile("/proc/self/status")
	_, after, found := bytes.Cut(status, []byte("\nSigIgn:"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	mask, perr := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 64)
	if err != nil || !found || perr != nil {
		return signal.Ignored(unix.SIGCHLD)
	}
	return mask&(1<<(unix.SIGCHLD-1)) != 0
}

// stopped returns the signal that has stopped the process, or "". The caller holds p.mu.
func (t *tree) stopped(p *Process) string {
	if sig := stopSignal(p.Pid); sig != "" {
		return sig
	}
	dir := "/proc/" + strconv.Itoa(p.Pid)
	// The parent is compared because /proc may be that of another namespace, with other pids.
	if state, parent := procStat(dir); state != "T" && state != "t" || parent != strconv.Itoa(os.Getpid()) {
		return ""
	}
	// Somebody else may have taken the report of the stop. The kernel makes the report when the
	// last thread has stopped.
	threads, _ := filepath.Glob(dir + "/task/[0-9]*") // the pattern is well-formed
	traced := false
	for _, thread := range threads {
		switch state, _ := procStat(thread); state { // proc_pid_stat(5)
		case "T":
		case "t":
			traced = true
		default:
			return ""
		}
	}
	switch sig := stopSignal(p.Pid); {
	case len(threads) == 0:
		return ""
	case sig != "":
		return sig
	case traced:
		return "a debugger"
	}
	return "a signal that is not known any more"
}

// stopSignal returns the name of the signal that has stopped a child, or "" if it is not stopped or
// the report of the stop has been taken.
func stopSignal(pid int) string {
	_, number, err := waitid(unix.P_PID, pid, unix.WSTOPPED|unix.WNOHANG, nil)
	if err != nil || number == 0 {
		return ""
	}
	return signalName(unix.Signal(number))
}

// procStat returns the state of a process or thread, and its parent, by its directory in /proc
// (proc_pid_stat(5)).
func procStat(dir string) (state, parent string) {
	stat, err := os.ReadFile(dir + "/stat")
	// The name of the process, in parentheses, may hold anything; the fields are behind it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if err != nil || len(fields) < 2 {
		return "", ""
	}
	return fields[0], fields[1]
}

// waitExited returns how a child has exited, and leaves it to be reaped. With WNOHANG it returns
// nil if the child has not exited.
func waitExited(idType, id, options int) (*Status, error) {
	var usage unix.Rusage
	code, number, err := waitid(idType, id, unix.WEXITED|options, &usage)
	if err != nil || code == 0 {
		return nil, err
	}
	s := &Status{
		ExitCode: number,
		User:     time.Duration(usage.Utime.Nano()),
		System:   time.Duration(usage.Stime.Nano()),
		MaxRSS:   int64(usage.Maxrss) << 10,
	}
	if code != cldExited {
		s.ExitCode, s.Signal, s.CoreDump = -1, signalName(unix.Signal(number)), code == cldDumped
	}
	return s, nil
}

const (
	cldExited = 1 // CLD_EXITED: the process has called exit
	cldDumped = 3 // CLD_DUMPED: a signal has ended the process, with a core dump
)

// waitid returns the news of a child, which are si_code and si_status of waitid(2), and leaves them
// to be waited for. With WNOHANG both are zero if there are no news.
func waitid(idType, id, options int, usage *unix.Rusage) (code, status int, err error) {
	for {
		var info unix.Siginfo
		err = unix.Waitid(idType, id, &info, unix.WNOWAIT|options, usage)
		if err == unix.EINTR {
			continue
		}
		if err != nil || info.Signo == 0 {
			return 0, 0, err
		}
		// The struct begins with three numbers, goes on at the alignment of a pointer, and has
		// si_pid, si_uid and si_status there.
		const at = 12 + (unsafe.Sizeof(uintptr(0)) - 4) + 8
		return int(info.Code), int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), at))), nil
	}
}

// close releases what the start took.
func (t *tree) close() {
	switch {
	case t.file != nil:
		_ = t.file.Close() // nothing is buffered
	case *t.pidfd != -1:
		_ = unix.Close(*t.pidfd)
	}
}

// closeOnExecPipe makes a pipe that no command inherits.
func closeOnExecPipe(fds *[2]int) error { return unix.Pipe2(fds[:], unix.O_CLOEXEC) }
