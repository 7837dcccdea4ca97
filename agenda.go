package multiprolab

import (
	"container/heap"
	"math"
	"time"
)

// This file is what the broker does when a time has come, in main. All that waits for a time is in
// one agenda, with what is to be done then, and one timer wakes the broker for the first.

// moment is a time as the broker counts it: since it was made.
type moment = time.Duration

// later returns the moment a time after another one. A time without end stays one.
func later(now moment, d time.Duration) moment {
	if d > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + d
}

// alarmKind is what is to be done when the time of an alarm has come.
type alarmKind uint8

const (
	ripens   alarmKind = iota + 1 // a delayed job is due
	timesOut                      // the time of an attempt is over: its context is to end
	dumps                         // the grace of a condemned attempt is nearly over: its worker is asked where it is
	kills                         // the grace is over: its worker is to be killed
	sits                          // an assigned job has not begun for some time: another worker may have it
	looks                         // workers with nothing to do may have something that others hold
)

// alarm is an entry of the agenda. It exists in main, in the job that it is for: a job waits for
// one time only, and whoever ends that wait drops the alarm.
type alarm struct {
	at    moment
	what  alarmKind
	job   *job // nil for the broker's own
	place int  // in the heap, from 1; 0: it is not set
}

// agenda is the alarms that are set, ordered as a heap. It exists in main; the broker's mutex
// guards it.
type agenda []*alarm

func (g agenda) Len() int           { return len(g) }
func (g agenda) Less(x, y int) bool { return g[x].at < g[y].at }
func (g agenda) Swap(x, y int)      { g[x], g[y] = g[y], g[x]; g[x].place, g[y].place = x+1, y+1 }
func (g *agenda) Push(v any)        { *g = append(*g, v.(*alarm)); v.(*alarm).place = len(*g) }
func (g *agenda) Pop() any {
	last := len(*g) - 1
	a := (*g)[last]
	(*g)[last], *g = nil, (*g)[:last]
	a.place = 0
	return a
}

// set makes the alarm one for a moment, in place of what it was set for before.
func (g *agenda) set(a *alarm, what alarmKind, at moment) {
	a.what, a.at = what, at
	if a.place > 0 {
		heap.Fix(g, a.place-1)
	} else {
		heap.Push(g, a)
	}
}

// drop makes the alarm one that is not set.
func (g *agenda) drop(a *alarm) {
	if a.place > 0 {
		heap.Remove(g, a.place-1)
	}
}

// due takes the first alarm out whose time has come, or returns nil.
func (g *agenda) due(now moment) *alarm {
	if len(*g) == 0 || (*g)[0].at > now {
		return nil
	}
	return heap.Pop(g).(*alarm)
}

// clock is the timer that wakes the broker for its agenda. It exists in main; the broker's mutex
// guards it.
type clock struct {
	epoch time.Time
	timer *time.Timer // nil before its first use
	at    moment      // that it is set for
	set   bool
}

func (c *clock) now() moment { return time.Since(c.epoch) }

// wind sets the timer for the first alarm, unless it goes off before that in any case.
func (c *clock) wind(g agenda, fire func()) {
	if len(g) == 0 || c.set && c.at <= g[0].at {
		return
	}
	c.at, c.set = g[0].at, true
	if wait := c.at - c.now(); c.timer == nil {
		c.timer = time.AfterFunc(wait, fire)
	} else {
		c.timer.Reset(wait)
	}
}

// stop ends the timer.
func (c *clock) stop() {
	if c.timer != nil {
		c.timer.Stop()
	}
	c.set = false
}

// tick does what is to be done by now. It runs on a goroutine of the timer, and ends when the
// workers that it has to kill have had their moment.
func (b *broker) tick() {
	b.mu.Lock()
	b.clock.set = false
	now := b.clock.now()
	var kill []func()
	for a := b.agenda.due(now); a != nil; a = b.agenda.due(now) {
		if end := b.ring(a, now); end != nil {
			kill = append(kill, end)
		}
	}
	b.mu.Unlock()
	for i, end := range kill {
		if i+1 < len(kill) {
			go end() // ends when the worker has printed its stacks, or after quitTimeout
		} else {
			end()
		}
	}
}

// ring does what an alarm was set for. What it returns is to be called without the mutex: it may
// wait.
func (b *broker) ring(a *alarm, now moment) (kill func()) {
	j := a.job
	switch a.what {
	case ripens:
		b.lineUp(j, false)
	case timesOut:
		b.timeOut(j, now)
	case dumps:
		return b.askForStacks(j, now)
	case kills:
		return b.graceOver(j)
	case sits:
		b.takeBack(j)
	case looks:
		b.look()
	}
	return nil
}
