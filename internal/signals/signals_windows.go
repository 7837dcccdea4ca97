package signals

import (
	"os"
	"syscall"
)

// Hangup is a signal that Windows does not have: nothing asks a service there to reload.
var Hangup os.Signal

// hasTerminal reports false: a process on Windows is not told that its terminal is gone.
func hasTerminal() bool { return false }

// DieBy ends this process: Windows has no signals that a parent could see.
func DieBy(os.Signal) { os.Exit(1) }

// Name returns the name of a signal, such as "SIGINT": that of Unix for what the Go runtime makes
// of Ctrl-C and of the end of a session.
func Name(sig os.Signal) string {
	switch sig {
	case os.Interrupt:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return sig.String()
}
