//go:build unix

package upgrade

import (
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// keep takes over descriptors, so that no command inherits them.
func keep(fds []int) error {
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return os.NewSyscallError("fcntl", err)
		}
	}
	return nil
}

// duplicate returns another descriptor of a file. It leaves the first one with the runtime's
// poller, so that a reader goes on.
func duplicate(f *os.File) (n int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := conn.Control(func(fd uintptr) { n, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if cerr != nil {
		return 0, cerr
	}
	return n, os.NewSyscallError("fcntl", err)
}

// room returns how many bytes a file may have. A larger one would end this process with SIGXFSZ, or
// fail.
func room() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil || uint64(limit.Cur) > math.MaxInt {
		return math.MaxInt
	}
	return max(1, int(limit.Cur))
}

// unnamed makes a file that nobody else can open.
func unnamed() (*os.File, error) {
	if file := memory(); file != nil {
		return file, nil
	}
	file, err := os.CreateTemp("", "upgrade")
	if err != nil {
		return nil, err
	}
	return file, os.Remove(file.Name())
}
