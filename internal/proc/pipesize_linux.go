package proc

import "golang.org/x/sys/unix"

// pipeSize is how many bytes the pipes of the wire can hold. All pipes of a user without privileges
// share 64 MiB, and one pipe may have 1 MiB (pipe(7)).
const pipeSize = 256 << 10

// widen makes a pipe hold more than the usual 64 KiB, if the system allows it. Only speed depends
// on it.
func widen(fd int) { _, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize) }
