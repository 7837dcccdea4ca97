//go:build unix

package multiprolab

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// hangup is the signal that asks a service to reload, and tells other programs that their terminal
// is gone.
var hangup os.Signal = syscall.SIGHUP

// hasTerminal reports whether this process has a controlling terminal. A service has none.
func hasTerminal() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0) // ENXIO if there is none: tty(4)
	if err == nil {
		_ = tty.Close()
	}
	return err == nil
}

// dieBy ends this process as the signal would if nobody caught it, so that the parent process sees
// the signal.
func dieBy(sig os.Signal) {
	signal.Reset(sig) // also if the user catches it
	if s, ok := sig.(syscall.Signal); ok {
		_ = syscall.Kill(os.Getpid(), s)
	}
	time.Sleep(time.Second) // the signal is on its way
	os.Exit(1)
}
