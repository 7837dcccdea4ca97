package mail

import "github.com/multiprolab/multiprolab/internal/ring"

// BacklogWindows is how many windows of messages an inbox holds at most while its loop waits for
// another process.
const BacklogWindows = 16

// Inbox is the messages that have come to a process and wait for their turn, first in, first out.
// Each has cost its sender credit, which the sender gets back when the message leaves the inbox.
// While the loop of the process waits for another process, it takes no message out, and two loops
// that send each other more than a window would wait for each other for good. So, during such a
// wait, each message gives its credit back at once, and what is too much is refused. M is a
// message. Who uses the inbox guards it.
type Inbox[M any] struct {
	// window is how many bytes one sender may have in the inbox, unless the loop waits.
	window int64
	// items is the messages that wait for their turn.
	items ring.Ring[item[M]]
	// bytes is the sum of the sizes of all items.
	bytes int64
	// stalls is how many waits for other processes the loop is in at this moment.
	stalls int
	// sealed says that no further message is taken.
	sealed bool
}

// item is a message in an inbox.
type item[M any] struct {
	message  M     // the message itself
	size     int64 // how many bytes of credit the message has cost its sender
	credited bool  // the sender has its credit for the message back
}

// due is the credit that is to be given back when the message leaves.
func (i *item[M]) due() int64 {
	if i.credited {
		return 0
	}
	return i.size
}

// Verdict is what becomes of a message that has come.
type Verdict uint8

// The verdicts.
const (
	Taken    Verdict = iota // the message waits for its turn
	Credited                // the message waits for its turn, and its sender gets the credit back now
	Backlog                 // the message is refused: the loop waits, and the inbox is full
	Sealed                  // the message is refused: nothing more is handled here
)

// Left is a message that has left the inbox, or that gives its credit back while it stays.
type Left[M any] struct {
	Message M     // the message
	Due     int64 // how many bytes of credit its sender gets back
}

// Resize sets how many bytes one sender may have in the inbox.
func (b *Inbox[M]) Resize(window int64) { b.window = window }

// Len is the number of messages in the inbox.
func (b *Inbox[M]) Len() int { return b.items.Len() }

// Full reports whether the inbox holds as much as it may hold while the loop waits.
func (b *Inbox[M]) Full() bool { return b.bytes > BacklogWindows*b.window }

// Put takes in a message that has cost its sender so many bytes, or says why not.
func (b *Inbox[M]) Put(m M, size int64) Verdict {
	switch {
	case b.sealed:
		return Sealed
	case b.stalls > 0 && b.Full():
		return Backlog
	}
	b.bytes += size
	b.items.Push(item[M]{message: m, size: size, credited: b.stalls > 0})
	if b.stalls > 0 {
		return Credited
	}
	return Taken
}

// Next takes out the message whose turn it is, and says how much credit it gives back when it has
// been handled. It reports false if there is none.
func (b *Inbox[M]) Next() (m M, due int64, ok bool) {
	i, ok := b.items.Pop()
	b.bytes -= i.size
	return i.message, i.due(), ok
}

// Stall notes with 1 that the loop begins to wait for another process, and with -1 that such a wait
// is over. It returns the messages that give their credit back now.
func (b *Inbox[M]) Stall(by int) (credited []Left[M]) {
	b.stalls += by
	if by < 0 || b.stalls != 1 {
		return nil
	}
	for n := b.items.Len(); n > 0; n-- {
		i, _ := b.items.Pop()
		if !i.credited {
			credited = append(credited, Left[M]{i.message, i.size})
			i.credited = true
		}
		b.items.Push(i)
	}
	return credited
}

// Drop takes out the messages for which drop is true.
func (b *Inbox[M]) Drop(drop func(M) bool) (dropped []Left[M]) {
	b.items.Remove(func(i item[M]) bool {
		if !drop(i.message) {
			return false
		}
		b.bytes -= i.size
		dropped = append(dropped, Left[M]{i.message, i.due()})
		return true
	})
	return dropped
}

// Seal takes all messages out, and takes none in from then on.
func (b *Inbox[M]) Seal() []Left[M] {
	b.sealed = true
	return b.Drop(func(M) bool { return true })
}
