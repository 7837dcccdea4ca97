package mail

import (
	"maps"
	"slices"
)

// Ledger is what was written to the present life of a receiver and has had no answer there: one-way
// messages, which the receiver confirms by their serials, and calls, which it replies to by their
// numbers. L is what is kept of a message for who is told of its loss, C what is kept of a call.
// The zero value is empty. Who uses the ledger guards it.
type Ledger[L, C any] struct {
	// Clears says that L may hold something large, which is let go of as soon as it is not needed.
	// It does not change once the ledger is in use.
	Clears bool
	// Done is how many messages have left the inboxes of all lives, and how many calls have their
	// replies. It only grows.
	Done uint64

	// row is the messages in the order of their serials. Those before head have been confirmed, and
	// stay in the row until its memory is used again: L is small, and holds nothing large, unless
	// Clears is set.
	row []entry[L]
	// head is where in row the oldest message is that has not been confirmed.
	head int
	// confirmed is the serial up to which all messages of this life have left the inbox.
	confirmed uint64
	// begun is what the receiver has left behind of its life.
	begun begun
	// calls is the calls that this life has not replied to, by their numbers.
	calls map[uint64]question[C]
	// replied says that this life has replied to a call.
	replied bool
	// lastCall is the number of the last call. It goes on from life to life: no reply is ever taken
	// for that of another call.
	lastCall uint64
	// settled is the number up to which no call waits for a reply any more: the next one does, if
	// there is one.
	settled uint64
}

// keptRow is for how many messages an empty ledger keeps its memory.
const keptRow = 1 << 13

// entry is a message in a ledger.
type entry[L any] struct {
	// letter is what is kept of the message.
	letter L
	// struck says that the message has been reported, or confirmed alone: nobody need be told of
	// it again.
	struck bool
}

// question is a call in a ledger.
type question[C any] struct {
	// call is what is kept of the call.
	call C
	// behind is how many messages were written to this life before the call.
	behind uint64
}

// begun is which messages a receiver that has died had begun to handle, as far as it is known.
type begun struct {
	known bool   // the receiver has left behind which ones
	upTo  uint64 // the serial of the last of them; 0 if it had begun none
}

// Lost is a message that was written to a life that has ended, and that nobody has been told of.
type Lost[L any] struct {
	// Letter is what was kept of the message.
	Letter L
	// Begun says that a handler may have begun with the message.
	Begun bool
	// Suspect says that a handler was in the middle of the message, so that the life may have ended
	// because of it. If it is not known which messages were begun, that is said of the first alone.
	Suspect bool
}

// Write notes a message that was written. Its serial is the next one.
func (l *Ledger[L, C]) Write(letter L) { l.row = append(l.row, entry[L]{letter: letter}) }

// Len is the number of messages that have not been confirmed.
func (l *Ledger[L, C]) Len() int { return len(l.row) - l.head }

// knows reports whether there is a message with that serial that has not been confirmed.
func (l *Ledger[L, C]) knows(serial uint64) bool {
	return serial > l.confirmed && serial-l.confirmed <= uint64(l.Len())
}

// Handled takes in that all messages up to a serial have left the inbox, handled or reported. It
// reports false, and does nothing, if no message has that serial or if it was confirmed before.
func (l *Ledger[L, C]) Handled(upTo uint64) bool {
	if !l.knows(upTo) {
		return false
	}
	gone := l.row[l.head : l.head+int(upTo-l.confirmed)]
	if l.Clears {
		clear(gone)
	}
	l.head += len(gone)
	l.Done += uint64(len(gone))
	l.confirmed = upTo
	switch {
	case l.head == len(l.row) && cap(l.row) > keptRow:
		l.row, l.head = nil, 0
	case l.head > 64 && l.head*2 > len(l.row): // so what is left moves less often than messages go
		l.row, l.head = append(l.row[:0], l.row[l.head:]...), 0
	}
	return true
}

// Strike takes one message off the ledger before its turn, because it was reported, or confirmed
// alone. It returns the message, or false if no message has that serial or if it was struck before.
func (l *Ledger[L, C]) Strike(serial uint64) (letter L, ok bool) {
	if !l.knows(serial) {
		return letter, false
	}
	e := &l.row[l.head+int(serial-l.confirmed)-1]
	if e.struck {
		return letter, false
	}
	e.struck = true
	letter = e.letter
	if l.Clears {
		*e = entry[L]{struck: true}
	}
	return letter, true
}

// Begun takes in up to which serial a receiver that has died had begun to handle messages. A serial
// that no message has is ignored.
func (l *Ledger[L, C]) Begun(upTo uint64) {
	if upTo <= l.confirmed+uint64(l.Len()) {
		l.begun = begun{known: true, upTo: upTo}
	}
}

// Ask notes a call that is about to be written, and returns the number that it has on the wire.
func (l *Ledger[L, C]) Ask(call C) (number uint64) {
	if l.calls == nil {
		l.calls = map[uint64]question[C]{}
	}
	l.lastCall++
	l.calls[l.lastCall] = question[C]{call, l.confirmed + uint64(l.Len())}
	return l.lastCall
}

// Answered takes out the call with a number, which has its reply. It reports false if there is
// none.
func (l *Ledger[L, C]) Answered(number uint64) (call C, ok bool) {
	q, ok := l.calls[number]
	if ok {
		l.settle(number)
		l.Done++
		l.replied = true
	}
	return q.call, ok
}

// Unask takes out the call with a number, which could not be written after all.
func (l *Ledger[L, C]) Unask(number uint64) { l.settle(number) }

// settle takes out the call with a number.
func (l *Ledger[L, C]) settle(number uint64) {
	delete(l.calls, number)
	if number != l.settled+1 {
		return
	}
	for l.settled = number; l.settled < l.lastCall; l.settled++ {
		if _, waits := l.calls[l.settled+1]; waits {
			return
		}
	}
}

// Worked reports whether this life has confirmed a message, or replied to a call.
func (l *Ledger[L, C]) Worked() bool { return l.confirmed > 0 || l.replied }

// Asked returns the call with a number that has no reply, or false.
func (l *Ledger[L, C]) Asked(number uint64) (call C, ok bool) {
	q, ok := l.calls[number]
	return q.call, ok
}

// Calls is the number of calls that have no reply.
func (l *Ledger[L, C]) Calls() int { return len(l.calls) }

// Detach ends the life. It returns, in the order in which they were written, the messages that
// nobody has been told of and the calls that will have no reply. The next message that is written
// is the first of another life.
func (l *Ledger[L, C]) Detach() (lost []Lost[L], calls []C) {
	for i, e := range l.row[l.head:] {
		if e.struck {
			continue
		}
		one := Lost[L]{Letter: e.letter, Begun: true, Suspect: len(lost) == 0}
		if l.begun.known {
			one.Begun = l.confirmed+uint64(i) < l.begun.upTo
			one.Suspect = one.Begun
		}
		lost = append(lost, one)
	}
	for _, number := range slices.Sorted(maps.Keys(l.calls)) {
		calls = append(calls, l.calls[number].call)
	}
	*l = Ledger[L, C]{Clears: l.Clears, Done: l.Done, lastCall: l.lastCall, settled: l.lastCall}
	return lost, calls
}
