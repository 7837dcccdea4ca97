package multiprolab

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
)

const (
	tailSize    = 64 << 10 // bytes of a worker's stderr that are kept
	maxLineSize = 64 << 10 // bytes of a line that are gathered before they are passed on as they are
)

// sharedWriter writes for all workers to one writer, one call at a time. It exists in main.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// output returns where the stdout of a worker goes as far as main passes it on: with a writer in the config everything, line by line and
// with the worker's name; else only what came before the worker took its stdout over.
func (m *Main) output(worker string) io.Writer {
	if m.cfg.Stdout == nil {
		return os.Stdout
	}
	return &lines{prefix: worker + ": ", next: m.stdout}
}

// lines passes on whole lines, each with a prefix. It exists in main, once for each life of a worker.
type lines struct {
	prefix string
	next   io.Writer

	mu  sync.Mutex
	buf []byte
}

func (l *lines) Write(p []byte) (int, error) {
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

func (l *lines) pass() {
	line := make([]byte, 0, len(l.prefix)+len(l.buf)+1)
	line = append(append(append(line, l.prefix...), l.buf...), '\n')
	l.buf = l.buf[:0]
	_, _ = l.next.Write(line) // the writer may be broken: the worker must be able to go on
}

// flush passes on a last line that does not end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > 0 {
		l.pass()
	}
}

// tail passes everything on and keeps the end of it. It exists in main, once for each life of a worker.
type tail struct {
	next io.Writer

	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - tailSize; n > tailSize {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	t.mu.Unlock()
	_, _ = t.next.Write(p) // main's own stderr may be closed: the worker must be able to go on
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf[max(0, len(t.buf)-tailSize):])
}

// reports are how reports of the Go runtime begin.
var reports = []string{"panic: ", "fatal error: ", "runtime: ", "runtime/cgo: ", "SIGQUIT: ", "SIGSEGV: ", "SIGABRT: ", "SIGBUS: ", "SIGFPE: ", "SIGILL: "}

// runtimeReport reports whether s begins as a report of the Go runtime does.
func runtimeReport(s string) bool {
	return slices.ContainsFunc(reports, func(mark string) bool { return strings.HasPrefix(s, mark) })
}

// interesting cuts the end of a stderr down to what explains a death: from a report of the Go runtime on, if there is one.
func interesting(s string) string {
	if runtimeReport(s) {
		return s
	}
	at := -1
	for _, mark := range reports {
		if i := strings.Index(s, "\n"+mark); i >= 0 && (at < 0 || i+1 < at) {
			at = i + 1
		}
	}
	return s[max(at, 0):]
}
