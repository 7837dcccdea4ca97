package mail

// Turn is what a receiver is at that handles one after the other what was written to it: a message,
// a call, or nothing of both.
type Turn[L, C any] struct {
	Serial uint64 // the serial of the message; 0: it is at none
	Letter L      // what is kept of the message
	Number uint64 // the number of the call; 0: it is at none
	Call   C      // what is kept of the call
}

// Turn returns what the receiver is at, or is about to begin with, unless it is at something that
// the ledger does not know. handled is up to which serial messages have left its inbox, as it has
// left that behind; what cannot be true is ignored. If exact is false nobody knows that, and a call
// is taken for what the receiver is at, although it may be at a message that came before.
func (l *Ledger[L, C]) Turn(handled uint64, exact bool) (t Turn[L, C]) {
	at := l.head
	if exact && l.knows(handled) {
		at += int(handled - l.confirmed)
	}
	for at < len(l.row) && l.row[at].struck {
		at++
	}
	var oldest question[C]
	if l.settled < l.lastCall {
		t.Number = l.settled + 1
		oldest = l.calls[t.Number]
	}
	serial := l.confirmed + uint64(at-l.head) + 1
	if at == len(l.row) || t.Number > 0 && (!exact || serial > oldest.behind) {
		t.Call = oldest.call
		return t
	}
	return Turn[L, C]{Serial: serial, Letter: l.row[at].letter}
}
