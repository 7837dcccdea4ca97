// The functions of this file are called where the descriptors of a worker are made and taken over.

package proc

import "golang.org/x/sys/unix"

// dupOnto makes the descriptor to lead to the file of the descriptor from. It uses dup3, because
// newer architectures (arm64, riscv64) have no dup2 on Linux.
func dupOnto(from, to int) error { return unix.Dup3(from, to, 0) }

// pipeSize is how many bytes the pipes of the wire can hold. All pipes of a user without privileges
// share 64 MiB, and one pipe may have 1 MiB (pipe(7)).
const pipeSize = 256 << 10

// widen makes a pipe hold more than the usual 64 KiB, if the system allows it. Only speed depends
// on it.
func widen(fd int) { _, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize) }
