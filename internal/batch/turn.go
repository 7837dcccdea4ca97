package batch

import "time"

const (
	// maxTurn is about how long a worker works on one batch. Main gives out again what is left
	// then.
	maxTurn = 2 * workTime
	// otherTime is about how long a batch holds up the messages and the actions of its worker.
	otherTime = 4 * time.Millisecond
	// lookTime is about how often a worker looks at the clock between the items of a batch.
	lookTime = 100 * time.Microsecond
	// lookItems is after how many items a worker looks at the clock at the latest.
	lookItems = 16
)

// Turn decides when a worker looks at the clock while it works on a batch, and when it stops. It
// exists in the worker, for one batch, and only the loop touches it. Its times count from the
// beginning of the work on the batch.
type Turn struct {
	seen time.Duration // when the worker looked at the clock last
	look uint64        // the number of the item before which the worker looks next
	step uint64        // how many items lie between the last look and the next
}

// NewTurn returns the turn of a batch that begins now.
func NewTurn() Turn { return Turn{look: 1, step: 1} }

// Due reports whether the worker looks at the clock before item n. It does not look before the
// first item, number 0, which is always worked on.
func (t *Turn) Due(n uint64) bool { return n == t.look }

// Over reports whether the worker stops after it has been busy for so long.
func (t *Turn) Over(busy time.Duration) bool { return busy > maxTurn }

// Yields reports whether the worker stops after it has been busy for so long, if it has something
// else to do.
func (t *Turn) Yields(busy time.Duration) bool { return busy > otherTime }

// Looked notes that the worker has looked at the clock before item n, and goes on. While the items
// are short, the next look comes after twice as many items; otherwise it comes before the next
// item.
func (t *Turn) Looked(n uint64, busy time.Duration) {
	if t.step = min(2*t.step, lookItems); busy-t.seen > lookTime {
		t.step = 1
	}
	t.seen, t.look = busy, n+t.step
}
