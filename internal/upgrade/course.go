package upgrade

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// Course is how far the upgrade of a program has come. It exists in main of every version. Any
// goroutine may use it, after Inherit.
type Course struct {
	// path is where the next version of the program's file is looked for. Inherit sets it.
	path string
	// report is a trial's way to the old version of the program; nil in all other processes.
	// Inherit sets it.
	report *Reporter
	// handed is what this process was handed by the old version of the program, if that was for
	// this program; otherwise nil. Inherit sets it.
	handed *Handed
	// bridged is closed when the trial that has served until the workers of this version were ready
	// has ended; nil if there was none. Inherit sets it.
	bridged chan struct{}
	// abandoned is closed when the program is to end, whatever was begun. Abandon closes it.
	abandoned chan struct{}
	// busy says that an upgrade is under way.
	busy atomic.Bool

	// mu guards next, giveUp and tasks, and the closing of abandoned.
	mu sync.Mutex
	// next is what executes the new file when nothing is left of the workers, or nil. It returns if
	// that fails.
	next func() error
	// giveUp ends the trial, if the program does not go on as its new version after all; or nil. It
	// returns when nothing of the trial is left, and may be called more than once.
	giveUp func()
	// tasks are the tasks that are handed over, by their numbers.
	tasks map[uint64]Task
}

// NewCourse returns the course of a program that has not begun.
func NewCourse() *Course { return &Course{abandoned: make(chan struct{})} }

// Inherit takes what the old version of the program has handed over, if that was for the Main of
// this name.
func (c *Course) Inherit(name string) error {
	c.path = Path()
	h, err := Taken()
	if err != nil || h == nil {
		return err
	}
	if h.Trial {
		comes(name)
	}
	if h.Main != name { // in a trial, the tried one may still come
		return nil
	}
	c.handed = h
	if h.Trial {
		c.report = NewReporter()
	} else if h.Pid != 0 {
		c.bridged = make(chan struct{})
	}
	return nil
}

// Path returns the path at which the next version of the program's file is looked for.
func (c *Course) Path() string { return c.path }

// Handed returns what this program was handed by its old version, or nil.
func (c *Course) Handed() *Handed { return c.handed }

// Trial reports whether this process only tries the new version of the program.
func (c *Course) Trial() bool { return c.report != nil }

// Begin notes that an upgrade is under way, until End. It reports false if there is one.
func (c *Course) Begin() bool { return c.busy.CompareAndSwap(false, true) }

// End notes that the upgrade that has begun has failed.
func (c *Course) End() { c.busy.Store(false) }

// Prepare sets what executes the new file, and what ends its trial.
func (c *Course) Prepare(next func() error, giveUp func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next, c.giveUp = next, giveUp
}

// GoesOn reports whether the program that has been asked to end goes on as its new version.
func (c *Course) GoesOn() bool { return c.Next() != nil }

// Next returns what executes the new file, or nil.
func (c *Course) Next() func() error {
	if goroutine.Closed(c.abandoned) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

// Abandon notes that the program is to end, whatever was begun.
func (c *Course) Abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !goroutine.Closed(c.abandoned) {
		close(c.abandoned)
	}
}

// Abandoned is closed when the program is to end, whatever was begun.
func (c *Course) Abandoned() <-chan struct{} { return c.abandoned }

// EndTrial waits until nothing of a trial is left. It does nothing if there is none.
func (c *Course) EndTrial() {
	c.mu.Lock()
	giveUp := c.giveUp
	c.mu.Unlock()
	if giveUp != nil {
		giveUp()
	}
}

// Bridged returns what is closed when the trial of the last upgrade has ended. It is nil if there
// is none, and when that has ended.
func (c *Course) Bridged() <-chan struct{} {
	if c.bridged == nil || goroutine.Closed(c.bridged) {
		return nil
	}
	return c.bridged
}

// EndBridge ends the trial that has served until the workers of this version are ready, or until
// the program is asked to end. It kills the trial after a time, and when kill is closed. If trial
// is nil, it is gone. When it has ended, left is called.
func (c *Course) EndBridge(trial *Trial, ready, exit, kill <-chan struct{}, most time.Duration, left func(*Trial)) {
	defer close(c.bridged)
	if trial == nil {
		return
	}
	over := make(chan struct{})
	defer close(over)
	select {
	case <-ready:
	case <-exit:
	}
	go func() { // ends with the trial
		select {
		case <-kill:
			trial.Kill()
		case <-over:
		}
	}()
	trial.End(most)
	left(trial)
}

// Lead leads a trial: when ready is closed, it reports so, and whether the trial has opened sockets
// itself. It returns when the trial is to end. Once ended is closed, Fail has reported why.
func (c *Course) Lead(ready, ended <-chan struct{}, alone func() bool) {
	go func() { // ends with the trial
		select {
		case <-ready:
			c.report.Ready(alone())
		case <-ended:
		}
	}()
	c.report.Await()
}

// Fail reports to the old version of the program why its trial has failed. It does nothing in other
// processes, and once the workers of the trial were ready.
func (c *Course) Fail(err error) {
	if c.report != nil && err != nil {
		c.report.Failed(err)
	}
}

// HandOver notes a task that the new version goes on with, and its number in this one.
func (c *Course) HandOver(id uint64, t Task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tasks == nil {
		c.tasks = map[uint64]Task{}
	}
	c.tasks[id] = t
}

// HandedOver returns the tasks that the new version goes on with, in the order of their submission:
// those that a worker had, and did not begin, have come last.
func (c *Course) HandedOver() (all []Task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(c.tasks)) {
		all = append(all, c.tasks[id])
	}
	return all
}
