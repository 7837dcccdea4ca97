package signals

import "os"

// Hangup is a signal that Windows does not have: nothing asks a service there to reload.
var Hangup os.Signal

// hasTerminal reports false: a process on Windows is not told that its terminal is gone.
func hasTerminal() bool { return false }

// DieBy ends this process: Windows has no signals that a parent could see.
func DieBy(os.Signal) { os.Exit(1) }
