package queue

import "time"

// alarm is what is to be done when the time of a task has come. A task waits for one time only.
type alarm uint8

const (
	unset    alarm = iota // nothing: no time is waited for
	ripens                // a delayed task is due
	timesOut              // the time of an attempt is over
	dumps                 // the grace of a condemned attempt is nearly over
	kills                 // the grace is over
	sits                  // an assigned task has not begun for some time: another worker may have it
)

const (
	// dumpTime is how long a worker that is about to be killed has to say where its goroutines are.
	dumpTime = 80 * time.Millisecond
	// sitTime is how long a task that a worker has been given, and has not begun, stays there while
	// another worker has nothing to do. The next time it is twice as long, and so on up to
	// maxSitTime, for the other one may be no quicker.
	sitTime    = 2 * time.Millisecond
	maxSitTime = time.Second
	// splitTime is how long a batch runs before its items are given to workers that have nothing to
	// do.
	splitTime = 2 * time.Millisecond
)

// timers is all that waits for a time. It has no clock: the time comes with events, and Wake asks
// for a Tick at the first moment at which there is something to do.
//
// Most events come without the time, because to read a clock costs more than all else that they do.
// Such an event may still begin a wait: a task is given to a worker while another worker has
// nothing to do, and may not stay there for long. Such a task is unstamped, and the time is asked
// for at once.
type timers struct {
	alarms    pile[*Task, byTime]    // the tasks whose alarms are set
	unstamped []*Task                // the tasks that sit since a moment that the next Tick tells
	gates     pile[*Gate, byOpening] // the gates whose alarms are set
	lookout   Time                   // when work is looked for for the workers that have nothing to do, or never
	resumes   Time                   // when the next pause of a queue ends, or never
	now       Time                   // the latest moment that an event has told
	timed     bool                   // the event that goes on has told now
	wakes     Time                   // the moment for which a Wake is under way, or never
	asked     bool                   // a Wake for at once is under way
}

// byTime orders tasks by their alarms, and those of the same moment by their submission.
type byTime struct{}

func (byTime) before(a, b *Task) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return a.id < b.id
}
func (byTime) moved(t *Task, to int) { t.place = int32(to) }

// tell notes the moment of the event that begins. Time does not run backwards.
func (c *timers) tell(now Time) { c.now, c.timed = max(c.now, now), true }

// set makes the alarm of a task one for a moment, in place of what it was set for before.
func (c *timers) set(t *Task, what alarm, at Time) {
	c.drop(t)
	t.what, t.at = what, at
	c.alarms.push(t)
}

// sit sets the alarm of a task that was assigned now, whenever that is.
func (c *timers) sit(t *Task) {
	if c.timed {
		c.set(t, sits, after(c.now, sitting(t)))
		return
	}
	c.unstamped = append(c.unstamped, t)
	t.what, t.place = sits, int32(-len(c.unstamped))
}

// sitting is how long a task may sit.
func sitting(t *Task) time.Duration { return min(sitTime<<t.sat, maxSitTime) }

// stamp sets the alarms of the tasks that sit from an unknown moment on as if it were now.
func (c *timers) stamp() {
	for i, t := range c.unstamped {
		c.unstamped[i] = nil
		t.place, t.what = 0, unset
		c.set(t, sits, after(c.now, sitting(t)))
	}
	c.unstamped = c.unstamped[:0]
}

// drop makes the alarm of a task one that is not set.
func (c *timers) drop(t *Task) {
	switch {
	case t.what == unset: // its place may be one in a lane
		return
	case t.place > 0:
		c.alarms.remove(int(t.place))
	case t.place < 0:
		last := len(c.unstamped) - 1
		moved := c.unstamped[last]
		c.unstamped[-t.place-1], moved.place = moved, t.place
		c.unstamped[last] = nil
		c.unstamped = c.unstamped[:last]
		t.place = 0
	}
	t.what = unset
}

// due takes the first task out whose time has come, with what is to be done, or returns nil.
func (c *timers) due() (*Task, alarm) {
	if len(c.alarms.items) == 0 || c.alarms.items[0].at > c.now {
		return nil, unset
	}
	t := c.alarms.remove(1)
	what := t.what
	t.what = unset
	return t, what
}

// next is the next moment at which there is something to do, or never.
func (c *timers) next() Time {
	at := min(c.lookout, c.resumes)
	if len(c.alarms.items) > 0 {
		at = min(at, c.alarms.items[0].at)
	}
	if len(c.gates.items) > 0 {
		at = min(at, c.gates.items[0].at)
	}
	return at
}

// setGate makes the alarm of a gate one for a moment.
func (c *timers) setGate(g *Gate, at Time) {
	c.dropGate(g)
	g.at = at
	c.gates.push(g)
}

// dropGate makes the alarm of a gate one that is not set.
func (c *timers) dropGate(g *Gate) {
	if g.place > 0 {
		c.gates.remove(g.place)
	}
}

// dueGate takes the first gate out whose time has come, or returns nil.
func (c *timers) dueGate() *Gate {
	if len(c.gates.items) == 0 || c.gates.items[0].at > c.now {
		return nil
	}
	return c.gates.remove(1)
}
