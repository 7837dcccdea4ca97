package multiprolab

import (
	"regexp"
	"strings"

	"github.com/multiprolab/multiprolab/internal/life"
)

// This file is what errors and the log say of what a dead worker has left on stderr, in main.

// goexitMark is how the report of a worker begins whose loop runtime.Goexit has ended.
const goexitMark = "multiprolab: runtime.Goexit "

// stackLine matches a line of a stack that names a place in a file.
var stackLine = regexp.MustCompile(`^\s+\S.*:\d+( \+0x[0-9a-f]+)?$`)

// headline returns the one line of a stderr that says most: the first line of a report of the Go
// runtime or, if there is no report, the last line, unless it is one of a stack.
func headline(stderr string, exitCode int) string {
	s := strings.Trim(stderr, "\r\n =") // the race detector ends its reports with a line of these
	if life.RuntimeDied(exitCode) && life.BeginsReport(s, goexitMark) {
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
		s = s[strings.LastIndexByte(s, '\r')+1:] // before \r is what a terminal has written over
	}
	s = strings.TrimPrefix(strings.TrimSpace(s), "multiprolab: ")
	const most = 300 // bytes
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + " ..."
	}
	return s
}

// firstStack returns the first stack of a goroutine of the program in what a dead worker has left
// on stderr, or "".
func firstStack(stderr string) string {
	for part := range strings.SplitSeq(strings.ReplaceAll(stderr, "\r\n", "\n"), "\n\n") {
		head, rest, _ := strings.Cut(strings.TrimLeft(part, "\n"), "\n")
		if !strings.HasPrefix(head, "goroutine ") || strings.HasPrefix(head, "goroutine 0 ") ||
			!strings.HasSuffix(head, "]:") ||
			strings.Contains(rest, ".(*Worker).dump(") { // this is the goroutine that has written the stacks
			continue
		}
		lines := strings.SplitN(rest, "\n", life.MostStackLines+1)
		return head + "\n" + strings.TrimRight(strings.Join(lines[:min(len(lines), life.MostStackLines)], "\n"), "\n")
	}
	return ""
}
