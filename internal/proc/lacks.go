// The functions of this file serve both processes.

package proc

import (
	"errors"
	"fmt"
)

// Lacks returns "" if this platform has the feature that the field stands for, or else a short
// reason, such as "macOS has no CPU affinity". The fields are OpenFiles, CPUTime, Nice, CPUs,
// OOMScoreAdj and GOMAXPROCS of Limits, and Credential and PIDNamespace of Spec. That the platform
// has a feature does not mean that this process is allowed to use it.
func Lacks(field string) string {
	switch field {
	case "OpenFiles", "CPUTime", "Nice", "CPUs", "OOMScoreAdj", "GOMAXPROCS", "Credential", "PIDNamespace":
		return lacks[field]
	}
	return fmt.Sprintf("there is no feature of the name %q", field)
}

// LackError, in either process, says that a field was set that has no meaning on this platform. It
// wraps errors.ErrUnsupported.
type LackError struct {
	Field  string // the name of the field
	Reason string // what Lacks returns for the field
}

func (e *LackError) Error() string { return e.Field + " is not supported: " + e.Reason }

// Unwrap returns errors.ErrUnsupported.
func (e *LackError) Unwrap() error { return errors.ErrUnsupported }
