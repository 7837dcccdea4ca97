package life

import (
	"bytes"
)

// This file finds in what a worker wrote to stderr the report with which the Go runtime ends a
// process: a line such as "panic: ..." or "fatal error: ...", perhaps some more, an empty line, and
// the stacks. It all happens in main.

// headSize is how many bytes of the beginning of a report are kept if the whole of it is longer
// than tailSize.
const headSize = 16 << 10

// stacks are what the first line of the stacks of a report begins with.
var stacks = [][]byte{[]byte("goroutine "), []byte("runtime stack:")}

// reportFinder looks for reports in a stream, whose pieces may end anywhere. The last one counts.
// It exists in main, in the tail of a worker's stderr, which guards it.
//
// A mark alone proves nothing: programs write "panic: " into their logs. A report is one if its
// stacks follow the paragraph that the mark is in. The mark is mostly the first thing in its line,
// but stands behind what the program wrote before without ending the line, such as a progress bar.
type reportFinder struct {
	// marks are how reports begin. They do not change.
	marks marks
	// pos counts the bytes that have come.
	pos int64
	// line is the end of the line that has not ended, of maxMark-1 bytes at most.
	line []byte
	// length is the length of the line that has not ended, in bytes.
	length int
	// begins is the beginning of the line that has not ended, of maxMark bytes at most.
	begins []byte
	// marked says that a mark has come in the line that has not ended: only the first of a line
	// counts.
	marked bool
	// gap says that the line before was empty.
	gap bool
	// cand is what may turn out to be a report, in the paragraph before the gap or in the present
	// one; nil if there is none.
	cand *report
	// found is the last report; nil if there is none.
	found *report
}

// report is the beginning of a report, or of what may be one.
type report struct {
	// start is the place of its first byte in the stream.
	start int64
	// first says that its mark was the first thing in its line.
	first bool
	// head is its beginning, of headSize bytes at most.
	head []byte
}

// add takes what follows in the stream, up to headSize.
func (r *report) add(b []byte) {
	if r != nil {
		r.head = append(r.head, b[:min(len(b), headSize-len(r.head))]...)
	}
}

// write takes the next piece of the stream.
func (f *reportFinder) write(p []byte) {
	for len(p) > 0 {
		piece, rest, whole := bytes.Cut(p, []byte{'\n'})
		f.piece(piece)
		p = rest
		if !whole {
			return
		}
		f.endLine()
	}
}

// piece takes a part of a line.
func (f *reportFinder) piece(b []byte) {
	if len(b) == 0 {
		return
	}
	if len(f.begins) < maxMark {
		f.begins = append(f.begins, b[:min(len(b), maxMark-len(f.begins))]...)
	}
	if f.gap {
		f.decide()
	}
	lineStart := f.pos - int64(f.length)
	f.cand.add(b)
	f.found.add(b)
	if at, ok := f.firstMark(b); ok && f.better(at == lineStart) {
		f.cand = &report{start: at, first: at == lineStart}
		if before := int(f.pos - at); before > 0 { // it began in the pieces before
			f.cand.add(f.line[len(f.line)-before:])
			f.cand.add(b)
		} else {
			f.cand.add(b[-before:])
		}
	}
	f.pos += int64(len(b))
	f.length += len(b)
	f.line = append(f.line, b[max(0, len(b)-maxMark+1):]...)
	f.line = append(f.line[:0], f.line[max(0, len(f.line)-maxMark+1):]...)
}

// firstMark returns where in the stream the first mark of the line begins, if it ends in b, the
// next piece of the line.
func (f *reportFinder) firstMark(b []byte) (at int64, ok bool) {
	if !f.marked {
		at, f.marked = f.markIn(b)
		return at, f.marked
	}
	return 0, false
}

// markIn returns where in the stream the first mark begins that ends in b, the next piece of the
// line in which none has come.
func (f *reportFinder) markIn(b []byte) (at int64, ok bool) {
	if len(f.line) > 0 {
		seam := append(bytes.Clone(f.line), b[:min(len(b), maxMark-1)]...)
		if i := f.marks.find(seam); i >= 0 && i < len(f.line) {
			return f.pos - int64(len(f.line)-i), true
		}
	}
	if i := f.marks.find(b); i >= 0 {
		return f.pos + int64(i), true
	}
	return 0, false
}

// better reports whether a mark that has come is more likely than the candidate to be what the
// stacks belong to: the first thing in its line before one that is not, and of these the last. But
// it is before those in the lines that the runtime writes below it: indented ones, which are of its
// text, "[signal SIGSEGV: ...", and the further ones of its own trouble.
func (f *reportFinder) better(first bool) bool {
	c := f.cand
	switch {
	case c == nil:
		return true
	case c.first,
		f.begins[0] == '\t',
		f.begins[0] == '[',
		first && bytes.HasPrefix(c.head, []byte("runtime")):
		return false
	}
	return true
}

// decide finds out, from what is known of the line behind a gap, whether it begins the stacks of
// the candidate. It may be too early to say.
func (f *reportFinder) decide() {
	for _, begin := range stacks {
		if bytes.HasPrefix(f.begins, begin) {
			if f.cand != nil {
				f.found = f.cand
			}
			break
		}
		if bytes.HasPrefix(begin, f.begins) {
			return
		}
	}
	f.cand, f.gap = nil, false
}

// endLine takes the end of a line.
func (f *reportFinder) endLine() {
	if f.length > 0 && f.gap { // the line is too short for stacks
		f.cand = nil
	}
	f.gap = f.length == 0
	f.pos++
	f.cand.add([]byte{'\n'})
	f.found.add([]byte{'\n'})
	f.line, f.begins, f.length, f.marked = f.line[:0], f.begins[:0], 0, false
}
