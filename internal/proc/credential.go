// The types of this file live in the process that starts workers.

package proc

import "fmt"

// Credential says, in the process that starts a worker, as whom the worker runs. It is read-only
// after Start was called.
//
// The process that starts the worker must be allowed to take on these ids: root, or on Linux
// CAP_SETUID and CAP_SETGID. To end a worker of another user it must also be root or have CAP_KILL.
// The environment is not changed: HOME and USER are those of the Spec.
type Credential struct {
	UID    uint32   // the user
	GID    uint32   // the group
	Groups []uint32 // the supplementary groups; empty means none
}

// String returns the ids as they appear in errors.
func (c *Credential) String() string {
	if len(c.Groups) == 0 {
		return fmt.Sprintf("user %d (group %d)", c.UID, c.GID)
	}
	return fmt.Sprintf("user %d (group %d, supplementary groups %v)", c.UID, c.GID, c.Groups)
}
