package multiprolab

import "os"

// hangup is a signal that Windows does not have: use Main.Restart.
var hangup os.Signal

// hasTerminal reports false: a process on Windows is not told that its terminal is gone.
func hasTerminal() bool { return false }

// dieBy ends this process: Windows has no signals that a parent could see.
func dieBy(os.Signal) { os.Exit(1) }
