//go:build unix

package multiprolab

import (
	"os"
	"syscall"
)

// hangup is the signal that asks a service to reload, and tells other programs that their terminal is gone.
var hangup os.Signal = syscall.SIGHUP

// hasTerminal reports whether this process has a controlling terminal. A service has none.
func hasTerminal() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0) // ENXIO if there is none: tty(4)
	if err == nil {
		_ = tty.Close()
	}
	return err == nil
}
