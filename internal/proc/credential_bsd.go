// The functions of this file serve the process that starts workers.

//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import (
	"fmt"
	"os"
)

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
