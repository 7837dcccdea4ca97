package life

import (
	"strings"

	"github.com/multiprolab/multiprolab/internal/text"
)

// This file is what errors and the log say of what a dead worker has left on stderr, in main.

// stackLine matches a line of a stack that names a place in a file.
var stackLine = lazily(`^\s+\S.*:\d+( \+0x[0-9a-f]+)?$`)

// Headline returns the one line of a stderr that says most: the first line of a report of the Go
// runtime, or of one that begins with own, or, if there is no report, the last line, unless it is
// one of a stack.
func Headline(stderr, own string, exitCode int) string {
	s := strings.Trim(stderr, "\r\n =") // the race detector ends its reports with a line of these
	if runtimeDied(exitCode) && (marks{own: []byte(own)}).begins(s) {
		first, rest, _ := strings.Cut(s, "\n")
		if strings.HasSuffix(strings.TrimSpace(first), ":") { // the text begins with a line break
			next, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
			first = strings.TrimSpace(first) + " " + next
		}
		s = first
	} else {
		s = s[strings.LastIndexByte(s, '\n')+1:]
		if stackLine().MatchString(s) {
			return ""
		}
		s = s[strings.LastIndexByte(s, '\r')+1:] // before \r is what a terminal has written over
	}
	return text.Cut(strings.TrimSpace(s), 300)
}

// FirstStack returns the first stack of a goroutine of the program in what a dead worker has left
// on stderr, or "". It is not that of the goroutine that was at the function dumper.
func FirstStack(stderr, dumper string) string {
	for part := range strings.SplitSeq(strings.ReplaceAll(stderr, "\r\n", "\n"), "\n\n") {
		head, rest, _ := strings.Cut(strings.TrimLeft(part, "\n"), "\n")
		if !strings.HasPrefix(head, "goroutine ") || strings.HasPrefix(head, "goroutine 0 ") ||
			!strings.HasSuffix(head, "]:") ||
			strings.Contains(rest, dumper) {
			continue
		}
		lines := strings.SplitN(rest, "\n", mostStackLines+1)
		return head + "\n" + strings.TrimRight(strings.Join(lines[:min(len(lines), mostStackLines)], "\n"), "\n")
	}
	return ""
}
