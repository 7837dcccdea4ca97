package multiprolab

import (
	"os"
	"syscall"
)

// signalName returns the name of a signal, such as "SIGINT": that of Unix for what the Go runtime
// makes of Ctrl-C and of the end of a session.
func signalName(sig os.Signal) string {
	switch sig {
	case os.Interrupt:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	}
	return sig.String()
}
