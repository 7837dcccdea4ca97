package mail

import "github.com/multiprolab/multiprolab/internal/ring"

// BacklogWindows is how many windows of messages an inbox holds at most while its loop waits for
// another process.
const BacklogWindows = 16

// Inbox is what has come to a process and waits for its turn, first in, first out. Its senders hold
// credit for that: a message gives it back when it leaves. While the loop waits for another
// process, it takes nothing out, and two loops that send each other more than a window would wait
// for each other for good. So a message gives its credit back at once then, and what is too much is
// refused. M is a message.
type Inbox[M any] struct {
	// window is what one sender may have in the inbox, in bytes, unless the loop waits.
	window int64
	items  ring.Ring[item[M]]
	bytes  int64 // of all that is in the inbox
	stalls int   // waits of the loop for other processes, at this moment
	sealed bool  // nothing more is taken
}

// item is a message in an inbox.
type item[M any] struct {
	message  M
	size     int64
	credited bool // its sender has its credit back
}

// due is the credit that is to be given back when the message leaves.
func (i *item[M]) due() int64 {
	if i.credited {
		return 0
	}
	return i.size
}

// Verdict is what becomes of a message that comes.
type Verdict uint8

// The verdicts.
const (
	Taken    Verdict = iota // it waits for its turn
	Credited                // as Taken, and its sender gets the credit back now
	Backlog                 // it is refused: the loop waits, and the inbox is full
	Sealed                  // it is refused: nothing more is handled here
)

// Left is a message that leaves the inbox, or gives credit back, and how much in bytes.
type Left[M any] struct {
	Message M
	Due     int64
}

// Resize sets the window of those who send here.
func (b *Inbox[M]) Resize(window int64) { b.window = window }

// Len is the number of messages in the inbox.
func (b *Inbox[M]) Len() int { return b.items.Len() }

// Full reports whether the inbox holds as much as it may hold while the loop waits.
func (b *Inbox[M]) Full() bool { return b.bytes > BacklogWindows*b.window }

// Put takes in a message, which cost its sender so many bytes, or says why not.
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

// Stall says that the loop begins to wait for another process, or with -1 that it waits no longer.
// It returns what gives its credit back now.
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

// Seal takes everything out, and nothing more in.
func (b *Inbox[M]) Seal() []Left[M] {
	b.sealed = true
	return b.Drop(func(M) bool { return true })
}
