// The functions of this file serve the process that starts workers.

package proc

import "golang.org/x/sys/unix"

// stateStopped is SSTOP of <sys/proc.h>: the process is stopped, or traced.
const stateStopped = 4

// stopped returns the signal that has stopped the process, or "". The caller holds p.mu.
func (*tree) stopped(p *Process) string {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", p.Pid)
	if err != nil || info.Proc.P_stat != stateStopped {
		return ""
	}
	return signalName(unix.Signal(info.Proc.P_xstat)) // while a process is stopped, P_xstat is the signal
}
