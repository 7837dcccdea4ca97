package life

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

// tailSize is how many bytes of a worker's stderr are kept.
const tailSize = 64 << 10

// tail passes on what a worker prints to stderr, but for the most of a report of the Go runtime
// (see crashCutter). It keeps the end of it, and the beginning of a report of the Go runtime. It
// exists in main, once for each life of a worker. Any goroutine may use it. Its locks are out and
// then mu.
type tail struct {
	// next gets what is passed on. It does not change.
	next io.Writer
	// full says that reports are passed on, too. It does not change.
	full bool
	// leftOut makes the line that says how many lines of stacks were left out. It does not change.
	leftOut func(lines int) string

	// out is held while something is passed on.
	out passing

	// mu guards what comes and how much of it is kept. It is taken after out.
	mu sync.Mutex
	// cutter says what is passed on. mu guards it.
	cutter crashCutter
	// finder looks for reports in what comes. mu guards it.
	finder reportFinder
	// total counts the bytes that have come. mu guards it.
	total int64
	// buf is the end of what has come, of tailSize bytes at least. mu guards it.
	buf []byte
	// race says that a report of the race detector has come. mu guards it.
	race bool
}

// passing is the right to pass on what a worker prints. It exists in main.
type passing struct {
	sync.Mutex
	// timer ends the time in which something is held back; nil if nothing is. The lock guards it.
	timer *time.Timer
}

// newTail returns the tail of a process that has printed nothing.
func newTail(o *Output) *tail {
	t := &tail{next: o.Stderr, full: o.FullCrashes, leftOut: o.LeftOut}
	t.finder.marks = marks{own: []byte(o.Mark)}
	return t
}

// Write implements io.Writer. It never fails.
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
	holds := t.cutter.holds()
	t.mu.Unlock()
	if holds && t.out.timer == nil {
		t.out.timer = time.AfterFunc(heldTime, t.passHeld)
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
	pass := t.cutter.giveUp(nil)
	t.mu.Unlock()
	t.out.timer = nil
	t.pass(pass)
}

// end is called when the process has ended and all has come. died says that the Go runtime may have
// ended it.
func (t *tail) end(died bool) {
	t.out.Lock()
	defer t.out.Unlock()
	if t.out.timer != nil {
		t.out.timer.Stop()
	}
	t.mu.Lock()
	pass, lines := t.cutter.end(nil, died)
	t.mu.Unlock()
	if lines > 1 {
		pass = append(pass, t.leftOut(lines)...)
	}
	t.pass(pass)
}

// last returns the end, of tailSize bytes at most.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.from(t.total - tailSize)
}

// interesting returns the end, cut down to what explains a death.
func (t *tail) interesting() string { return t.finder.marks.interesting(t.last()) }

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

// lookForRace notes whether a report of the race detector is in what has come last, n bytes. The
// caller holds mu.
func (t *tail) lookForRace(n int) {
	if raceBuilt && !t.race {
		t.race = bytes.Contains(t.buf[max(0, len(t.buf)-n-len(raceReport)):], []byte(raceReport))
	}
}

// sawRace reports whether a report of the race detector has come.
func (t *tail) sawRace() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.race
}
