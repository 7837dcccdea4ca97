//go:build unix

package link

import (
	"io"
	"os"
	"syscall"
)

// writerAtOnce returns a function that writes to w what there is room for, without waiting, or nil
// if w is no pipe of this kind. It returns errWouldWait when it has not written all.
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
// One goroutine at a time may write. What a write needs is kept here, so that none takes memory.
type pipeWriter struct {
	file *os.File
	conn syscall.RawConn
	try  func(fd uintptr) bool // tryWrite: writes from b
	b    []byte
	n    int
	err  error
}

func (p *pipeWriter) tryWrite(fd uintptr) bool {
	for {
		if p.n, p.err = syscall.Write(int(fd), p.b); p.err != syscall.EINTR {
			return true // also if there was no room: the caller does not wait
		}
	}
}

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
