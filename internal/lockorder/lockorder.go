// Package lockorder sees to it that locks are taken in one order. Every lock that may be held while
// another one is taken has a rank, and a goroutine takes only locks of a higher rank than those
// that it holds. So no two goroutines can wait for each other's locks.
//
// In programs built with the race detector, taking a lock out of order panics, and the text names
// both ranks. In other programs a Mutex is a sync.Mutex and nothing more.
package lockorder

// The ranks, in the order in which locks are taken. The comments say what a lock of the rank
// guards, and in which process, if it is not in both.
type (
	// Loops guards what main is told about one submission: whether the loop waits for it.
	Loops struct{}
	// Turn is the right to read one wire, see package link. Frames are handled while it is held.
	Turn struct{}
	// Places guards the batches of one Map.
	Places struct{}
	// Fleet guards the rules of lives, in main.
	Fleet struct{}
	// Tasks guards the rules of tasks, in main.
	Tasks struct{}
	// Outcome guards the outcome of one submission, and the reports of progress that have come
	// before it. What these have taken of a worker's credit is given back while it is held.
	Outcome struct{}
	// Task guards the end of one task, in a worker.
	Task struct{}
	// Inbox guards the tasks that a worker holds.
	Inbox struct{}
	// Receipts guards what a worker tells main about the messages that it has got.
	Receipts struct{}
	// Outbox guards what one process is sent.
	Outbox struct{}
	// Account guards what one worker may send, in main.
	Account struct{}
	// Writing is the right to write to one wire, see package link.
	Writing struct{}
	// Chunks guards what was posted to one wire, see package link.
	Chunks struct{}
	// Leaf is the rank of every lock under which no other lock is taken.
	Leaf struct{}
)

// Rank is implemented by the ranks of this package alone.
type Rank interface{ rank() int }

func (Loops) rank() int    { return 1 }
func (Turn) rank() int     { return 2 }
func (Places) rank() int   { return 3 }
func (Fleet) rank() int    { return 4 }
func (Tasks) rank() int    { return 5 }
func (Outcome) rank() int  { return 6 }
func (Task) rank() int     { return 7 }
func (Inbox) rank() int    { return 8 }
func (Receipts) rank() int { return 9 }
func (Outbox) rank() int   { return 10 }
func (Account) rank() int  { return 11 }
func (Writing) rank() int  { return 12 }
func (Chunks) rank() int   { return 13 }
func (Leaf) rank() int     { return 14 }
