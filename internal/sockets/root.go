package sockets

// Root is how the public package sockets reaches what the root package keeps of mains and workers
// and shows to nobody else. The root package sets it in its initialiser; it does not change after
// that. A main is a *Main of the root package, and a worker a *Worker.
var Root struct {
	// Claim notes the name of a socket that is to be opened, and returns the Set that it goes to,
	// and what forgets the name if that fails. The Set is nil in the process of a worker that has
	// not become the worker yet: there nothing is opened. It panics if the name is malformed or
	// taken, or the Main runs.
	Claim func(main any, name string) (to *Set, forget func())
	// Find returns the socket of a name, or nil.
	Find func(main any, name string) *Socket
	// Take returns the descriptor of a socket that a worker was handed. It returns passes in a
	// process that only comes by the setup function.
	Take func(worker any, name string, packets bool) (fd uintptr, passes bool, err error)
}
