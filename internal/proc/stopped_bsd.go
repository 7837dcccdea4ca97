// The functions of this file serve the process that starts workers.

//go:build dragonfly || freebsd || netbsd || openbsd

package proc

// stopped returns "": golang.org/x/sys cannot ask these systems about a stopped process, except by
// a wait that might reap it.
func (*tree) stopped(*Process) string { return "" }
