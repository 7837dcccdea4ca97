//go:build unix

package shared

import (
	"fmt"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// backing is the file that a segment lies in.
type backing struct {
	file *os.File // from which one can only read
}

// close closes the file.
func (b backing) close() { _ = b.file.Close() } // nothing can be written to it

// duplicate returns the file under another descriptor, and the descriptor.
func (b backing) duplicate() (dup backing, fd uintptr, err error) {
	conn, err := b.file.SyscallConn()
	if err != nil {
		return backing{}, 0, err
	}
	var n int
	if cerr := conn.Control(func(fd uintptr) { n, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); cerr != nil {
		return backing{}, 0, cerr
	}
	if err != nil {
		return backing{}, 0, os.NewSyscallError("fcntl", err)
	}
	return backing{os.NewFile(uintptr(n), b.file.Name())}, uintptr(n), nil
}

// room returns how large the file may become. A larger one would end this process with SIGXFSZ.
func (d *draft) room() int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil || uint64(limit.Cur) > math.MaxInt {
		return math.MaxInt
	}
	return int64(limit.Cur)
}

// mapped maps the file to be read, and closes it.
func (b backing) mapped(size int64) (memory []byte, err error) {
	defer b.close()
	info, err := b.file.Stat()
	if err != nil {
		return nil, err
	}
	if size < 0 || info.Size() < size || size > math.MaxInt {
		return nil, fmt.Errorf("the file of %d bytes holds %d", size, info.Size())
	}
	if size == 0 {
		return nil, nil
	}
	conn, err := b.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	cerr := conn.Control(func(fd uintptr) {
		memory, err = unix.Mmap(int(fd), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	})
	if cerr != nil {
		return nil, cerr
	}
	return memory, os.NewSyscallError("mmap", err)
}

// Unmap gives back what Map has returned, so that it does not fail.
func Unmap(memory []byte) { _ = unix.Munmap(memory) }

// Lane passes segments to one worker: through a socket, whose other end the worker inherits, and
// reads alone. It exists in the process that starts the worker. Any goroutine may use it.
type Lane struct {
	socket *os.File // this end; nil for a worker in this process
	within *local   // the way to a worker in this process, or nil
}

// laneRoom is how much may wait in the socket, in bytes as the system counts them: a few
// descriptors, so that a worker which does not take what it asks for keeps little from being freed.
const laneRoom = 4 << 10

// NewLane returns a lane, and the end of it that the worker is to inherit, which the caller closes
// after that.
func NewLane() (*Lane, *os.File, error) {
	syscall.ForkLock.RLock() // no command of another goroutine inherits the descriptors
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	_ = unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, laneRoom) // else there is the room of the system
	ours, theirs := os.NewFile(uintptr(fds[0]), "lane"), os.NewFile(uintptr(fds[1]), "lane")
	err = unix.Shutdown(fds[0], unix.SHUT_RD) // nothing that the worker writes is kept
	if err == nil {
		err = unix.SetNonblock(fds[0], true)
	}
	if err != nil {
		_ = ours.Close() // nothing was sent
		_ = theirs.Close()
		return nil, nil, os.NewSyscallError("shutdown", err)
	}
	return &Lane{socket: ours}, theirs, nil
}

// Bind has nothing to do: the worker has the other end.
func (l *Lane) Bind(int) error { return nil }

// Pass puts a descriptor of a segment into the lane. It never waits.
func (l *Lane) Pass(s *Segment) (handle uint64, err error) {
	if l.within != nil {
		return l.within.pass(s)
	}
	file, err := s.of.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	conn, err := l.socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := conn.Control(func(to uintptr) {
		ferr := file.Control(func(fd uintptr) {
			err = unix.Sendmsg(int(to), []byte{0}, unix.UnixRights(int(fd)), nil, unix.MSG_DONTWAIT)
		})
		if ferr != nil {
			err = ferr
		}
	})
	if cerr != nil {
		return 0, cerr
	}
	return 0, passError(err)
}

// passError returns the error of Pass for that of the system. Only what lies in this lane is the
// fault of its worker: the system also bounds, with ETOOMANYREFS for example, what all processes of
// a user have passed on and nobody has taken.
func passError(err error) error {
	if err == unix.EAGAIN {
		return ErrFull
	}
	return os.NewSyscallError("sendmsg", err)
}

// Close closes this end. What the worker has not taken is lost when it has closed its own.
func (l *Lane) Close() {
	if l.within != nil {
		l.within.close()
		return
	}
	_ = l.socket.Close() // what was passed was written
}

// Outlet is the other end of a Lane. It exists in the worker. Only one goroutine may use it at a
// time.
type Outlet struct {
	socket uintptr // the descriptor that the worker has inherited
	within *local  // the way inside this process, or nil
}

// NewOutlet returns the outlet of what the worker has inherited.
func NewOutlet(fd uintptr) *Outlet { return &Outlet{socket: fd} }

// Map takes the next segment out of the lane and maps it, to be read alone: to write to it ends the
// process. It never waits: the segment is in the lane before the worker is told of it.
func (o *Outlet) Map(handle uint64, size int64) ([]byte, error) {
	of, err := o.take(handle)
	if err != nil {
		return nil, err
	}
	return of.mapped(size)
}

// take takes the next segment out of the lane.
func (o *Outlet) take(handle uint64) (backing, error) {
	if o.within != nil {
		of, ok := o.within.take(handle)
		if !ok {
			return backing{}, os.ErrClosed
		}
		return of, nil
	}
	oob := make([]byte, unix.CmsgSpace(4))
	syscall.ForkLock.RLock() // no command of another goroutine inherits the descriptor
	defer syscall.ForkLock.RUnlock()
	_, n, _, _, err := unix.Recvmsg(int(o.socket), make([]byte, 1), oob, unix.MSG_DONTWAIT)
	if err != nil {
		return backing{}, os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return backing{}, fmt.Errorf("no descriptor came: has the worker too many open? (%v)", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return backing{}, err
	}
	unix.CloseOnExec(fds[0])
	return backing{os.NewFile(uintptr(fds[0]), "shared")}, nil
}
