//go:build unix

package link

import (
	"io"
	"os"
	"syscall"
)

// writerAtOnce returns a function that writes to w as much as there is room for, without waiting;
// the function returns errWouldWait when it has not written all. If w is no pipe that can do so,
// writerAtOnce returns nil.
func writerAtOnce(w io.Writer) func(b []byte) (int, error) {
	file, ok := w.(*os.File)
	if !ok {
		return nil
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return nil
	}
	p := &pipeWriter{file: file, conn: conn}
	p.try = p.tryWrite
	return p.write
}

// pipeWriter is the writing end of a pipe that does not block. It exists at both ends of a wire.
// Only the goroutine that holds writer.writing touches it. What a write needs is kept here, so that
// no write allocates.
type pipeWriter struct {
	// file is the pipe.
	file *os.File
	// conn lets this type make its own system calls on the pipe.
	conn syscall.RawConn
	// try is the method tryWrite as conn calls it.
	try func(fd uintptr) bool
	// b is what the present call of write is to write.
	b []byte
	// n is how many bytes the last system call has written.
	n int
	// err is the error of the last system call.
	err error
}

// tryWrite makes one system call that writes from b. It always returns true, so that conn does not
// wait until there is room.
func (p *pipeWriter) tryWrite(fd uintptr) bool {
	for {
		if p.n, p.err = syscall.Write(int(fd), p.b); p.err != syscall.EINTR {
			return true
		}
	}
}

// write is the function that writerAtOnce returns.
func (p *pipeWriter) write(b []byte) (int, error) {
	p.b, p.n, p.err = b, 0, nil
	err := p.conn.Write(p.try)
	p.b = nil
	switch {
	case err != nil:
		return 0, err
	case p.err == syscall.EAGAIN:
		return 0, errWouldWait
	case p.err != nil:
		return 0, &os.PathError{Op: "write", Path: p.file.Name(), Err: p.err}
	case p.n < len(b):
		return p.n, errWouldWait
	}
	return p.n, nil
}
