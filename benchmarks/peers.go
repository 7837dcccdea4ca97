package main

import "errors"

// A peer is one way for a Go program to talk to worker processes. The interfaces below it say which
// scenarios it can take part in.
type peer interface {
	name() string
	// start starts worker processes. It may return before they are ready: the first request says
	// that they are.
	start(workers int) error
	// stop ends them and waits for them.
	stop() error
}

// A caller asks its first worker, which echoes.
type caller interface {
	peer
	callItem(Item) (Item, error)
	callBytes([]byte) ([]byte, error) // the result is good until the next call
}

// A streamer sends n messages to its first worker, then asks it what it has counted.
type streamer interface {
	peer
	streamItems(n int) (Tally, error)
	streamBytes(n int, block []byte) (Tally, error) // numbers each block
}

// A relayer has its first of two workers ask the second one n times, through main, and returns the
// nanoseconds of each request.
type relayer interface {
	peer
	relay(n int) ([]int64, error)
}

// A farmer has its workers do the tasks of a job, and returns the sum of the results.
type farmer interface {
	peer
	farm(job) (sum uint64, err error)
}

// An asker asks all its workers at once. Each answers q plus its index; the result is the sum of
// all answers.
type asker interface {
	peer
	ask(q uint64) (sum uint64, err error)
}

// A pider knows the process id of its first worker.
type pider interface {
	peer
	pid() int
}

// errAbsent is wrapped by the error of a peer that cannot run on this machine: an interpreter that
// is not installed, a system call that there is not.
var errAbsent = errors.New("absent")
