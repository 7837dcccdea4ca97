//go:build unix

package signals

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Hangup is the signal that asks a service to reload, and tells other programs that their terminal
// is gone.
var Hangup os.Signal = syscall.SIGHUP

// hasTerminal reports whether this process has a controlling terminal. A service has none.
func hasTerminal() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0) // ENXIO if there is none: tty(4)
	if err == nil {
		_ = tty.Close()
	}
	return err == nil
}

// DieBy ends this process as the signal would if nobody caught it, so that the parent process sees
// the signal.
func DieBy(sig os.Signal) {
	signal.Reset(sig) // also if the user catches it
	if s, ok := sig.(syscall.Signal); ok {
		_ = syscall.Kill(os.Getpid(), s)
	}
	time.Sleep(time.Second) // the signal is on its way
	os.Exit(1)
}

// Name returns the name of a signal, such as "SIGINT".
func Name(sig os.Signal) string {
	if s, ok := sig.(syscall.Signal); ok {
		if name := unix.SignalName(s); name != "" {
			return name
		}
	}
	return sig.String()
}
