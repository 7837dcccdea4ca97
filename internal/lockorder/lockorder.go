// Package lockorder holds that locks are taken in one order. Every lock that may be held while
// another one is taken has a rank, and a goroutine takes only locks of a higher rank than those
// that it holds. So no two goroutines can wait for each other's locks.
//
// In programs built with the race detector, a lock that is taken out of order panics, with both
// ranks. Elsewhere a Mutex is a sync.Mutex and nothing more.
package lockorder

// The ranks, in the order in which they are taken. Main has those of lives and tasks, a worker those
// of what main has handed to it, and both have the others.
type (
	// Loops is of what main is told of one Submission: whether its loop waits for it.
	Loops struct{}
	// Turn is the right to read one wire, package link. Frames are handled while it is held.
	Turn struct{}
	// Places is of the batches of one Map.
	Places struct{}
	// Fleet is of the rules of lives, in main.
	Fleet struct{}
	// Tasks is of the rules of tasks, in main.
	Tasks struct{}
	// Task is of the end of one task, in a worker.
	Task struct{}
	// Inbox is of the tasks that a worker holds.
	Inbox struct{}
	// Receipts is of what a worker tells main of its messages.
	Receipts struct{}
	// Outbox is of what one process is sent.
	Outbox struct{}
	// Account is of what one worker may send, in main.
	Account struct{}
	// Writing is the right to write to one wire, package link.
	Writing struct{}
	// Chunks is of what has been posted to one wire, package link.
	Chunks struct{}
	// Outcome is of the outcome of one Submission.
	Outcome struct{}
	// Leaf is of everything under which no lock is taken.
	Leaf struct{}
)

// Rank is implemented by the ranks alone.
type Rank interface{ rank() int }

func (Loops) rank() int    { return 1 }
func (Turn) rank() int     { return 2 }
func (Places) rank() int   { return 3 }
func (Fleet) rank() int    { return 4 }
func (Tasks) rank() int    { return 5 }
func (Task) rank() int     { return 6 }
func (Inbox) rank() int    { return 7 }
func (Receipts) rank() int { return 8 }
func (Outbox) rank() int   { return 9 }
func (Account) rank() int  { return 10 }
func (Writing) rank() int  { return 11 }
func (Chunks) rank() int   { return 12 }
func (Outcome) rank() int  { return 13 }
func (Leaf) rank() int     { return 14 }
