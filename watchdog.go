package multiprolab

import "time"

// dogTime is how long a task waits beside a worker that has nothing to do before that is taken for
// a fault. It is also how often the watchdog looks.
const dogTime = 10 * time.Second

// watch sets the timer, if it does not run: a task has come. The caller holds the mutex.
func (b *broker) watch() {
	switch d := &b.dog; {
	case d.set || d.told || d.alarm == nil:
		return
	case d.timer == nil:
		d.timer = time.AfterFunc(dogTime, b.look)
	default:
		d.timer.Reset(dogTime)
	}
	b.dog.set = true
}

// look looks whether a task waits that has waited before. It runs on a goroutine of the timer.
func (b *broker) look() {
	b.mu.Lock()
	d := &b.dog
	d.set = false
	found := ""
	if t := d.neglected(); t == nil {
		d.seen = 0
	} else if d.seen != t.ID() {
		d.seen = t.ID()
	} else {
		d.told, found = true, jobOf(t).String()
	}
	if b.rules.Live() > 0 && b.stopped == nil {
		b.watch()
	}
	b.mu.Unlock()
	if found != "" {
		d.alarm(found)
	}
}
