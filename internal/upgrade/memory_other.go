//go:build unix && !linux

package upgrade

import "os"

// memory returns nil: this system has no files in memory.
func memory() *os.File { return nil }
