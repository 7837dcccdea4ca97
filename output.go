package multiprolab

import (
	"bytes"
	"fmt"
	"io"
	"os"
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

// tail passes everything on and keeps the end of it, and the beginning of a report of the Go runtime. It exists in main, once for each life of a worker.
type tail struct {
	next io.Writer

	mu     sync.Mutex
	total  int64 // bytes that have come
	buf    []byte
	finder reportFinder
	race   bool // a report of the race detector has come
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.total += int64(len(p))
	t.finder.write(p)
	t.buf = append(t.buf, p...)
	t.lookForRace(len(p))
	if n := len(t.buf) - tailSize; n > tailSize {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	t.mu.Unlock()
	_, _ = t.next.Write(p) // main's own stderr may be closed: the worker must be able to go on
	return len(p), nil
}

// last returns the end, of tailSize bytes at most.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.from(t.total - tailSize)
}

// report returns the last report of the Go runtime and what follows it, of about tailSize bytes at most: of what is longer the beginning and the end. It returns "" if there
// is none.
func (t *tail) report() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.finder.found
	switch {
	case r == nil:
		return ""
	case t.total-r.start <= tailSize:
		return t.from(r.start)
	}
	head := string(r.head)
	end := t.total - int64(tailSize-len(head))
	return fmt.Sprintf("%s\n... %d bytes are left out ...\n%s", head, end-r.start-int64(len(head)), t.from(end))
}

// from returns what came from the place on, as far as it is kept. The caller holds mu.
func (t *tail) from(start int64) string {
	return string(t.buf[max(0, int64(len(t.buf))-(t.total-start)):])
}
