//go:build !linux

package proc

// Memory returns how much memory this process may use, in bytes, or 0 if nothing says. Main calls
// it.
func Memory() int64 { return 0 }
