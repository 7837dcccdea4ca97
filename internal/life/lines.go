package life

import (
	"bytes"
	"io"
	"sync"
)

// maxLineSize is how many bytes of a line are gathered before they are passed on as they are.
const maxLineSize = 64 << 10

// Lines passes on whole lines, each with a prefix. It exists in main, once for each life of a
// worker. Any goroutine may write to it.
type Lines struct {
	// next gets the lines, each in a call of its own. It does not change.
	next io.Writer

	// mu guards prefix and buf.
	mu sync.Mutex
	// prefix is put before each line.
	prefix string
	// buf is what has come of a line that has not ended. mu guards it.
	buf []byte
}

// NewLines returns the writer that passes lines on to next.
func NewLines(prefix string, next io.Writer) *Lines { return &Lines{prefix: prefix, next: next} }

// Rename changes what is put before each line.
func (l *Lines) Rename(prefix string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prefix = prefix
}

// Write implements io.Writer. It never fails.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		l.buf = append(l.buf, line...)
		p = rest
		if whole || len(l.buf) >= maxLineSize {
			l.pass()
		}
	}
	return n, nil
}

// pass passes the line on. The caller holds mu.
func (l *Lines) pass() {
	line := make([]byte, 0, len(l.prefix)+len(l.buf)+1)
	line = append(append(append(line, l.prefix...), l.buf...), '\n')
	l.buf = l.buf[:0]
	_, _ = l.next.Write(line) // the writer may be broken: the worker must be able to go on
}

// Flush passes on a last line that does not end.
func (l *Lines) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > 0 {
		l.pass()
	}
}
