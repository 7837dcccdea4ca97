// Package ablate names the mechanisms of the library that exist for speed alone, so that each can
// be measured without it. In a program as users build it all of them are there, and asking costs
// nothing: the compiler knows the answer. Built with the tag ablate, a program does without those
// that the environment variable MULTIPROLAB_WITHOUT lists, separated by commas. Its workers inherit
// the list.
//
// ARCHITECTURE.md holds what each of them was found to bring.
package ablate

// Variable is the environment variable that lists what a program built with the tag ablate does
// without.
const Variable = "MULTIPROLAB_WITHOUT"

// Mechanism is one of them, by the name that the variable knows it by.
type Mechanism string

const (
	// Turns is that who waits for the wire reads it, see package link. Without it ReadLoop alone
	// reads.
	Turns Mechanism = "turns"
	// Lazy is that frames may wait until their goroutine has nothing better to do. Without it
	// WriteLoop is woken for each.
	Lazy Mechanism = "lazy"
	// Quiet is that the goroutine that posts also writes. Without it WriteLoop is woken for each
	// frame.
	Quiet Mechanism = "quiet"
	// Spares is that written chunks are filled again.
	Spares Mechanism = "spares"
	// Box is the black box of a worker. Without it a worker writes what it says before it goes on.
	Box Mechanism = "box"
	// Shared is the memory that both ends of a wire share. Without it all bodies go through the pipe.
	Shared Mechanism = "shared"
	// Shared512 is that bodies go through shared memory from 512 bytes on. Without it they do from
	// 16 KiB on.
	Shared512 Mechanism = "shared512"
	// Room is the memory that lets the garbage collector wait, see package link.
	Room Mechanism = "room"
	// Poll is that a worker waits for its wire in poll(2), see package proc. It is there on Linux
	// alone.
	Poll Mechanism = "poll"
	// Deaf is that a worker catches signals without package os/signal, see package proc. It is
	// there on Linux alone.
	Deaf Mechanism = "deaf"
	// Engine is the codec that is compiled for each type. Without it encoding/gob does the work.
	Engine Mechanism = "engine"
	// Texts is that the strings of a short value share their memory.
	Texts Mechanism = "texts"
	// Lending is that what is encoded for a frame lies in memory that is used again, and that a
	// []byte is not copied before it is laid out.
	Lending Mechanism = "lending"
	// Contexts is that the context of a handler is made when it is asked for. Without it each
	// handler gets one that can end.
	Contexts Mechanism = "contexts"
	// Pace is that a Map measures how long its items take. Without it, 64 travel together.
	Pace Mechanism = "pace"
	// Memory is that a Map knows how long the items of the last one with the same type took.
	Memory Mechanism = "memory"
	// Ahead is that a worker has as many tasks waiting as it does in some milliseconds. Without it
	// one waits.
	Ahead Mechanism = "ahead"
)

// All are the mechanisms.
var All = []Mechanism{
	Turns, Lazy, Quiet, Spares, Box, Shared, Shared512, Room, Poll, Deaf, Engine, Texts, Lending, Contexts, Pace,
	Memory, Ahead,
}
