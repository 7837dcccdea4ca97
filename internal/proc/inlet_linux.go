package proc

import (
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/multiprolab/multiprolab/internal/ablate"

	"golang.org/x/sys/unix"
)

// inletBlocks reports whether the worker's end of what main writes is a pipe in blocking mode, see
// Inlet.
func inletBlocks() bool { return !ablate.Without(ablate.Poll) }

const (
	// shortWait is the greatest length of a wait that counts as short.
	shortWait = time.Millisecond
	// shortRun is the number of short waits after which the next one is expected to be short.
	shortRun = 4
)

// inlet reads what main writes to a worker process, and waits for it in one of two ways.
//
// When the last waits were short, as between many calls, it waits in poll(2), on the thread of who
// reads. The Go runtime's own way takes longer: it looks for other work, asks the kernel in vain,
// and waits in a system call that tells the kernel less of who wakes whom, so that it may choose a
// processor that sleeps. But a thread in a system call keeps the runtime's monitor awake for some
// milliseconds. So every other wait is the runtime's.
//
// The runtime's poller must not notice what comes in a short wait, for it would wake another
// thread. It is given not the pipe but an epoll instance, which tells it of the pipe once, each
// time that it is asked to.
//
// One goroutine at a time may read; any may set the deadline.
type inlet struct {
	pipe     *os.File
	epoll    *os.File
	conn     syscall.RawConn // of epoll
	epfd     int
	fds      [2]unix.PollFd // the pipe; an eventfd that interrupts a short wait
	deadline atomic.Int64   // in nanoseconds since 1970; 0: none
	waiting  atomic.Bool    // on the thread, or about to
	short    int            // how many of the last waits were short, up to shortRun
	added    bool           // the pipe is in epoll
	look     func(fd uintptr) bool
	lookErr  error
}

// Inlet returns a reader of a pipe in blocking mode, with deadlines. Where the kernel has no room
// for what that takes, it returns the pipe, which has none.
func Inlet(pipe *os.File) io.Reader {
	if !inletBlocks() {
		return pipe
	}
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return pipe
	}
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		_ = unix.Close(epfd)
		return pipe
	}
	_ = unix.SetNonblock(epfd, true) // NewFile looks at it, to find out whether the runtime's poller may have it
	r := &inlet{pipe: pipe, epoll: os.NewFile(uintptr(epfd), "epoll"), epfd: epfd,
		fds: [2]unix.PollFd{{Fd: int32(pipe.Fd()), Events: unix.POLLIN}, {Fd: int32(event), Events: unix.POLLIN}}}
	if r.conn, err = r.epoll.SyscallConn(); err != nil || r.epoll.SetReadDeadline(time.Time{}) != nil {
		_ = r.epoll.Close()
		_ = unix.Close(event)
		return pipe
	}
	r.look = r.lookIntoEpoll
	return r
}

// SetReadDeadline sets the time at which a Read, also one that waits already, fails with
// os.ErrDeadlineExceeded; the zero time is none.
func (r *inlet) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		r.deadline.Store(0)
	} else {
		r.deadline.Store(t.UnixNano())
		if r.waiting.Load() { // else Read will look
			// the number 1: it only fails when there are 2^64 already
			_, _ = unix.Write(int(r.fds[1].Fd), []byte{1, 0, 0, 0, 0, 0, 0, 0})
		}
	}
	return r.epoll.SetReadDeadline(t)
}

// Read implements io.Reader.
func (r *inlet) Read(b []byte) (int, error) {
	for {
		begun := time.Now()
		if at := r.deadline.Load(); at != 0 && begun.UnixNano() >= at {
			return 0, os.ErrDeadlineExceeded
		}
		ready, err := r.wait()
		if err != nil {
			return 0, err
		}
		if time.Since(begun) > shortWait {
			r.short = 0
		} else if r.short < shortRun {
			r.short++
		}
		if !ready {
			continue
		}
		n, err := unix.Read(int(r.fds[0].Fd), b)
		switch {
		case err == unix.EINTR, err == unix.EAGAIN:
		case err != nil:
			return 0, &os.PathError{Op: "read", Path: r.pipe.Name(), Err: err}
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// wait waits until the pipe can be read, or has ended. It may return earlier.
func (r *inlet) wait() (ready bool, err error) {
	if r.short == shortRun {
		r.waiting.Store(true) // before the look at the deadline: who sets it later interrupts
		defer r.waiting.Store(false)
		if r.deadline.Load() == 0 {
			return r.waitOnThread()
		}
	}
	return true, r.park()
}

func (r *inlet) waitOnThread() (ready bool, err error) {
	r.fds[0].Revents, r.fds[1].Revents = 0, 0
	if _, err := unix.Poll(r.fds[:], -1); err != nil && err != unix.EINTR {
		return false, os.NewSyscallError("poll", err)
	}
	if r.fds[1].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(int(r.fds[1].Fd), count[:])
	}
	return r.fds[0].Revents != 0, nil
}

// park waits by way of the runtime's poller.
func (r *inlet) park() error {
	op := unix.EPOLL_CTL_MOD
	if !r.added {
		op = unix.EPOLL_CTL_ADD
	}
	once := &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
	if err := unix.EpollCtl(r.epfd, op, int(r.fds[0].Fd), once); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	r.added = true
	if err := r.conn.Read(r.look); err != nil {
		return err
	}
	return r.lookErr
}

// lookIntoEpoll reports whether the wait of the runtime's poller is over.
func (r *inlet) lookIntoEpoll(fd uintptr) bool {
	var events [1]unix.EpollEvent
	for {
		n, err := unix.EpollWait(int(fd), events[:], 0)
		if err == unix.EINTR {
			continue
		}
		r.lookErr = os.NewSyscallError("epoll_wait", err)
		return n > 0 || err != nil
	}
}
