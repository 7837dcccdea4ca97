package life

import (
	"io"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// Body is what a life of a worker runs in: a Process, or what stands for one. It exists in main.
// All methods may be called from any goroutine.
type Body interface {
	// PID returns the number of the process.
	PID() int
	// Done returns a channel that is closed when the body has ended and nothing of it is left.
	Done() <-chan struct{}
	// Status returns how the body ended. It is valid after Done.
	Status() proc.Status
	// Terminate asks it to end: SIGTERM.
	Terminate()
	// Quit asks it to print its stacks and end: SIGQUIT.
	Quit()
	// Kill ends it and all that it started: SIGKILL.
	Kill()
	// Raced reports whether the race detector has found something in it, which ended with the
	// status. It is valid after Done.
	Raced(proc.Status) bool
	// Stopped returns the signal that has stopped it, such as "SIGSTOP". It returns "" if it runs,
	// and where the system does not tell.
	Stopped() string
	// Stderr returns the end of what it wrote there, or the report of its death. It is valid after
	// Done.
	Stderr() string
	// Tail returns the end of what it has written to its standard error so far.
	Tail() string
	// Close gives up main's ends of its pipes.
	Close()
	// Box returns the memory in which it leaves what it has not written, see link.Link.SetBox, or
	// nil.
	Box() *io.SectionReader
}
