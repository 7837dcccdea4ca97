// The type of this file lives in the process that starts workers.

package proc

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
)

// Spec says what to start. The process that fills it in may not change it before Start returns.
type Spec struct {
	Role Role     // what the worker is told; Path, Life, Depth and Cookie are required
	Args []string // the worker's arguments, the program's name first; nil means os.Args
	// Inherited is the environment that the worker's is made of; nil means os.Environ(). A role in
	// it is replaced.
	Inherited []string
	// DropEnv are the names of variables that the worker does not inherit, or patterns as
	// path.Match takes them, but that '*' stands for a '/', too.
	DropEnv []string
	// GoMemory becomes the worker's GOMEMLIMIT, in bytes; 0 means that which it inherits.
	GoMemory int64
	// Env is added to what the worker inherits, as "NAME=value". If a name comes more than once,
	// the last one counts.
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

// NoNUL is the reason why a text with a NUL byte is refused that is meant for the system.
const NoNUL = "it holds a NUL byte, at which the system would end it: leave that out"

// HasNUL reports whether a text has a NUL byte.
func HasNUL(s string) bool { return strings.IndexByte(s, 0) >= 0 }

// Check returns a *FieldError for a field that has no meaning on this platform, or a value that
// cannot be; or nil. It does not look at what the worker inherits, nor at the arguments.
func (spec *Spec) Check() error {
	text := func(field, s string) error {
		if HasNUL(s) {
			return &FieldError{Field: field, Value: strconv.Quote(s), Reason: NoNUL}
		}
		return nil
	}
	err := cmp.Or(
		lacking("Credential", spec.Credential, spec.Credential != nil),
		lacking("PIDNamespace", spec.PIDNamespace, spec.PIDNamespace),
		text("Dir", spec.Dir),
	)
	for i, e := range spec.Env {
		field := fmt.Sprintf("Env[%d]", i)
		if strings.IndexByte(e, '=') < 1 {
			err = cmp.Or[error](err, &FieldError{Field: field, Value: e, Reason: `write it as "NAME=value"`})
		}
		err = cmp.Or(err, text(field, e))
	}
	for i, pattern := range spec.DropEnv {
		field := fmt.Sprintf("DropEnv[%d]", i)
		if _, bad := path.Match(pattern, ""); bad != nil || pattern == "" {
			err = cmp.Or[error](err, &FieldError{
				Field: field, Value: pattern, Reason: `write the name of a variable, or a pattern such as "AWS_*"`,
			})
		}
		err = cmp.Or(err, text(field, pattern))
	}
	return err
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
