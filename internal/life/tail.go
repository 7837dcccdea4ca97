package life

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// tailSize is how many bytes of a worker's stderr are kept.
	tailSize = 64 << 10
	// heldTime is how long stacks are held back after the last that was printed: a process that
	// lives on after that has printed them itself. A machine that is busy may take long to print a
	// report, and to tell of the end of the process.
	heldTime = 5 * time.Second
	// mostHeldTime is how long stacks are held back that do not end.
	mostHeldTime = time.Minute
)

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
	// timer ends the time in which a report may come; nil if none has begun. The lock guards it.
	timer *time.Timer
	// last is when something came of the report. The lock guards it.
	last time.Time
	// first is when the report began. The lock guards it.
	first time.Time
}

// left returns how long the report may still come; 0 if its time is over. The caller holds the
// lock.
func (o *passing) left() time.Duration {
	now := time.Now()
	return max(0, min(o.last.Add(heldTime).Sub(now), o.first.Add(mostHeldTime).Sub(now)))
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
	pass, began := t.cut(p)
	t.buf = append(t.buf, p...)
	t.lookForRace(len(p))
	if n := len(t.buf) - tailSize; n > tailSize {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	coming := t.cutter.phase != crashNone
	t.mu.Unlock()
	if coming {
		t.await(began)
	}
	t.pass(pass)
	return len(p), nil
}

// await sees to it that a report that does not end is given up. began says that a report has begun
// just now. The caller holds out.
func (t *tail) await(began bool) {
	t.out.last = time.Now()
	if began {
		t.out.first = t.out.last
	}
	if t.out.timer == nil {
		t.out.timer = time.AfterFunc(heldTime, t.passHeld)
	}
}

// pass passes on what is not empty. The caller holds out.
func (t *tail) pass(p []byte) {
	if len(p) > 0 {
		_, _ = t.next.Write(p) // main's own stderr may be closed: the worker must be able to go on
	}
}

// cut returns what is passed on of p, and whether the stacks of a report begin in it. The caller
// holds mu.
func (t *tail) cut(p []byte) (pass []byte, began bool) {
	if t.full {
		t.finder.write(p)
		return p, false
	}
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n') + 1
		if n == 0 {
			n = len(p)
		}
		before := t.finder.found
		t.finder.write(p[:n])
		begins := t.finder.found != before
		pass = t.cutter.piece(pass, p[:n], begins)
		began = began || begins
		p = p[n:]
	}
	return pass, began
}

// passHeld passes on what is held back of a process that lives on: it has printed that itself.
func (t *tail) passHeld() {
	t.out.Lock()
	defer t.out.Unlock()
	if wait := t.out.left(); wait > 0 {
		t.out.timer.Reset(wait)
		return
	}
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
		t.out.first = time.Time{} // passHeld may be about to run: it does not begin again
	}
	t.mu.Lock()
	pass, lines := t.cutter.end(nil, died)
	t.mu.Unlock()
	if lines > 1 {
		pass = append(pass, t.leftOut(lines)...)
	}
	t.pass(pass)
	if l, ok := t.next.(*Lines); ok {
		l.Flush()
	}
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
