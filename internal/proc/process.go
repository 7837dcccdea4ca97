// The types of this file live in the process that starts workers.

package proc

import (
	"os"
	"sync"
	"time"
)

// Process is a worker process as seen by the process that started it. Its goroutine waits for the
// exit and reaps. All methods may be called from any goroutine.
type Process struct {
	Pid int      // the pid of the worker process
	In  *os.File // main writes here what the worker reads from the wire
	Out *os.File // main reads here what the worker writes to the wire
	Err *os.File // main reads here what the worker writes to its standard error
	// Box is the memory that this process shares with the worker, as a file, or nil if there is
	// none. Its first BoxSize bytes are for this process to read, see the function Box; MapShared
	// maps the rest.
	Box *os.File

	proc *os.Process   // the process as package os sees it; it has locks of its own
	tree *tree         // the platform's means to see the exit and to end the worker's descendants
	done chan struct{} // watch closes it as the last thing that it does
	exit Status        // how the process ended; watch sets it before it closes done

	mu   sync.Mutex // guards gone; held while a signal is sent, so that none is sent after the reap
	gone bool       // the process is about to be reaped, and its pid must not be used any more
}

// Status is how a process ended.
type Status struct {
	ExitCode int    // the exit status; -1 if the process was ended by a signal, or if Unknown is set
	Unknown  string // why nobody knows how the process ended, and who took its status; empty if it is known
	// Signal is the signal that ended the process, for example "SIGKILL". It is empty if none did,
	// and on Windows.
	Signal   string
	CoreDump bool          // whether there is a core dump
	User     time.Duration // processor time in user mode, of the process and of the children that it reaped
	System   time.Duration // processor time in the kernel, of the process and of the children that it reaped
	// MaxRSS is the peak of the resident memory in bytes, or 0 if it is unknown. On Linux it is not
	// less than the resident memory of this process at the time of the start.
	MaxRSS int64
}

// watch waits for the process to end, ends its descendants, reaps it, and only then closes done.
func (p *Process) watch() {
	defer close(p.done)
	seen := p.tree.waitExit(p)

	p.mu.Lock()
	if seen { // the process was not reaped, so that the pid still is its own
		_ = p.tree.kill(p) // the process has ended; its group gets the signal, whatever the error is
	} else {
		p.tree.killGroup(p, true)
	}
	p.gone = true
	p.mu.Unlock()

	if state, err := p.proc.Wait(); err == nil {
		p.exit = status(state)
	} else {
		p.exit = p.tree.lost()
	}
	p.tree.close()
}

// unknownStatus is the status of a process that somebody else has reaped: the kernel itself, if
// this process ignores SIGCHLD.
func unknownStatus(ignored bool) Status {
	s := Status{
		ExitCode: -1,
		Unknown: "another part of this program waits for all its children, as a reaper does with wait4(-1), and " +
			"has taken it",
	}
	if ignored {
		s.Unknown = "this program ignores SIGCHLD, by signal.Ignore or in C code, and so the kernel keeps none"
	}
	return s
}

// Done returns a channel that is closed after the exit was seen, the worker's process group (on
// Windows, its job) was killed, and the process was reaped, in this order. The pipes may still hold
// what the process wrote.
func (p *Process) Done() <-chan struct{} { return p.done }

// Status returns how the process ended. It is valid after Done.
func (p *Process) Status() Status {
	select {
	case <-p.done:
		return p.exit
	default:
		return Status{}
	}
}

// Terminate asks the worker process, and not its descendants, to end: SIGTERM on Unix, CTRL_BREAK
// on Windows, where it fails if the two processes share no console. It returns os.ErrProcessDone
// after the process has ended.
func (p *Process) Terminate() error { return p.whileAlive(p.tree.terminate) }

// Quit asks the worker process, and not its descendants, to end with a dump of its stacks on its
// standard error: SIGQUIT. It returns os.ErrProcessDone after the process has ended, and
// errors.ErrUnsupported on Windows.
func (p *Process) Quit() error { return p.whileAlive(p.tree.quit) }

// Kill ends the worker process and its process group (on Windows, its job) at once. It returns nil
// if they are gone already.
func (p *Process) Kill() error {
	err := p.whileAlive(p.tree.kill)
	if err == os.ErrProcessDone {
		return nil
	}
	return err
}

// Stopped returns the signal that has stopped the process, such as "SIGSTOP" or "SIGTTOU", or
// another text that says what has stopped it. It returns "" if the process runs, if it has ended,
// or if the system does not tell.
func (p *Process) Stopped() (signal string) {
	_ = p.whileAlive(func(p *Process) error { // an error says that the process has ended
		signal = p.tree.stopped(p)
		return nil
	})
	return signal
}

// whileAlive calls f unless the process was reaped, and keeps it from being reaped meanwhile.
func (p *Process) whileAlive(f func(*Process) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return os.ErrProcessDone
	}
	return f(p)
}

// Close closes main's ends of the three pipes, and the shared memory. It does not end the process.
// Calls after the first do nothing.
func (p *Process) Close() {
	// Nothing is buffered, so that only a second Close has an error.
	_ = p.In.Close()
	_ = p.Out.Close()
	_ = p.Err.Close()
	if p.Box != nil {
		_ = p.Box.Close()
	}
}
