package life

import "time"

// Cause is the kind of a reason for which main ends a life.
type Cause uint8

const (
	// Alive is the cause of no reason: main has not ended the life.
	Alive Cause = iota
	// Told is that of who called Kill, or one of its kin, with a reason in words.
	Told
	// BrokeWire is that of a worker that has sent what no honest one sends.
	BrokeWire
	// LostWire is that of a wire that is of no use any more.
	LostWire
	// Lingered is that of a worker that has closed its end of the wire and did not exit.
	Lingered
)

// Reason is why main has ended a life.
type Reason struct {
	// Cause is the kind of the reason.
	Cause Cause
	// Why is the reason of Told, in words.
	Why string
	// Err is what was found, of BrokeWire and LostWire.
	Err error
	// StoppedBy is what had stopped the process before, such as "SIGSTOP", so that it is not its
	// code that hangs; empty if it ran.
	StoppedBy string
}

// Beat is a sign of life of a worker, as main sees it.
type Beat struct {
	// Running is what the worker was running, such as `call "resize"`; empty if nothing.
	Running string
	// Since is for how long at least it had run.
	Since time.Duration
	// number is that of the question that the beat answers.
	number uint64
}

// Hang is why a worker is to be killed that hangs, in main.
type Hang struct {
	// Beat is what does not return, or what the worker was running when it was last heard of.
	Beat
	// Limit is the time that was not kept.
	Limit time.Duration
	// Silent says that it was the process that gave no sign of life; else a handler did not return.
	Silent bool
}
