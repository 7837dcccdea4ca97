package multiprolab

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
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

// output returns where the stdout of a worker goes as far as main passes it on: with a writer in
// the config everything, line by line and with the worker's name; else only what came before the
// worker took its stdout over.
func (m *Main) output(worker string) io.Writer {
	if m.cfg.Stdout == nil {
		return os.Stdout
	}
	return &lines{prefix: worker + ": ", next: m.stdout}
}

// lines passes on whole lines, each with a prefix. It exists in main, once for each life of a
// worker.
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

// tail passes everything on, but for the most of a report of the Go runtime (see crashCutter), and
// keeps the end of it, and the beginning of a report of the Go runtime. It exists in main, once for
// each life of a worker.
type tail struct {
	next io.Writer
	full bool // reports are passed on, too

	out    sync.Mutex  // held while something is passed on; before mu
	timer  *time.Timer // ends the time in which something is held back; guarded by out
	cutter crashCutter // guarded by mu

	mu     sync.Mutex
	total  int64 // bytes that have come
	buf    []byte
	finder reportFinder
	race   bool // a report of the race detector has come
}

func (t *tail) Write(p []byte) (int, error) {
	t.out.Lock()
	defer t.out.Unlock()
	t.mu.Lock()
	t.total += int64(len(p))
	pass := t.cut(p)
	t.buf = append(t.buf, p...)
	t.lookForRace(len(p))
	if n := len(t.buf) - tailSize; n > tailSize {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	holds := len(t.cutter.held) > 0 || t.cutter.phase == crashRest && len(t.cutter.line) > 0
	t.mu.Unlock()
	if holds && t.timer == nil {
		t.timer = time.AfterFunc(heldTime, t.passHeld)
	}
	t.pass(pass)
	return len(p), nil
}

// pass passes on what is not empty. The caller holds out.
func (t *tail) pass(p []byte) {
	if len(p) > 0 {
		_, _ = t.next.Write(p) // main's own stderr may be closed: the worker must be able to go on
	}
}

// cut returns what is passed on of p. The caller holds mu.
func (t *tail) cut(p []byte) []byte {
	if t.full {
		t.finder.write(p)
		return p
	}
	var pass []byte
	now := time.Now()
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n') + 1
		if n == 0 {
			n = len(p)
		}
		before := t.finder.found
		t.finder.write(p[:n])
		pass = t.cutter.piece(pass, p[:n], t.finder.found != before, now)
		p = p[n:]
	}
	return pass
}

// passHeld passes on what is held back of a process that lives on: it has printed that itself.
func (t *tail) passHeld() {
	t.out.Lock()
	defer t.out.Unlock()
	t.mu.Lock()
	var pass []byte
	if t.cutter.phase == crashRest {
		pass = t.cutter.release(nil)
		t.cutter.phase = crashNone
	}
	t.mu.Unlock()
	t.timer = nil
	t.pass(pass)
}

// end is called when the process has ended and all has come. died says that the Go runtime may have
// ended it.
func (t *tail) end(died bool) {
	t.out.Lock()
	defer t.out.Unlock()
	if t.timer != nil {
		t.timer.Stop()
	}
	t.mu.Lock()
	pass := t.cutter.end(nil, died)
	t.mu.Unlock()
	t.pass(pass)
}

// last returns the end, of tailSize bytes at most.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.from(t.total - tailSize)
}

// report returns the last report of the Go runtime and what follows it, of about tailSize bytes at
// most: of what is longer the beginning and the end. It returns "" if there is none.
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
