// The functions of this file are called where the descriptors of a worker are made and taken over.

//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package proc

import "golang.org/x/sys/unix"

// dupOnto makes the descriptor to lead to the file of the descriptor from.
func dupOnto(from, to int) error { return unix.Dup2(from, to) }

// widen does nothing: these systems choose the size of a pipe themselves.
func widen(int) {}

// wireClosed returns false: here, a worker always sees its parent's pid, and need not ask.
func wireClosed() bool { return false }
