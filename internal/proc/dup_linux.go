// The functions of this file serve the worker process.

package proc

import "golang.org/x/sys/unix"

// dupOnto makes the descriptor to lead to the file of the descriptor from. It uses dup3, because
// newer architectures (arm64, riscv64) have no dup2 on Linux.
func dupOnto(from, to int) error { return unix.Dup3(from, to, 0) }
