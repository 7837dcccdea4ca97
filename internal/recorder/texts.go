package recorder

import "unicode/utf8"

const (
	// mostTexts is how many texts each ring keeps at a time. Later ones are noTexts.
	mostTexts = 8 << 10
	// mostTextBytes is how many bytes these have together.
	mostTextBytes = 1 << 20
	// mostText is how many bytes of a text are kept.
	mostText = 4 << 10
	// noText is the number of a text that is not kept.
	noText = 1<<16 - 1
)

// texts keeps each text of the events of a ring once. It exists in main. It is guarded as its ring
// is. A number stays that of its text until a sweep, which only Ring.Add does: an event is added
// before the next one takes the numbers of its texts.
type texts struct {
	all     []string          // the texts, by their numbers
	numbers map[string]uint16 // the numbers of the texts
	free    []uint16          // the numbers that are of no text any more
	bytes   int               // how many bytes the texts have together
	swept   uint64            // how many sweeps there were: a number that is older has to be asked for again
	at      uint64            // how many events there were before the last sweep
}

// name returns the number of a text.
func (t *texts) name(s string) uint16 {
	if n, ok := t.numbers[s]; ok {
		return n
	}
	// what JSON cannot hold would be read as another text
	if len(t.numbers) >= mostTexts || t.bytes+len(s) > mostTextBytes || len(s) > mostText || !utf8.ValidString(s) {
		return noText
	}
	n := uint16(len(t.all))
	if last := len(t.free) - 1; last >= 0 {
		n, t.free = t.free[last], t.free[:last]
		t.all[n] = s
	} else {
		t.all = append(t.all, s)
	}
	t.numbers[s] = n
	t.bytes += len(s)
	return n
}

// isFull reports whether there is little room left for further texts.
func (t *texts) isFull() bool {
	const few = mostTexts / 32
	return len(t.numbers) > mostTexts-few || t.bytes > mostTextBytes-few*16
}

// sweep forgets the texts that none of the events has.
func (t *texts) sweep(events []Event) {
	t.swept++
	used := make([]bool, len(t.all))
	use := func(n uint16) {
		if int(n) < len(used) {
			used[n] = true
		}
	}
	for i := range events {
		use(events[i].Text)
		use(events[i].More)
	}
	for s, n := range t.numbers {
		if !used[n] {
			delete(t.numbers, s)
			t.all[n] = ""
			t.free = append(t.free, n)
			t.bytes -= len(s)
		}
	}
}
