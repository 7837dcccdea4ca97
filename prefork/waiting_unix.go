//go:build unix

package prefork

import "golang.org/x/sys/unix"

// pending reports whether bytes have come on a socket that nobody has read.
func pending(fd uintptr) bool {
	n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err == nil && n > 0
}
