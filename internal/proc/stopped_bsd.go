// The functions of this file serve the process that starts workers.

//go:build dragonfly || freebsd || netbsd || openbsd

package proc

// stopped returns "": what these systems say of a stopped process is not within reach of
// golang.org/x/sys, but for a wait that might reap it.
func (*tree) stopped(*Process) string { return "" }
