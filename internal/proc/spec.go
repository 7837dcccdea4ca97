// The type of this file lives in the process that starts workers.

package proc

import "os"

// Spec says what to start. The process that fills it in may not change it before Start returns.
type Spec struct {
	Role Role     // what the worker is told; Path, Life, Depth and Cookie are required
	Args []string // the worker's arguments, the program's name first; nil means os.Args
	// Env is the worker's environment; nil means os.Environ(). If a name comes more than once, the
	// last one counts. A role in it is replaced.
	Env []string
	Dir string // the worker's working directory; empty means that of this process
	// Stdout is the worker's standard output; nil means os.Stdout of this process, or the null
	// device if that is closed.
	Stdout *os.File
	Path   string // the program; empty means Executable()

	// Credential is the user that the worker runs as; nil means the user of this process. The user
	// must be able to execute the program. Unix only.
	Credential *Credential

	// PIDNamespace makes the worker process 1 of a PID namespace. When the worker ends, for
	// whatever reason, the kernel kills all its descendants, also those in other sessions and
	// process groups; and when this process ends, the kernel kills the worker. Without
	// CAP_SYS_ADMIN the worker gets a user namespace as well, in which only its own user and group
	// have a name. Linux only.
	//
	// The worker sees the pids of the namespace, but /proc still shows the pids of this process's
	// namespace. On process 1, a signal does not have the default effect of ending the process: the
	// Go runtime exits with status 2 instead. A signal that comes before the runtime is ready is
	// lost; Kill always works.
	PIDNamespace bool

	// OOMScoreAdj is like Limits.OOMScoreAdj, but the worker sets it, if it may, before the
	// initialisers of its program run. Zero changes nothing.
	OOMScoreAdj int

	// Handed are files and sockets that the worker gets besides. Each needs a name of its own.
	Handed []Handed
}

// unsupported returns an error for the first field that is set and that this platform does not
// have.
func (spec *Spec) unsupported() error {
	if reason := Lacks("Credential"); reason != "" && spec.Credential != nil {
		return &LackError{Field: "Credential", Reason: reason}
	}
	if reason := Lacks("PIDNamespace"); reason != "" && spec.PIDNamespace {
		return &LackError{Field: "PIDNamespace", Reason: reason}
	}
	return nil
}

// args returns the worker's arguments.
func (spec *Spec) args() []string {
	if spec.Args != nil {
		return spec.Args
	}
	return os.Args
}

// stdout returns the file that becomes the worker's standard output, and whether this call has
// opened it.
func (spec *Spec) stdout() (f *os.File, opened bool, err error) {
	if spec.Stdout != nil {
		return spec.Stdout, false, nil
	}
	if _, err := os.Stdout.Stat(); err == nil {
		return os.Stdout, false, nil
	}
	f, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	return f, true, err
}
