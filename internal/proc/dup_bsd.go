// The functions of this file serve the worker process.

//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import "golang.org/x/sys/unix"

// dupOnto makes the descriptor to lead to the file of the descriptor from.
func dupOnto(from, to int) error { return unix.Dup2(from, to) }
