package prefork

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// fionread asks for the number of bytes that have come (FIONREAD).
const fionread = 0x4004667f

// pending reports whether bytes have come on a socket that nobody has read.
func pending(fd uintptr) bool {
	var n, size uint32
	to := (*byte)(unsafe.Pointer(&n))
	err := windows.WSAIoctl(windows.Handle(fd), fionread, nil, 0, to, uint32(unsafe.Sizeof(n)), &size, nil, 0)
	return err == nil && n > 0
}
