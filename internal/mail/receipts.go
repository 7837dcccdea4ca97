package mail

import "slices"

// Receipts is what the receiving end of a conversation has to confirm to its sender: bytes of room,
// and the serials of the messages that have left the inbox. The zero value has nothing to confirm.
// Who uses it guards it.
type Receipts struct {
	// bytes is how many bytes of room are to be given back.
	bytes int64
	// upTo is the serial up to which all messages have left the inbox.
	upTo uint64
	// told is what upTo was when the sender was told of it.
	told uint64
	// early is the serials above upTo of messages that have left the inbox, in order: they were
	// refused when they came, or their handlers have ended before the handler of an earlier
	// message.
	early []span
}

// span is a range of serials.
type span struct {
	first, last uint64 // the ends of the range, both of which belong to it
}

// Credit notes that bytes of room are free again. It reports whether the sender is to be told now,
// because a quarter of the window has gathered.
func (r *Receipts) Credit(bytes, window int64) (due bool) {
	r.bytes += bytes
	return r.bytes >= window/4
}

// Done notes that a message has left the inbox. It reports whether it was the turn of this message:
// if not, UpTo does not count it before all earlier messages have left as well.
func (r *Receipts) Done(serial uint64) (inTurn bool) {
	if serial != r.upTo+1 {
		r.addEarly(serial)
		return false
	}
	r.upTo = serial
	if len(r.early) > 0 && r.early[0].first == serial+1 {
		r.upTo = r.early[0].last
		r.early = slices.Delete(r.early, 0, 1)
	}
	return true
}

// addEarly notes a serial whose turn it is not. It is mostly the highest of all.
func (r *Receipts) addEarly(serial uint64) {
	i := len(r.early)
	for i > 0 && r.early[i-1].first > serial {
		i--
	}
	before := i > 0 && r.early[i-1].last+1 == serial
	after := i < len(r.early) && r.early[i].first == serial+1
	switch {
	case before && after:
		r.early[i-1].last = r.early[i].last
		r.early = slices.Delete(r.early, i, i+1)
	case before:
		r.early[i-1].last = serial
	case after:
		r.early[i].first = serial
	default:
		r.early = slices.Insert(r.early, i, span{serial, serial})
	}
}

// UpTo is the serial up to which all messages have left the inbox.
func (r *Receipts) UpTo() uint64 { return r.upTo }

// Take returns what the sender is to be told, and takes it for told. It reports false if there is
// nothing to tell.
func (r *Receipts) Take() (bytes, upTo uint64, ok bool) {
	if r.bytes == 0 && r.told == r.upTo {
		return 0, 0, false
	}
	bytes, r.bytes, r.told = uint64(r.bytes), 0, r.upTo
	return bytes, r.upTo, true
}
