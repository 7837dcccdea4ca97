// Package ablate names the mechanisms of the library that exist for speed alone, so that each can
// be measured without it. In a program as users build it all mechanisms are there, and asking costs
// nothing: the compiler knows the answer. A program that is built with the tag ablate does without
// the mechanisms that the environment variable MULTIPROLAB_WITHOUT lists, separated by commas. Its
// workers inherit the list.
//
// ARCHITECTURE.md says what each mechanism was found to bring.
package ablate

// Variable is the environment variable that lists what a program built with the tag ablate does
// without.
const Variable = "MULTIPROLAB_WITHOUT"

// Mechanism is a mechanism.
type Mechanism int

const (
	// None is no mechanism: a program without it has all.
	None Mechanism = iota
	// Turns is that the goroutine that waits for a frame reads the wire, see package link. Without
	// it ReadLoop alone reads.
	Turns
	// Lazy is that frames may wait until their goroutine has nothing better to do. Without it
	// WriteLoop is woken for each frame.
	Lazy
	// Quiet is that the goroutine that posts also writes. Without it WriteLoop is woken for each
	// frame.
	Quiet
	// Spares is that written chunks are filled again.
	Spares
	// Box is the black box of a worker. Without it a worker writes what it has posted to the pipe
	// before it goes on.
	Box
	// Shared is the memory that both ends of a wire share. Without it all bodies go through the
	// pipe.
	Shared
	// Shared512 is that bodies of 512 bytes and more go through shared memory. Without it only
	// bodies of 16 KiB and more do.
	Shared512
	// Room is the memory that lets the garbage collector wait, see package link.
	Room
	// Poll is that a worker waits for its wire in poll(2), see package proc. Only Linux has it.
	Poll
	// Deaf is that a worker catches signals without package os/signal, see package proc. Only Linux
	// has it.
	Deaf
	// Engine is the codec that is compiled for each type. Without it encoding/gob does the work.
	Engine
	// Lending is that values for frames are encoded into memory that is used again, and that a
	// []byte is not copied before the frame is laid out.
	Lending
	// Contexts is that the context of a handler is made only when somebody asks for it. Without it
	// each handler gets a context that can end.
	Contexts
	// Pace is that a Map measures how long its items take. Without it 64 items travel together.
	Pace
	// Ahead is that as many tasks wait in a worker as it does in some milliseconds. Without it one
	// task waits there.
	Ahead
	// Figures is that main keeps what Stats tells of times, and the events of the flight
	// recorder. It is the one mechanism that costs time: what a program pays into which nobody
	// looks. The counts of tasks stay without it, some ten additions each.
	Figures
)

// All are the mechanisms.
var All = []Mechanism{
	Turns, Lazy, Quiet, Spares, Box, Shared, Shared512, Room, Poll, Deaf, Engine, Lending, Contexts, Pace, Ahead,
	Figures,
}

// names are the names of the mechanisms in the variable.
var names = [...]string{
	Turns:     "turns",
	Lazy:      "lazy",
	Quiet:     "quiet",
	Spares:    "spares",
	Box:       "box",
	Shared:    "shared",
	Shared512: "shared512",
	Room:      "room",
	Poll:      "poll",
	Deaf:      "deaf",
	Engine:    "engine",
	Lending:   "lending",
	Contexts:  "contexts",
	Pace:      "pace",
	Ahead:     "ahead",
	Figures:   "figures",
}

// String returns the name in the variable.
func (m Mechanism) String() string { return names[m] }
