package fleet

import "time"

// Config is what the rules cannot decide by themselves.
type Config struct {
	// Rand returns a random number from 0 up to 1, without 1. Only pauses with a jitter ask for it.
	Rand func() float64
}

// Policy says when a worker is replaced that has ended by itself. The values are those of the
// shell's policies.
type Policy uint8

const (
	// OnFailure replaces a worker that died, or ended with an error.
	OnFailure Policy = iota
	// NoRestart leaves the slot of a worker empty.
	NoRestart
	// Always replaces a worker also if it ended without an error.
	Always
)

// PoolDesc is what the rules have to know of a pool. The shell has checked it and filled in the
// defaults.
type PoolDesc struct {
	// Count is the number of slots at the start.
	Count int
	// Spare is the number of workers that stand by, set up, to take the place of one that ends.
	Spare int
	// Needs are the pools that must be up before a life begins. They may be added after this pool.
	Needs []Pool
	// Policy says when a worker is replaced that has ended by itself.
	Policy Policy
	// StopWorker buries a worker that has reached its limit, and nothing else; without it the
	// program ends.
	StopWorker bool
	// Limit is how often a worker is replaced within the Window; less than 0 is no limit.
	Limit int
	// Window is the time in which failures are counted.
	Window time.Duration
	// Delay is the pause before the second replacement in a row. The first comes at once.
	Delay time.Duration
	// Factor is by how much the pause grows with each further replacement. It is at least 1.
	Factor float64
	// MaxDelay is the longest pause.
	MaxDelay time.Duration
	// Jitter is the part of a pause that is random, from 0 to 1.
	Jitter float64
	// Reset is the time after which a worker that was ready has proved itself: the pauses begin
	// anew.
	Reset time.Duration
	// MaxAge is the time after which a worker that is ready is replaced; 0 is never.
	MaxAge time.Duration
}

// Strategy says which workers of a group restart when one of them has failed. The values are those
// of the shell's strategies.
type Strategy uint8

const (
	// OneForOne restarts the worker that failed.
	OneForOne Strategy = iota
	// AllForOne restarts all workers of the group.
	AllForOne
	// RestForOne restarts the worker that failed, and the workers of the pools that the group lists
	// behind its own pool.
	RestForOne
)
