package life

import (
	"bytes"
	"strings"
)

// runtimeMarks are how the reports begin with which the Go runtime ends a process.
var runtimeMarks = [][]byte{
	[]byte("panic: "),
	[]byte("fatal error: "),
	[]byte("runtime: "),
	[]byte("runtime/cgo: "),
}

// signalMark is the mark of a report that a signal has caused, such as "SIGQUIT: ".
var signalMark = lazily(`^SIG(QUIT|ILL|TRAP|ABRT|BUS|FPE|SEGV|STKFLT|SYS|EMT|XCPU): `)

// maxMark is how long a mark may be, in bytes.
const maxMark = 32

// marks are how reports of deaths begin: those of the Go runtime and those of the library. They
// exist in main, and do not change.
type marks struct {
	// own begins the library's reports; empty if there are none.
	own []byte
}

// find returns where the first mark in a part of a line begins, or -1.
func (m marks) find(b []byte) int {
	first := -1
	for _, mark := range runtimeMarks {
		if i := bytes.Index(b, mark); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if len(m.own) > 0 {
		if i := bytes.Index(b, m.own); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte("SIG"))
		if i < 0 || first >= 0 && from+i > first {
			return first
		}
		if from += i; signalMark().Match(b[from:]) {
			return from
		}
		from++
	}
}

// begins reports whether s begins as a report does.
func (m marks) begins(s string) bool { return m.find([]byte(s[:min(len(s), maxMark)])) == 0 }

// runtimeDied reports whether the exit status is one with which the Go runtime may have ended a
// process, or a signal's, or unknown (proc.go and panic.go of the runtime). What else a program
// exits with, its log may be full of panics that it has lived through.
func runtimeDied(exitCode int) bool {
	return exitCode < 0 || 2 <= exitCode && exitCode <= 5 || exitCode > 255
}

// interesting cuts the end of a stderr down to what explains a death: from a report on, if there is
// one. It is for a report without stacks (GOTRACEBACK=none): the last paragraph with a line that
// begins as one, from that line on.
func (m marks) interesting(s string) string {
	if m.begins(s) {
		return s
	}
	at, within := -1, false
	for start := 0; start < len(s); {
		line, _, _ := strings.Cut(s[start:], "\n")
		switch {
		case line == "":
			within = false
		case !within && m.begins(line):
			at, within = start, true
		}
		start += len(line) + 1
	}
	return s[max(at, 0):]
}
