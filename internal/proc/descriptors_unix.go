// The process that starts a worker puts these descriptors there, and the worker takes them over.

//go:build unix

package proc

const (
	stdoutFD = 3  // where the parent put the file that becomes the worker's standard output
	boxFD    = 4  // where the parent put the shared memory, if there is some
	wireFD   = 10 // the wire's descriptors are the lowest free ones from here on
)
