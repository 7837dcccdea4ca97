package life

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
)

// This file shortens what a death prints: of the report with which the Go runtime ends a process
// the reason and the first stack of a goroutine are passed on; the other stacks are kept by the
// tail. What the worker has printed itself is passed on as it comes. It all happens in main.

const (
	// mostStackLines is how many lines of the first stack are passed on.
	mostStackLines = 100
	// mostHeld is how many bytes of stacks are held back until the process has ended. What is
	// longer is passed on up to there.
	mostHeld = 4 << 20
	// lineHead is how many bytes of a line tell what it is.
	lineHead = 64
	// mostTraceLine is how many bytes a line of a stack has at most, without its end.
	mostTraceLine = 4 << 10
)

// traceLine is what a line of the stacks of a report looks like: that of a place in a file, the
// head of a stack, a function, registers. It is made at its first use, which a worker has none of.
var traceLine = lazily(
	`^(|\t.+:\d+( .*)?|goroutine \d+ .*\]:|runtime stack:|(created by )?\S+\(.*\)|created by \S+( in goroutine \d+)?|` +
		`\.\.\..*frames elided\.\.\.|\[originating from goroutine \d+\]:|[a-z0-9]{2,6} +0x[0-9a-f]+|` +
		`\t?goroutine running on other thread; stack unavailable|-----)$`,
)

// lazily returns what makes a regular expression at its first call.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// crashCutter lets the reason and the first stack of a report pass, and holds back the rest of the
// stacks. It exists in main, in the tail of a worker's stderr, which guards it.
type crashCutter struct {
	// phase is how far a report has come.
	phase crashPhase
	// line is what has come of the line that has not ended: all of it, if it is held back; else its
	// beginning.
	line []byte
	// long says that the line that has not ended is too long for one of a stack: it passes.
	long bool
	// lines counts the lines of the first stack.
	lines int
	// system says that the stack that passes is none of a goroutine of the program.
	system bool
	// held are the stacks that are held back, in whole lines.
	held []byte
	// count is how many lines are held back.
	count int
	// call says that the last line that is held back is a function, whose place must follow.
	call bool
}

// crashPhase is how far a report of the Go runtime has come.
type crashPhase uint8

const (
	crashNone  crashPhase = iota // no report has come
	crashFirst                   // its first stack is coming
	crashRest                    // what follows the first stack is coming
)

// piece takes the next piece of the stream, which ends with its line at the latest, and appends to
// out what is passed on of it. begins says that the stacks of a report begin in this line.
func (c *crashCutter) piece(out, b []byte, begins bool) []byte {
	whole := b[len(b)-1] == '\n'
	if begins {
		head := bytes.Clone(c.line) // of this line, which is passed on
		if c.phase == crashRest {
			out = c.release(out)
		}
		c.line = head
		c.phase, c.lines = crashFirst, 0
		c.system = false
	}
	if c.phase != crashRest || c.long {
		c.line = append(c.line, b[:min(len(b), max(0, lineHead-len(c.line)))]...)
		if whole {
			c.endPassed()
		}
		return append(out, b...)
	}
	c.line = append(c.line, b...)
	switch {
	case len(bytes.TrimRight(c.line, "\r\n")) > mostTraceLine:
		out = c.release(out)
		c.long = !whole
		return out
	case whole:
		return c.endLine(out)
	}
	return out
}

// endPassed takes the end of a line that has been passed on.
func (c *crashCutter) endPassed() {
	if c.phase == crashFirst {
		c.endFirst()
	}
	c.line, c.long = c.line[:0], false
}

// endFirst looks at the line of the first stack that has ended, and has been passed on.
func (c *crashCutter) endFirst() {
	text := string(bytes.TrimRight(c.line, "\r\n"))
	if c.lines++; strings.HasPrefix(text, "runtime stack:") || strings.HasPrefix(text, "goroutine 0 ") {
		c.system = true
	} else if strings.HasPrefix(text, "goroutine ") {
		c.system = false
	}
	if text == "" && !c.system || c.lines >= mostStackLines {
		c.phase = crashRest
	}
}

// endLine holds back the line that has ended, or passes it on with all that came before it, if it
// is none of a stack.
func (c *crashCutter) endLine(out []byte) []byte {
	text := bytes.TrimRight(c.line, "\r\n")
	place := len(text) > 0 && text[0] == '\t'
	call := len(text) > 0 && text[len(text)-1] == ')' || bytes.HasPrefix(text, []byte("created by "))
	c.held = append(c.held, c.line...)
	c.line = c.line[:0]
	c.count++
	if ok := traceLine().Match(text) && (!c.call || place) && len(c.held) < mostHeld; !ok {
		return c.release(out)
	}
	c.call = call && !place
	return out
}

// release appends to out what is held back.
func (c *crashCutter) release(out []byte) []byte {
	out = append(append(out, c.held...), c.line...)
	c.held, c.line, c.count, c.call = nil, nil, 0, false
	return out
}

// giveUp appends to out what is held back of a process that lives on.
func (c *crashCutter) giveUp(out []byte) []byte {
	if c.phase == crashRest && !c.long {
		head := bytes.Clone(c.line[:min(len(c.line), lineHead)]) // of the line that has not ended
		out = c.release(out)
		c.line = head
	}
	c.phase = crashNone
	return out
}

// end appends to out what is to be passed on when the process has ended, and returns how many lines
// are left out. died says that the Go runtime may have ended it.
func (c *crashCutter) end(out []byte, died bool) (pass []byte, lines int) {
	if c.phase != crashRest || c.long {
		c.line = nil // it has been passed on
	}
	if len(c.line) > 0 {
		out = c.endLine(out)
	}
	lines = c.count
	if !died || c.call {
		return c.release(out), 0
	}
	c.held, c.count = nil, 0
	return out, lines
}
