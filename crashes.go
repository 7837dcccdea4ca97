package multiprolab

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// This file shortens what a death prints: of the report with which the Go runtime ends a process
// the reason and the first stack of a goroutine are passed on, the other stacks are in the error.
// What the worker has printed itself is passed on as it comes. It all happens in main.

const (
	// mostStackLines is how many lines of the first stack are passed on.
	mostStackLines = 100
	// mostHeld is how many bytes of stacks are held back until the process has ended; of what is
	// longer all is passed on.
	mostHeld = 4 << 20
	// lineHead is how many bytes of a line tell what it is.
	lineHead = 64
	// heldTime is how long they are held back: a process that lives on after that has printed them
	// itself.
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
	phase  crashPhase
	line   []byte // of the line that has not ended
	lines  int    // of the first stack
	system bool   // the stack that passes is none of a goroutine of the program
	held   []byte // stacks, whole lines
	count  int    // of these
	call   bool   // the last of these is a function, whose place must follow
	until  time.Time
}

type crashPhase uint8

const (
	crashNone  crashPhase = iota // no report has come
	crashFirst                   // in its first stack
	crashRest                    // behind that
)

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
		if c.line = append(c.line, b...); !whole {
			return append(out, b...)
		}
		text := string(bytes.TrimRight(c.line, "\r\n"))
		c.line = c.line[:0]
		if c.lines++; strings.HasPrefix(text, "runtime stack:") || strings.HasPrefix(text, "goroutine 0 ") {
			c.system = true
		} else if strings.HasPrefix(text, "goroutine ") {
			c.system = false
		}
		if text == "" && !c.system || c.lines >= mostStackLines {
			c.phase = crashRest
		}
		return append(out, b...)
	}
	if now.After(c.until) { // the process lives
		out = c.release(out)
		c.phase = crashNone
		return c.piece(out, b, false, now)
	}
	if c.line = append(c.line, b...); !whole && (len(c.line) < 4<<10) {
		return out
	}
	return c.endLine(out)
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

// end appends to out what is to be passed on when the process has ended. died says that the Go
// runtime may have ended it.
func (c *crashCutter) end(out []byte, died bool) []byte {
	if c.phase != crashRest {
		c.line = nil // it has been passed on
		return out
	}
	if len(c.line) > 0 {
		out = c.endLine(out)
	}
	lines := c.count
	if !died || lines == 0 || c.call {
		return c.release(out)
	}
	c.held, c.count = nil, 0
	if lines > 1 {
		out = fmt.Appendf(
			out,
			"multiprolab: %d more lines of stacks are in the error (WorkerDiedError.Stderr); Config.FullCrashes has "+
				"them printed\n",
			lines,
		)
	}
	return out
}

// firstStack returns the first stack of a goroutine of the program in what a dead worker has left
// as its stderr, or "".
func firstStack(stderr string) string {
	for part := range strings.SplitSeq(strings.ReplaceAll(stderr, "\r\n", "\n"), "\n\n") {
		head, rest, _ := strings.Cut(strings.TrimLeft(part, "\n"), "\n")
		if !strings.HasPrefix(head, "goroutine ") || strings.HasPrefix(head, "goroutine 0 ") ||
			!strings.HasSuffix(head, "]:") ||
			strings.Contains(rest, ".(*Worker).dump(") { // that is who has asked
			continue
		}
		lines := strings.SplitN(rest, "\n", mostStackLines+1)
		return head + "\n" + strings.TrimRight(strings.Join(lines[:min(len(lines), mostStackLines)], "\n"), "\n")
	}
	return ""
}
