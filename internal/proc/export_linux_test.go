package proc

import "golang.org/x/sys/unix"

// SetNoPidFD makes new processes be watched as on kernels without pidfds.
func SetNoPidFD(on bool) { noPidFD = on }

// NamespaceMarkerText returns the marker of a worker that is started as process 1 of a PID
// namespace.
func NamespaceMarkerText(role Role, parent int) string {
	m := marker{Role: role, Parent: parent, PIDNamespace: true}
	return m.text()
}

// An InletReader is what Inlet returns here.
type InletReader = inlet

// ExpectShort makes the next wait one on the thread, or one of the runtime's.
func (r *inlet) ExpectShort(short bool) {
	r.short = 0
	if short {
		r.short = shortRun
	}
}

// Waits reports whether a Read waits on its thread, or is about to.
func (r *inlet) Waits() bool { return r.waiting.Load() }

// Free gives up what a worker has until its end.
func (r *inlet) Free() {
	_ = r.epoll.Close()
	_ = unix.Close(int(r.fds[1].Fd))
}
