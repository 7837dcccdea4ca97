package life

import (
	"bytes"
	"io"
	"sync"

	"github.com/multiprolab/multiprolab/internal/text"
)

// maxLineSize is the greatest length of a line in bytes. A longer one is passed on in pieces, as
// lines of their own.
const maxLineSize = 64 << 10

// Lines passes on whole lines, each with a prefix. It exists in main, once for each life of a
// worker. Any goroutine may write to it.
type Lines struct {
	// next gets the lines, each in a call of its own. It does not change.
	next io.Writer

	// mu guards every field below.
	mu sync.Mutex
	// prefix is put before each line.
	prefix string
	// buf is what has come of a line that has not ended, and was not passed on. mu guards it.
	buf []byte
	// begun says that the beginning of the line was passed on. mu guards it.
	begun bool
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
		p = rest
		for n := maxLineSize + 1 - len(l.buf); len(line) >= n; n = maxLineSize + 1 - len(l.buf) {
			l.buf = append(l.buf, line[:n]...)
			line = line[n:]
			l.pass(text.Whole(l.buf, maxLineSize))
			l.begun = true
		}
		l.buf = append(l.buf, line...)
		if whole && (len(l.buf) > 0 || !l.begun) {
			l.pass(len(l.buf))
		}
		l.begun = l.begun && !whole
	}
	return n, nil
}

// pass passes n bytes on, as a line. The caller holds mu.
func (l *Lines) pass(n int) {
	line := make([]byte, 0, len(l.prefix)+n+1)
	line = append(append(append(line, l.prefix...), l.buf[:n]...), '\n')
	l.buf = append(l.buf[:0], l.buf[n:]...)
	_, _ = l.next.Write(line) // the writer may be broken: the worker must be able to go on
}

// Flush passes on a last line that does not end.
func (l *Lines) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > 0 {
		l.pass(len(l.buf))
	}
}
