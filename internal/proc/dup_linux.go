// The functions of this file serve the worker process.

package proc

import "golang.org/x/sys/unix"

// dupOnto uses dup3, because newer architectures (arm64, riscv64) have no dup2 on Linux.
func dupOnto(from, to int) error {
	return unix.Dup3(from, to, 0)
}
