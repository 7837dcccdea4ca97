package proc

import "golang.org/x/sys/unix"

// pipeSize is the size that the pipes of the wire are given, in bytes. All pipes of a user without
// privileges share 64 MiB, and one may have 1 MiB (pipe(7)).
const pipeSize = 256 << 10

// widen makes a pipe hold more than the usual 64 KiB, if the system allows it. Nothing depends on
// it but speed.
func widen(fd int) { _, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize) }
