package multiprolab

import (
	"bytes"
	"regexp"
	"strings"
)

// This file finds in what a worker wrote to stderr the report with which the Go runtime ends a
// process: a line such as "panic: ..." or "fatal error: ...", perhaps some more, an empty line, and
// the stacks.

// headSize is how many bytes of the beginning of a report are kept if the whole of it is longer
// than tailSize.
const headSize = 16 << 10

// marks are how reports begin. goexitMark is the library's own.
var marks = [][]byte{
	[]byte("panic: "),
	[]byte("fatal error: "),
	[]byte("runtime: "),
	[]byte("runtime/cgo: "),
	[]byte(goexitMark),
}

// goexitMark begins the report of a worker whose loop was ended by runtime.Goexit.
const goexitMark = "multiprolab: runtime.Goexit "

// signalMark is the mark of a report that a signal has caused, such as "SIGQUIT: ".
var signalMark = regexp.MustCompile(`^SIG(QUIT|ILL|TRAP|ABRT|BUS|FPE|SEGV|STKFLT|SYS|EMT|XCPU): `)

// maxMark is the length of the longest mark, in bytes.
const maxMark = len(goexitMark)

// findMark returns where the first mark in a part of a line begins, or -1.
func findMark(b []byte) int {
	first := -1
	for _, mark := range marks {
		if i := bytes.Index(b, mark); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte("SIG"))
		if i < 0 || first >= 0 && from+i > first {
			return first
		}
		if from += i; signalMark.Match(b[from:]) {
			return from
		}
		from++
	}
}

// runtimeReport reports whether s begins as a report of the Go runtime does.
func runtimeReport(s string) bool { return findMark([]byte(s[:min(len(s), maxMark)])) == 0 }

// stacks are what the first line of the stacks of a report begins with.
var stacks = [][]byte{[]byte("goroutine "), []byte("runtime stack:")}

// reportFinder looks for reports in a stream, whose pieces may end anywhere. The last one counts.
// It exists in main, in the tail of a worker's stderr, which guards it.
//
// A mark alone proves nothing: programs write "panic: " into their logs. A report is one if its
// stacks follow the paragraph that the mark is in. The mark is mostly the first thing in its line,
// but stands behind what the program wrote before without ending the line, such as a progress bar.
type reportFinder struct {
	pos    int64   // bytes that have come
	line   []byte  // the last bytes of the line that has not ended, maxMark-1 at most
	length int     // of that line, in bytes
	begins []byte  // its first bytes
	gap    bool    // the line before it was empty
	cand   *report // what may turn out to be one, in the paragraph before the gap or in the present one; or nil
	found  *report // the last that is one, or nil
}

// report is the beginning of a report, or of what may be one.
type report struct {
	start int64 // of its first byte, in the stream
	first bool  // its mark was the first thing in its line
	line  int64 // where its line began
	head  []byte
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
	if at, ok := f.markIn(b); ok && f.better(at == lineStart, lineStart) {
		f.cand = &report{start: at, first: at == lineStart, line: lineStart}
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

// markIn returns where in the stream the first mark begins that ends in b, the next piece of the
// line, or one that is close before it.
func (f *reportFinder) markIn(b []byte) (at int64, ok bool) {
	if len(f.line) > 0 {
		seam := append(bytes.Clone(f.line), b[:min(len(b), maxMark-1)]...)
		if i := findMark(seam); i >= 0 && i < len(f.line) {
			return f.pos - int64(len(f.line)-i), true
		}
	}
	if i := findMark(b); i >= 0 {
		return f.pos + int64(i), true
	}
	return 0, false
}

// better reports whether a mark that has come is more likely than the candidate to be what the
// stacks belong to: the first thing in its line before one that is not, and of these the last. But
// in its own line the mark that came first is, and it is before those in the lines that the runtime
// writes below it: indented ones, which are of its text, "[signal SIGSEGV: ...", and the further
// ones of its own trouble.
func (f *reportFinder) better(first bool, line int64) bool {
	c := f.cand
	switch {
	case c == nil:
		return true
	case c.first,
		c.line == line,
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

func (f *reportFinder) endLine() {
	if f.length > 0 && f.gap { // the line is too short for stacks
		f.cand = nil
	}
	f.gap = f.length == 0
	f.pos++
	f.cand.add([]byte{'\n'})
	f.found.add([]byte{'\n'})
	f.line, f.begins, f.length = f.line[:0], f.begins[:0], 0
}

// interesting cuts the end of a stderr down to what explains a death: from a report of the Go
// runtime on, if there is one. It is for a report without stacks (GOTRACEBACK=none): the last
// paragraph with a line that begins as one, from that line on.
func interesting(s string) string {
	if runtimeReport(s) {
		return s
	}
	at, within := -1, false
	for start := 0; start < len(s); {
		line, _, _ := strings.Cut(s[start:], "\n")
		switch {
		case line == "":
			within = false
		case !within && runtimeReport(line):
			at, within = start, true
		}
		start += len(line) + 1
	}
	return s[max(at, 0):]
}

// runtimeDied reports whether the exit status is one with which the Go runtime may have ended a
// process, or a signal's, or unknown (proc.go and panic.go of the runtime). What else a program
// exits with, its log may be full of panics that it has lived through.
func runtimeDied(exitCode int) bool {
	return exitCode < 0 || 2 <= exitCode && exitCode <= 5 || exitCode > 255
}

// stackLine is a line of a stack that names a place in a file.
var stackLine = regexp.MustCompile(`^\s+\S.*:\d+( \+0x[0-9a-f]+)?$`)

// headline returns the one line of a stderr that says most: the first of a report of the Go
// runtime, else the last, unless that is one of a stack.
func headline(stderr string, exitCode int) string {
	s := strings.Trim(stderr, "\r\n =") // the race detector ends its reports with a line of these
	if runtimeDied(exitCode) && runtimeReport(s) {
		first, rest, _ := strings.Cut(s, "\n")
		if strings.HasSuffix(strings.TrimSpace(first), ":") { // the text begins with a line break
			next, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
			first = strings.TrimSpace(first) + " " + next
		}
		s = first
	} else {
		s = s[strings.LastIndexByte(s, '\n')+1:]
		if stackLine.MatchString(s) {
			return ""
		}
		s = s[strings.LastIndexByte(s, '\r')+1:] // what was written over
	}
	s = strings.TrimPrefix(strings.TrimSpace(s), "multiprolab: ")
	const most = 300 // bytes
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + " ..."
	}
	return s
}
