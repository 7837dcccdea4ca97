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

// FieldError, in either process, says that a field of a Spec or of Limits has no meaning on this
// platform, or holds what cannot be. In the first case it wraps errors.ErrUnsupported.
type FieldError struct {
	Field  string // the name of the field, with an index in brackets for one value of a list
	Value  any    // its value
	Reason string // what Lacks returns for the field, or what is wrong with the value
	Lacks  bool   // the platform lacks it
}

func (e *FieldError) Error() string {
	if e.Lacks {
		return e.Field + " is not supported: " + e.Reason
	}
	return fmt.Sprintf("%s %v: %s", e.Field, e.Value, e.Reason)
}

// Unwrap returns errors.ErrUnsupported, or nil.
func (e *FieldError) Unwrap() error {
	if e.Lacks {
		return errors.ErrUnsupported
	}
	return nil
}

// lacking returns an error if a field is given that the platform lacks.
func lacking(field string, value any, given bool) error {
	if reason := Lacks(field); given && reason != "" {
		return &FieldError{field, value, reason, true}
	}
	return nil
}
