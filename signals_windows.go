package multiprolab

import "os"

// hangup is a signal that Windows does not have: use Main.Restart.
var hangup os.Signal

func hasTerminal() bool { return false }
