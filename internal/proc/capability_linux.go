// The functions of this file serve the process that starts workers.

package proc

import (
	"strings"

	"golang.org/x/sys/unix"
)

// hasCapability reports whether the calling thread has the capability, by its number, in its
// effective set.
func hasCapability(capability uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // 64 bits in two words, capget(2)
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}

// maySwitchUser returns what this process lacks to start a process of another user, or "".
func maySwitchUser() string {
	var missing []string
	if !hasCapability(unix.CAP_SETUID) {
		missing = append(missing, "CAP_SETUID")
	}
	if !hasCapability(unix.CAP_SETGID) {
		missing = append(missing, "CAP_SETGID")
	}
	if len(missing) == 0 {
		return ""
	}
	return "this process lacks " + strings.Join(missing, " and ") + ", which root has"
}
