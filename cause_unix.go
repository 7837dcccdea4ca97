//go:build unix

package multiprolab

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalName returns the name of a signal, such as "SIGINT".
func signalName(sig os.Signal) string {
	if s, ok := sig.(syscall.Signal); ok {
		if name := unix.SignalName(s); name != "" {
			return name
		}
	}
	return sig.String()
}
