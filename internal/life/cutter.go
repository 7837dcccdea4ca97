package life

import (
	"bytes"
	"regexp"
	"strings"
	"time"
)

// This file shortens what a death prints: of the report with which the Go runtime ends a process
// the reason and the first stack of a goroutine are passed on; the other stacks are kept by the
// tail. What the worker has printed itself is passed on as it comes. It all happens in main.

const (
	// MostStackLines is how many lines of the first stack are passed on.
	MostStackLines = 100
	// mostHeld is how many bytes of stacks are held back until the process has ended; of what is
	// longer all is passed on.
	mostHeld = 4 << 20
	// lineHead is how many bytes of a line tell what it is.
	lineHead = 64
	// heldTime is how long stacks are held back: a process that lives on after that has printed
	// them itself.
	heldTime = 2 * time.Second
)

// traceLine is what a line of the stacks of a report looks like: that of a place in a file, the
// head of a stack, a function, registers.
var traceLine = regexp.MustCompile(
	`^(|\t.+:\d+( .*)?|goroutine \d+ .*\]:|runtime stack:|(created by )?\S+\(.*\)|created by \S+( in goroutine \d+)?|` +
		`\.\.\..*frames elided\.\.\.|\[originating from goroutine \d+\]:|[a-z0-9]{2,6} +0x[0-9a-f]+|` +
		`\t?goroutine running on other thread; stack unavailable|-----)$`,
)

// crashCutter lets the reason and the first stack of a report pass, and holds back the rest of the
// stacks. It exists in main, in the tail of a worker's stderr, which guards it.
type crashCutter struct {
	// phase is how far a report has come.
	phase crashPhase
	// line is what has come of the line that has not ended; its beginning, while there is no
	// report.
	line []byte
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
	// until is when a process that lives on has printed the report itself.
	until time.Time
}

// crashPhase is how far a report of the Go runtime has come.
type crashPhase uint8

const (
	crashNone  crashPhase = iota // no report has come
	crashFirst                   // its first stack is coming
	crashRest                    // what follows the first stack is coming
)

// holds reports whether something is held back.
func (c *crashCutter) holds() bool {
	return len(c.held) > 0 || c.phase == crashRest && len(c.line) > 0
}

// piece takes the next piece of the stream, which ends with its line at the latest, and appends to
// out what is passed on of it. begins says that the stacks of a report begin in this line.
func (c *crashCutter) piece(out, b []byte, begins bool, now time.Time) []byte {
	whole := b[len(b)-1] == '\n'
	if begins {
		head := bytes.Clone(c.line) // of this line, which is passed on
		if c.phase == crashRest {
			out = c.release(out)
		}
		c.line = head
		c.phase, c.lines, c.until = crashFirst, 0, now.Add(heldTime)
		c.system = false
	}
	switch c.phase {
	case crashNone:
		if c.line = append(c.line, b[:min(len(b), max(0, lineHead-len(c.line)))]...); whole {
			c.line = c.line[:0]
		}
		return append(out, b...)
	case crashFirst:
		if c.line = append(c.line, b...); whole {
			c.endFirst()
		}
		return append(out, b...)
	}
	if now.After(c.until) { // the process lives
		return c.piece(c.giveUp(out), b, false, now)
	}
	if c.line = append(c.line, b...); !whole && (len(c.line) < 4<<10) {
		return out
	}
	return c.endLine(out)
}

// endFirst looks at the line of the first stack that has ended, and has been passed on.
func (c *crashCutter) endFirst() {
	text := string(bytes.TrimRight(c.line, "\r\n"))
	c.line = c.line[:0]
	if c.lines++; strings.HasPrefix(text, "runtime stack:") || strings.HasPrefix(text, "goroutine 0 ") {
		c.system = true
	} else if strings.HasPrefix(text, "goroutine ") {
		c.system = false
	}
	if text == "" && !c.system || c.lines >= MostStackLines {
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
	if ok := traceLine.Match(text) && (!c.call || place) && len(c.held) < mostHeld; !ok {
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
	if c.phase != crashRest {
		return out
	}
	c.phase = crashNone
	return c.release(out)
}

// end appends to out what is to be passed on when the process has ended, and returns how many lines
// are left out. died says that the Go runtime may have ended it.
func (c *crashCutter) end(out []byte, died bool) (pass []byte, lines int) {
	if c.phase != crashRest {
		c.line = nil // it has been passed on
		return out, 0
	}
	if len(c.line) > 0 {
		out = c.endLine(out)
	}
	lines = c.count
	if !died || lines == 0 || c.call {
		return c.release(out), 0
	}
	c.held, c.count = nil, 0
	return out, lines
}
