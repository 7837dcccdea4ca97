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

// inletBlocks reports whether the pipe from which a worker reads what main writes is in blocking
// mode, see Inlet.
func inletBlocks() bool { return !ablate.Without(ablate.Poll) }

const (
	// shortWait is the greatest length of a wait that counts as short.
	shortWait = time.Millisecond
	// shortRun is the number of short waits after which the next one is expected to be short.
	shortRun = 4
)

// inlet reads what main writes to a worker process, and waits for it in one of two ways.
//
// When the last waits were short, as between many calls, it waits in poll(2), on the thread of the
// goroutine that reads. The Go runtime's own way takes longer: it looks for other work, asks the
// kernel in vain, and waits in a system call that tells the kernel less about who wakes whom, so
// that the kernel may choose a processor that sleeps. But a thread in a system call keeps the
// runtime's monitor awake for some milliseconds. So when the last waits were not all short, it
// waits in the runtime's way.
//
// The runtime's poller must not notice what comes in a short wait, because it would wake another
// thread. So it is not given the pipe, but an epoll instance, which tells it about the pipe once,
// each time that it is asked to.
//
// One goroutine at a time may read. It alone touches the fields, except that any goroutine may set
// the deadline, which reads epoll and fds, and that waiting and deadline are atomic.
type inlet struct {
	pipe     *os.File              // the pipe that main writes to
	epoll    *os.File              // the epoll instance for the runtime's poller
	conn     syscall.RawConn       // waits on epoll
	epfd     int                   // the descriptor of epoll
	fds      [2]unix.PollFd        // the pipe, and an eventfd that interrupts a short wait
	deadline atomic.Int64          // when reads fail, in nanoseconds since 1970; 0 means never
	waiting  atomic.Bool           // a goroutine waits in poll(2), or is about to
	short    int                   // how many of the last waits were short, up to shortRun
	added    bool                  // the pipe is in epoll
	look     func(fd uintptr) bool // the method lookIntoEpoll as conn calls it
	lookErr  error                 // the error of the last lookIntoEpoll
}

// Inlet returns a reader of a pipe in blocking mode, with deadlines. If the kernel has no resources
// for that, it returns the pipe, which has no deadlines.
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
	_ = unix.SetNonblock(epfd, true) // NewFile asks for the mode, and gives the file to the runtime's poller
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
// os.ErrDeadlineExceeded. The zero time means never.
func (r *inlet) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		r.deadline.Store(0)
	} else {
		r.deadline.Store(t.UnixNano())
		if r.waiting.Load() { // if not, wait will look at the deadline
			// This adds the number 1 to the eventfd, which fails only when it holds 2^64 already.
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
		r.waiting.Store(true) // before the look at the deadline: who sets it later interrupts the wait
		defer r.waiting.Store(false)
		if r.deadline.Load() == 0 {
			return r.waitOnThread()
		}
	}
	return true, r.park()
}

// waitOnThread waits in poll(2).
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
