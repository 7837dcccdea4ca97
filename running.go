package multiprolab

import "time"

// This file is how main knows which message or call a worker is at. Nothing is noted for that while
// messages go: it follows from what was sent, what has been answered, and how far the worker is by
// its black box, which can be read also if the worker is stuck.

// handling returns the message or the call that the loop of the instance is at, or reports false.
// tasks says that main has heard of a task that the worker has begun. The caller holds the mutex of
// workerFleet.
func (s *slot) handling(tasks bool, now time.Time) (r RunningStats, ok bool) {
	p := s.running()
	if p == nil {
		return r, false
	}
	task, handled, exact := p.process.Glance()
	if exact && task != 0 || !exact && tasks {
		return r, false
	}
	t, written := s.out.Turn(handled, exact)
	if e, ok := t.Call.(*callEntry); ok {
		return RunningStats{Kind: "call", Type: e.typ, From: e.origin.name(), Since: written}, true
	}
	if t.Serial == 0 {
		return r, false
	}
	if seen := (seenAt{p.life(), t.Serial, s.seen.since}); s.seen != seen {
		s.seen = seen
		s.seen.since = now
	}
	return RunningStats{Kind: "message", Type: t.Letter.Type, From: t.Letter.From, Since: s.seen.since}, true
}
