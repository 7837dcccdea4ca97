package life

import (
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
)

// Attend waits until a worker that is ready ends, or has to be ended: because it was told to, or
// because it hangs. If it hangs, Attend says in what way. idle is called when something comes by
// retired, and Attend waits on. Only the goroutine of the life calls it.
func (l *Life) Attend(pulse *Pulse, told, retired <-chan struct{}, idle func()) *Hang {
	for {
		select {
		case <-l.read:
			return nil
		case <-l.body.Done():
			return nil
		case <-told:
			return nil
		case <-retired:
			idle()
		case h := <-l.hangs:
			return h
		case <-pulse.tick():
			if h := pulse.Beat(); h != nil {
				return h
			}
		}
	}
}

// Parting is how a worker has taken it that it was told to end.
type Parting int

const (
	Willing    Parting = iota // it has ended by itself
	Terminated                // SIGTERM has ended it
	Stubborn                  // it has not ended, and is to be killed
	Hurried                   // it has not ended, and is to be killed before its time is over
)

// LeadOut waits for the end of a worker that was told to end. If the worker has not ended after the
// time exit it gets SIGTERM, and then has the time term. When hurry is closed that cuts both short.
// Only the goroutine of the life calls it.
func (l *Life) LeadOut(exit, term time.Duration, hurry <-chan struct{}) Parting {
	if l.endsWithin(exit, hurry) {
		return Willing
	}
	if !goroutine.Closed(hurry) {
		l.body.Terminate()
		if l.endsWithin(term, hurry) {
			return Terminated
		}
	}
	if goroutine.Closed(hurry) {
		return Hurried
	}
	return Stubborn
}

// endsWithin waits until the worker has ended, at most for the time d, and reports whether it has
// ended. The wait ends when hurry is closed.
func (l *Life) endsWithin(d time.Duration, hurry <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.body.Done():
		return true
	case <-timer.C:
	case <-hurry:
	}
	return goroutine.Closed(l.body.Done())
}
