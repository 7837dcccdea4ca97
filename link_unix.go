//go:build unix

package multiprolab

import (
	"io"
	"os"
	"syscall"
)

// writerAtOnce returns a function that writes to w what there is room for, without waiting, or nil if w is no pipe of this kind. It returns errWouldWait when it has not
// written all.
func writerAtOnce(w io.Writer) func(b []byte) (int, error) {
	file, ok := w.(*os.File)
	if !ok {
		return nil
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return nil
	}
	return func(b []byte) (n int, err error) {
		connErr := conn.Write(func(fd uintptr) bool {
			for {
				n, err = syscall.Write(int(fd), b)
				if err != syscall.EINTR {
					return true // also if there was no room: the caller does not wait
				}
			}
		})
		switch {
		case connErr != nil:
			return 0, connErr
		case err == syscall.EAGAIN:
			return 0, errWouldWait
		case err != nil:
			return 0, &os.PathError{Op: "write", Path: file.Name(), Err: err}
		case n < len(b):
			return n, errWouldWait
		}
		return n, nil
	}
}
