// The type of this file lives in the process that starts workers.

package proc

import "os"

// Spec says what to start. The process that fills it in may not change it before Start returns.
type Spec struct {
	Role Role     // told to the worker; Path, Life, Depth and Cookie are required
	Args []string // the worker's arguments, the program's name first; nil means os.Args
	// the worker's environment, of equal names the last one counts; nil means os.Environ(). A role
	// in it is replaced
	Env []string
	Dir string // the worker's working directory; empty means this process's
	// the worker's standard output; nil means this process's os.Stdout, or the null device if that
	// is closed
	Stdout *os.File
	Path   string // the program; empty means Executable()

	// Credential is the user that the worker runs as; nil means this process's. The user must be
	// able to execute the program. Unix only.
	Credential *Credential

	// PIDNamespace makes the worker process 1 of a PID namespace: when it ends, for whatever
	// reason, the kernel kills all its descendants, those in other sessions and process groups
	// included, and when this process ends, it kills the worker. Without CAP_SYS_ADMIN the worker
	// gets a user namespace as well, in which only its own user and group have a name. Linux only.
	//
	// What the worker sees as pids are those of the namespace, but /proc still shows the pids of
	// this process's namespace. No signal that would end the worker by default has that effect on
	// process 1: the Go runtime makes an exit with status 2 of it. One that comes before the
	// runtime is ready is lost; Kill always works.
	PIDNamespace bool

	// OOMScoreAdj is that of Limits, which the worker takes before its program's initialisers run,
	// if it may. Zero changes nothing.
	OOMScoreAdj int
}

// unsupported returns an error for the first field that this platform does not have.
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

// stdout returns the file that becomes the worker's standard output, and whether it was opened
// here.
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
